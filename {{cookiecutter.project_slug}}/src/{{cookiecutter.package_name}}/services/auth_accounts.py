"""The state of accounts: who may do what, who is locked out, and which tokens are revoked by it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ..chassis.access import Caller, current_caller
from ..chassis.errors import FieldError, Forbidden, Invalid, NotFound
from ..chassis.passwords import salt_of
from ..models.auth import Account, AccountChanges, Role, Session
from ..models.user import User

if TYPE_CHECKING:
    from ..chassis.cache import Cache
    from ..chassis.database import Database

CACHE_SECONDS = 5.0
"""How long a process may go on with a state that another one changed, where no Redis tells it; see docs/auth.md."""

ROLE = func.coalesce(Account.role, Role.USER.value).label("role")
ACTIVE = func.coalesce(Account.active, True).label("active")
VERSION = func.coalesce(Account.version, 0).label("version")

_STATE = (
    select(User.password_hash, ROLE, ACTIVE, VERSION, Session.id.label("session_id"))
    .outerjoin(Account, Account.user_id == User.id)
    .outerjoin(Session, Session.user_id == User.id)
    .where(User.id == bindparam("user_id"))
)
_LOCK = select(User.id).where(User.id == bindparam("user_id")).with_for_update()
_OF_LOCKED = select(Account.role, Account.active).where(Account.user_id == bindparam("user_id"))

_log = structlog.get_logger("security")


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state that each request of an authenticated user is checked against."""

    role: str
    active: bool
    token_version: str
    """Another one after each change of password, role or activity; a token carries the one of its time."""
    sessions: frozenset[str]


def token_version_of(password_hash: str, version: int) -> str:
    """The token_version of an account: by the salt, which each new password renews, and a renewed hash keeps."""
    return hashlib.blake2b(f"{version}:{salt_of(password_hash)}".encode(), digest_size=9).hexdigest()


class Accounts:
    """Knows every account's state; raises DatabaseUnavailable. It watches the users' own changes too."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache

    async def state(self, user_id: str) -> tuple[AccountState | None, bool]:
        """The state, at most CACHE_SECONDS old, and whether it was read just now; None if there is no such user."""
        fresh = False

        async def load() -> bytes:
            nonlocal fresh
            fresh = True
            return await self._load(user_id)

        kept = await self._cache.get_or_load(_cache_key(user_id), load, ttl_seconds=CACHE_SECONDS)
        return _state(kept), fresh

    async def present_state(self, user_id: str) -> AccountState | None:
        """The state as the database has it now."""
        return _state(await self._load(user_id))

    async def _load(self, user_id: str) -> bytes:
        rows = await self._database.fetch_all(_STATE, {"user_id": user_id})
        if not rows:
            return b"null"
        first = rows[0]
        sessions = [row.session_id for row in rows if row.session_id is not None]
        token_version = token_version_of(first.password_hash, first.version)
        return orjson.dumps(
            {"role": first.role, "active": bool(first.active), "token_version": token_version, "sessions": sessions},
        )

    async def forget(self, user_id: str) -> None:
        await self._cache.invalidate(_cache_key(user_id))

    async def before_change(self, session: AsyncSession, user_id: str, fields: frozenset[str]) -> None:
        """Keep admins from taking over their superiors, and thieves of a token from setting a password."""
        caller = current_caller.get()
        if caller.user_id == user_id and "password" in fields:
            _log_denied(caller, user_id, "the password without the present one")
            wrong = FieldError("/password", "is changed at /api/auth/password, which asks for the present one")
            raise Invalid("The body is wrong.", (wrong,))
        if "password" in fields:
            await session.execute(delete(Session).where(Session.user_id == user_id))
        if caller.user_id not in {"", user_id}:
            before = await _locked(session, user_id)
            if before is not None:
                _require_superior(caller, user_id, Role(before.role))

    def changed(self, user_id: str, fields: frozenset[str]) -> None:
        """Log a change that may lock an owner out, or let another in."""
        caller = current_caller.get()
        for event in ("user deleted",) if not fields else tuple(_EVENTS[name] for name in _EVENTS if name in fields):
            _log.warning(event, user=user_id, by=caller.user_id, client=caller.client, outcome="changed")

    async def change(self, caller: Caller, user_id: str, changes: AccountChanges) -> None:
        """Change the account; every session of it ends.

        Raises NotFound, and Forbidden for oneself, a superior, an equal, or a role that is not below one's own; a
        superadmin may all of it but for the first.
        """
        if caller.user_id == user_id:
            _log_denied(caller, user_id, "the own role or activity")
            raise Forbidden("You cannot change your own role or activity: ask another admin.")
        values = changes.model_dump(include=changes.model_fields_set)
        await self.forget(user_id)
        try:
            async with self._database.transaction() as session:
                before = await _locked(session, user_id)
                if before is None:
                    raise NotFound(f"User {user_id} not found.")
                _require_superior(caller, user_id, Role(before.role), values.get("role", Role.USER))
                await _write(session, user_id, values)
        finally:
            await self.forget(user_id)
        _log_changes(caller, user_id, before, values)


_EVENTS = {"password": "password changed", "email": "e-mail changed"}
"""By field of a user, what the log `security` calls a change of it."""


@dataclass(frozen=True, slots=True)
class _Locked:
    """What an account is while its user's row is locked."""

    role: str = Role.USER
    active: bool = True


