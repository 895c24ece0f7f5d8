"""Paths of the users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.access import PUBLIC
from ..chassis.http import ApiRoute, allow

if TYPE_CHECKING:
    from ..chassis.access import Policy
    from ..controllers.users import UsersController


def user_routes(controller: UsersController, *, admins: Policy, owner: Policy) -> list[ApiRoute]:
    """Both paths, with every method of each: *admins* is the policy of the list, *owner* that of one user."""
    found = controller.list if admins is PUBLIC else controller.search
    return [
        ApiRoute(
            "/api/users",
            {"GET": allow(admins, found), "POST": allow(admins, controller.create)},
            name="users",
        ),
        ApiRoute(
            "/api/users/{user_id}",
            {
                "GET": allow(owner, controller.get),
                "PATCH": allow(owner, controller.update),
                "DELETE": allow(owner, controller.delete),
            },
            name="user",
        ),
    ]
