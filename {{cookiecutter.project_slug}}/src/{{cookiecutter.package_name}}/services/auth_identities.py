"""Who holds a connection that lasts, and whether its token still counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from ..chassis.access import Identities, Identity
from ..models.auth import Account, Session
from ..models.user import User
from .auth_accounts import ACTIVE, VERSION, token_version_of

if TYPE_CHECKING:
    from ..chassis.database import Database
    from .auth import Authentication

_NAME = select(User.name).where(User.id == bindparam("user_id"))
_LIVE = (
    select(Session.id, User.password_hash, ACTIVE, VERSION)
    .join(User, User.id == Session.user_id)
    .outerjoin(Account, Account.user_id == User.id)
    .where(Session.id.in_(bindparam("session_ids", expanding=True)))
)


class UserIdentities(Identities):
    """By the access tokens of users; raises Unauthenticated and DatabaseUnavailable."""

    def __init__(self, database: Database, authentication: Authentication) -> None:
        self._database = database
        self._authentication = authentication

    async def identify(self, token: str, client: str) -> Identity:
        """Who presents the access *token* from the address *client*."""
        caller, claims = await self._authentication.identify(token, client)
        name = await self._database.fetch_value(_NAME, {"user_id": caller.user_id})
        return Identity(
            user_id=caller.user_id,
            name=name or "",
            expires_at=claims.expires_at,
            login=(claims.session_id, claims.token_version),
        )

    async def live(self, identities: Sequence[Identity]) -> frozenset[object]:
        """The logins whose session goes on, of a user who is active and has had no change that ends it."""
        asked = [identity.login[0] for identity in identities if isinstance(identity.login, tuple)]
        rows = await self._database.fetch_all(_LIVE, {"session_ids": asked})
        return frozenset((row.id, token_version_of(row.password_hash, row.version)) for row in rows if row.active)
