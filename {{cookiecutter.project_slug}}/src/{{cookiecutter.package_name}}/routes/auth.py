"""Paths of the feature `auth`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..chassis.access import AUTHENTICATED, PUBLIC
from ..chassis.http import ApiRoute, BodyLimits, allow
from ..models.auth import ADMINS

if TYPE_CHECKING:
    from ..controllers.auth import AdminController, AuthController


CREDENTIALS = BodyLimits(max_bytes=32_768, max_json_values=100)
"""Room for two of the longest passwords with every letter escaped; what strangers may send is read no further."""


def auth_routes(controller: AuthController) -> list[ApiRoute]:
    """Registration, login, logout, and the caller's own account."""
    open_to_all = partial(allow, PUBLIC, limits=CREDENTIALS)
    return [
        ApiRoute("/api/auth/register", {"POST": open_to_all(controller.register)}, name="auth.register"),
        ApiRoute("/api/auth/login", {"POST": open_to_all(controller.log_in)}, name="auth.login"),
        ApiRoute("/api/auth/refresh", {"POST": open_to_all(controller.refresh)}, name="auth.refresh"),
        ApiRoute("/api/auth/logout", {"POST": allow(AUTHENTICATED, controller.log_out)}, name="auth.logout"),
        ApiRoute("/api/auth/me", {"GET": allow(AUTHENTICATED, controller.me)}, name="auth.me"),
        ApiRoute(
            "/api/auth/password",
            {"POST": allow(AUTHENTICATED, controller.change_password, limits=CREDENTIALS)},
            name="auth.password",
        ),
    ]


def admin_routes(controller: AdminController) -> list[ApiRoute]:
    """Accounts in the hands of admins."""
    return [
        ApiRoute("/api/admin/users", {"GET": allow(ADMINS, controller.list)}, name="admin.users"),
        ApiRoute("/api/admin/users/{user_id}", {"PATCH": allow(ADMINS, controller.update)}, name="admin.user"),
    ]
