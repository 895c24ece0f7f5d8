"""The service that these tests run: the users of the render, open to everyone, on top of the whole chassis."""

from __future__ import annotations

from dataclasses import replace

from acme_service import app
from acme_service.chassis import Core, Feature, Parts
from acme_service.config.settings import UserSettings

RENDERED = app.SERVICE
"""The service of the render, with what its profile gives."""


def build(core: Core) -> Parts:
    """As the product builds them, but for the policies, which need an authorizer."""
    from acme_service.chassis.access import PUBLIC  # noqa: PLC0415 - as in app.py
    from acme_service.chassis.http import Idempotency  # noqa: PLC0415 - as in app.py
    from acme_service.controllers.users import UsersController  # noqa: PLC0415 - as in app.py
    from acme_service.models.base import IdempotencyKey  # noqa: PLC0415 - as in app.py
    from acme_service.routes import routes  # noqa: PLC0415 - as in app.py
    from acme_service.services.users import Users  # noqa: PLC0415 - as in app.py

    settings = core.settings.group(UserSettings)
    users = Users(core.database, core.cache, core.passwords, cache_seconds=settings.cache_seconds)
    controller = UsersController(users, Idempotency(core, IdempotencyKey))
    return Parts(routes=routes(controller, admins=PUBLIC, owner=PUBLIC), provides=[users])


SERVICE = replace(RENDERED, features=(Feature(name="users", build=build),))