async def _locked(session: AsyncSession, user_id: str) -> _Locked | None:
    """The account, locked against other changes until *session* ends; None if there is no such user.

    By two statements: PostgreSQL reads again only the row that it waited for, not what was joined to it.
    """
    if (await session.execute(_LOCK, {"user_id": user_id})).first() is None:
        return None
    row = (await session.execute(_OF_LOCKED, {"user_id": user_id})).one_or_none()
    return _Locked(row.role, bool(row.active)) if row else _Locked()


def _log_changes(caller: Caller, user_id: str, before: _Locked, values: dict[str, Any]) -> None:
    """One event for each thing that is other than before."""
    by = caller.user_id or "command line"
    common = {"user": user_id, "by": by, "client": caller.client, "outcome": "changed"}
    if values.get("role", before.role) != before.role:
        _log.warning("role changed", role=str(values["role"]), role_before=before.role, **common)
    if values.get("active", before.active) != before.active:
        _log.warning("account activated" if values["active"] else "account deactivated", **common)


COMMAND_LINE = Caller(role=Role.SUPERADMIN)
"""An operator who can run commands with the service's settings may do everything."""


def _require_superior(caller: Caller, user_id: str, *roles: Role) -> None:
    """Raise Forbidden unless *caller* stands above each of *roles*, or is a superadmin."""
    if caller.role != Role.SUPERADMIN and any(role.rank >= Role(caller.role).rank for role in roles):
        _log_denied(caller, user_id, "not a superior")
        raise Forbidden("Only a superadmin may do this to an admin, or make one.")


def _log_denied(caller: Caller, target: str, reason: str) -> None:
    _log.warning(
        "access denied",
        user=caller.user_id,
        client=caller.client,
        target=target,
        outcome="rejected",
        reason=reason,
    )


async def _write(session: AsyncSession, user_id: str, values: dict[str, Any]) -> None:
    """Change the row, or make it; who holds the user's lock is alone with it."""
    changed = await session.execute(
        update(Account).where(Account.user_id == user_id).values(**values, version=Account.version + 1).returning(1)
    )
    if changed.first() is None:
        row = {"role": Role.USER, "active": True} | values
        await session.execute(insert(Account).values(user_id=user_id, version=1, **row))
    await session.execute(delete(Session).where(Session.user_id == user_id))


def _state(kept: bytes) -> AccountState | None:
    state = orjson.loads(kept)
    if state is None:
        return None
    return AccountState(state["role"], state["active"], state["token_version"], frozenset(state["sessions"]))


def _cache_key(user_id: str) -> str:
    return f"account:{user_id}"
