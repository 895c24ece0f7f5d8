"""The route table: method and path to controller, and who may call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .users import user_routes

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from ..chassis.access import Policy
    from ..controllers.users import UsersController


def routes(users: UsersController, *, admins: Policy, owner: Policy) -> list[BaseRoute]:
    """Every route of the product; those of a feature stand in its own module."""
    return [
        *user_routes(users, admins=admins, owner=owner),
    ]
