"""Sessions: what a login begins, a refresh continues and a logout ends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select, update

from ..chassis.database import DatabaseNow
from ..chassis.rate_limits import subscriber
from ..chassis.shapes import new_id
from ..models.auth import Session, TokenPair

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..chassis.auth import Claims, Tokens
    from ..chassis.database import Database
    from .auth_accounts import Accounts

MAX_SESSIONS = 20
"""Of one user; a further login ends the oldest."""

GRACE = timedelta(seconds=10)
"""How long the refresh token before the newest is still exchanged: two tabs, or a response that was lost."""

_TOKENS = select(Session.token_id, Session.previous_token_id, Session.rotated_at, DatabaseNow().label("now")).where(
    Session.id == bindparam("session_id")
)

_LIVE = select(Session.id).where(
    Session.user_id == bindparam("user_id"),
    Session.network == bindparam("network"),
    Session.expires_at > bindparam("now", type_=Session.expires_at.type),
)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a refresh token was exchanged for."""

    pair: TokenPair
    bridged: bool
    """Whether it was the one before the newest; the pair then has the newest, and none is new."""


class Sessions:
    """Stores sessions and signs their tokens; raises DatabaseUnavailable."""

    def __init__(self, database: Database, accounts: Accounts, tokens: Tokens) -> None:
        self._database = database
        self._accounts = accounts
        self._tokens = tokens

    async def begin(self, user_id: str, token_version: str, client: str) -> TokenPair:
        """A new session of the user; IntegrityError if there is no such user any more."""
        session_id, token_id = new_id(), new_id()
        now = datetime.now(UTC)
        expires_at = now + timedelta(seconds=self._tokens.refresh.lifetime_seconds)
        row = {
            "id": session_id,
            "user_id": user_id,
            "token_id": token_id,
            "expires_at": expires_at,
            "network": network_of(user_id, client),
        }
        await self._accounts.forget(user_id)
        async with self._database.transaction() as session:
            await _make_room(session, user_id, now)
            await session.execute(insert(Session).values(**row))
        await self._accounts.forget(user_id)
        return self._pair(user_id, session_id, token_version, token_id)

    async def rotate(self, claims: Claims, client: str) -> Rotation | None:
        """A pair for the refresh token of *claims*; None if it is too old, or its session has ended meanwhile.

        The newest token is exchanged for a new one. The one before it gets the newest, for GRACE after the exchange.
        """
        token_id = new_id()
        expires_at = datetime.now(UTC) + timedelta(seconds=self._tokens.refresh.lifetime_seconds)
        newest = (Session.id == claims.session_id, Session.token_id == claims.token_id)
        exchange = {
            "token_id": token_id,
            "previous_token_id": claims.token_id,
            "rotated_at": DatabaseNow(),
            "expires_at": expires_at,
            "network": network_of(claims.user_id, client),
        }
        async with self._database.transaction() as session:
            rotated = await session.execute(update(Session).where(*newest).values(**exchange).returning(Session.id))
            if bridged := rotated.first() is None:
                # A second exchange at once waited for the first one's lock, and so sees what that has stored.
                row = (await session.execute(_TOKENS, {"session_id": claims.session_id})).one_or_none()
                if row is None or row.previous_token_id != claims.token_id or abs(row.now - row.rotated_at) > GRACE:
                    return None
                token_id = row.token_id
        return Rotation(self._pair(claims.user_id, claims.session_id, claims.token_version, token_id), bridged)

    async def has_live(self, user_id: str, client: str) -> bool:
        """Whether a session of the user was last used from the network of the address *client*."""
        of_network = {"user_id": user_id, "network": network_of(user_id, client), "now": datetime.now(UTC)}
        return bool(await self._database.fetch_all(_LIVE, of_network))

    async def end(self, claims: Claims) -> None:
        """Revoke every token of the session, at once."""
        await self._accounts.forget(claims.user_id)
        async with self._database.transaction() as session:
            await session.execute(delete(Session).where(Session.id == claims.session_id))
        await self._accounts.forget(claims.user_id)

    def _pair(self, user_id: str, session_id: str, token_version: str, token_id: str) -> TokenPair:
        tokens = self._tokens
        said = {"user_id": user_id, "session_id": session_id, "token_version": token_version}
        return TokenPair(
            access_token=tokens.sign(tokens.access, **said),
            refresh_token=tokens.sign(tokens.refresh, **said, token_id=token_id),
            expires_in=tokens.access.lifetime_seconds,
        )


def network_of(user_id: str, client: str) -> str:
    """A digest of the subscriber's network, another one for each user, so that the table tells no addresses."""
    return hashlib.blake2b(f"{user_id} {subscriber(client)}".encode(), digest_size=16).hexdigest()


async def _make_room(session: AsyncSession, user_id: str, now: datetime) -> None:
    """Remove the user's expired sessions, and the oldest until one more is within the limit."""
    of_user = Session.user_id == user_id
    await session.execute(delete(Session).where(of_user, Session.expires_at <= now))
    ids = (await session.execute(select(Session.id).where(of_user).order_by(Session.id.desc()))).scalars().all()
    surplus = ids[MAX_SESSIONS - 1 :]
    if surplus:
        await session.execute(delete(Session).where(Session.id.in_(surplus)))
