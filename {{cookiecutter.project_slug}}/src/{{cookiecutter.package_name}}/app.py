"""What this service is made of. Everything that it adds to the chassis is listed here or in the layer that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import DESCRIPTION, SERVICE_NAME, TITLE, __version__
from .chassis import Feature, Parts, Service
from .config.logging import LOGGING
from .config.settings import GROUPS, UserSettings
from .features import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.middleware import Middleware

    from .chassis import Core
    from .chassis.access import Policy


def build(core: Core) -> Parts:
    """Build the objects of the product, bottom up; nothing is opened yet."""
    from .chassis.http import Idempotency
    from .controllers.users import UsersController
    from .models.base import IdempotencyKey
    from .routes import routes
    from .services.users import Users

    settings = core.settings.group(UserSettings)
    users = Users(core.database, core.cache, core.passwords, cache_seconds=settings.cache_seconds)
    idempotency = Idempotency(core, IdempotencyKey)
    return Parts(
        routes=routes(UsersController(users, idempotency), **policies()),
        provides=[users],
        tasks={
            "idempotency keys": core.tasks.every(600, idempotency.tidy),
        },
    )


# {% if cookiecutter.auth == 'yes' %}
def policies() -> dict[str, Policy]:
    """Who may call the routes of the users."""
    from .models.auth import ADMINS, owner_or_admins

    return {"admins": ADMINS, "owner": owner_or_admins("user_id")}
# {% else %}
def policies() -> dict[str, Policy]:
    """Everyone may read and write every user: no feature identifies callers, so no other policy could be applied."""
    from .chassis.access import PUBLIC

    return {"admins": PUBLIC, "owner": PUBLIC}
# {% endif %}


def middleware(core: Core) -> Sequence[Middleware | None]:
    """The layers around the router, as the package `middleware` lists them."""
    from .middleware import middleware as layers

    return layers(core)


PRODUCT = Feature(name="product", build=build)

SERVICE = Service(
    name=SERVICE_NAME,
    title=TITLE,
    description=DESCRIPTION,
    version=__version__,
    package=__package__ or "",
    settings=GROUPS,
    logging=LOGGING,
    features=(PRODUCT, *FEATURES),
    middleware=middleware,
    models=f"{__package__}.models",
    versions=Path(__file__).parent / "migrations" / "versions",
)
