"""Paths of the users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.access import ADMINS, owner_or_admins
from ..chassis.http.routing import ApiRoute, allow

if TYPE_CHECKING:
    from ..controllers.users import UsersController

OWN = owner_or_admins("user_id")


def user_routes(controller: UsersController) -> list[ApiRoute]:
    """Both paths, with every method of each."""
    return [
        ApiRoute(
            "/api/users",
            {"GET": allow(ADMINS, controller.list), "POST": allow(ADMINS, controller.create)},
            name="users",
        ),
        ApiRoute(
            "/api/users/{user_id}",
            {
                "GET": allow(OWN, controller.get),
                "PATCH": allow(OWN, controller.update),
                "DELETE": allow(OWN, controller.delete),
            },
            name="user",
        ),
    ]
