"""Paths of the users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .table import ApiRoute

if TYPE_CHECKING:
    from ..controllers.users import UsersController


def user_routes(controller: UsersController) -> list[ApiRoute]:
    """Both paths, with every method of each."""
    return [
        ApiRoute("/api/users", {"GET": controller.list, "POST": controller.create}, name="users"),
        ApiRoute(
            "/api/users/{user_id}",
            {"GET": controller.get, "PATCH": controller.update, "DELETE": controller.delete},
            name="user",
        ),
    ]
