"""Paths of the feature `auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.access import AUTHENTICATED, PUBLIC
from ..chassis.http import ApiRoute, allow
from ..models.auth import ADMINS

if TYPE_CHECKING:
    from ..controllers.auth import AdminController, AuthController


def auth_routes(controller: AuthController) -> list[ApiRoute]:
    """Registration, login, logout, and the caller's own account."""
    return [
        ApiRoute("/api/auth/register", {"POST": allow(PUBLIC, controller.register)}, name="auth.register"),
        ApiRoute("/api/auth/login", {"POST": allow(PUBLIC, controller.log_in)}, name="auth.login"),
        ApiRoute("/api/auth/refresh", {"POST": allow(PUBLIC, controller.refresh)}, name="auth.refresh"),
        ApiRoute("/api/auth/logout", {"POST": allow(AUTHENTICATED, controller.log_out)}, name="auth.logout"),
        ApiRoute("/api/auth/me", {"GET": allow(AUTHENTICATED, controller.me)}, name="auth.me"),
        ApiRoute(
            "/api/auth/password", {"POST": allow(AUTHENTICATED, controller.change_password)}, name="auth.password"
        ),
    ]


def admin_routes(controller: AdminController) -> list[ApiRoute]:
    """Accounts in the hands of admins."""
    return [
        ApiRoute("/api/admin/users", {"GET": allow(ADMINS, controller.list)}, name="admin.users"),
        ApiRoute("/api/admin/users/{user_id}", {"PATCH": allow(ADMINS, controller.update)}, name="admin.user"),
    ]
