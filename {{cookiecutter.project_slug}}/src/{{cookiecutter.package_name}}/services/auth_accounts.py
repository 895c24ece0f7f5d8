"""The state of accounts: who may do what, who is locked out, and which tokens are dead because of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from .. import access
from ..access import Caller
from ..errors import FieldError, Forbidden, Invalid, NotFound
from ..models.auth import Account, AccountChanges, AccountCursorPage, AccountOut, AccountPage, Role, Session
from ..models.page import Pagination, cursor_after
from ..models.user import User, canonical_email

if TYPE_CHECKING:
    from .cache import Cache
    from .database import Database

AnyRow = Row[*tuple[Any, ...]]

CACHE_SECONDS = 5.0
"""How long a process may go on with a state that another one changed, where no Redis tells it; see docs/auth.md."""

_ROLE = func.coalesce(Account.role, Role.USER.value).label("role")
_ACTIVE = func.coalesce(Account.active, True).label("active")
_VERSION = func.coalesce(Account.version, 0).label("version")

_STATE = (
    select(User.password_hash, _ROLE, _ACTIVE, _VERSION, Session.id.label("session_id"))
    .outerjoin(Account, Account.user_id == User.id)
    .outerjoin(Session, Session.user_id == User.id)
    .where(User.id == bindparam("user_id"))
)
_LOCK = select(User.id).where(User.id == bindparam("user_id")).with_for_update()
_OF_LOCKED = select(Account.role, Account.active).where(Account.user_id == bindparam("user_id"))
_SHOWN = select(User.id, User.name, User.email, _ROLE, _ACTIVE, User.created_at, User.updated_at).outerjoin(
    Account, Account.user_id == User.id
)
_BY_ID = _SHOWN.where(User.id == bindparam("user_id"))
_ID_OF = select(User.id).where(User.email == bindparam("email"))
_PAGE = _SHOWN.order_by(User.id).limit(bindparam("limit")).offset(bindparam("skip"))
_FIRST = _SHOWN.order_by(User.id).limit(bindparam("limit"))
_AFTER = _FIRST.where(User.id > bindparam("after"))
_COUNT = select(func.count()).select_from(User)

_log = structlog.get_logger("security")


@dataclass(frozen=True, slots=True)
class AccountState:
    """What a request of a known caller is checked against."""

    role: str
    active: bool
    stamp: str
    """Another one after each change of password, role or activity; a token carries the one of its time."""
    sessions: frozenset[str]


def stamp_of(password_hash: str, version: int) -> str:
    """The stamp of an account; a hash has a salt, so the same password set again is another stamp."""
    return hashlib.blake2b(f"{version}:{password_hash}".encode(), digest_size=9).hexdigest()


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
        async with self._database.reading() as connection:
            rows = (await connection.execute(_STATE, {"user_id": user_id})).all()
        if not rows:
            return b"null"
        first = rows[0]
        sessions = [row.session_id for row in rows if row.session_id is not None]
        stamp = stamp_of(first.password_hash, first.version)
        return orjson.dumps(
            {"role": first.role, "active": bool(first.active), "stamp": stamp, "sessions": sessions},
        )

    async def forget(self, user_id: str) -> None:
        await self._cache.invalidate(_cache_key(user_id))

    async def before_change(self, session: AsyncSession, user_id: str, fields: frozenset[str]) -> None:
        """Keep admins from taking over their superiors, and thieves of a token from setting a password."""
        caller = access.caller.get()
        if caller.user_id == user_id and "password" in fields:
            _refuse(caller, user_id, "the password without the present one")
            wrong = FieldError("/password", "is changed at /api/auth/password, which asks for the present one")
            raise Invalid("The body is wrong.", (wrong,))
        if caller.user_id not in {"", user_id}:
            before = await _locked(session, user_id)
            if before is not None:
                _require_superior(caller, user_id, Role(before.role))

    def changed(self, user_id: str, fields: frozenset[str]) -> None:
        """Tell of what may lock an owner out, or let somebody in."""
        caller = access.caller.get()
        for event in ("user deleted",) if not fields else tuple(_EVENTS[name] for name in _EVENTS if name in fields):
            _log.warning(event, user=user_id, by=caller.user_id, client=caller.client, outcome="changed")

    async def page(self, *, page: int, limit: int) -> AccountPage:
        """One page, oldest first, with totals; its cost grows with the page's number."""
        async with self._database.reading() as connection:
            total_items = (await connection.execute(_COUNT)).scalar_one()
            rows = (await connection.execute(_PAGE, {"limit": limit, "skip": (page - 1) * limit})).all()
        pagination = Pagination.of(page=page, limit=limit, total_items=total_items)
        return AccountPage.model_construct(items=[_shown(row) for row in rows], pagination=pagination)

    async def after(self, last_id: str | None, *, limit: int) -> AccountCursorPage:
        """The accounts created after *last_id*, or the first ones; the cost is the same at any depth."""
        statement = _FIRST if last_id is None else _AFTER
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement, {"limit": limit + 1, "after": last_id})).all()
        shown = [_shown(row) for row in rows[:limit]]
        next_cursor = cursor_after(shown[-1].id) if len(rows) > limit else None
        return AccountCursorPage.model_construct(items=shown, next_cursor=next_cursor)

    async def id_of(self, email: str) -> str | None:
        """Who has this e-mail, in any letter case."""
        async with self._database.reading() as connection:
            found = await connection.execute(_ID_OF, {"email": canonical_email(email)})
            return found.scalar_one_or_none()

    async def get(self, user_id: str) -> AccountOut:
        """Raises NotFound."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_BY_ID, {"user_id": user_id})).one_or_none()
        if row is None:
            raise NotFound(f"There is no user {user_id}.")
        return _shown(row)

    async def change(self, caller: Caller, user_id: str, changes: AccountChanges) -> AccountOut:
        """The account as changed; every session of it ends.

        Raises NotFound, and Forbidden for oneself, a superior, an equal, or a role that is not below one's own; a
        superadmin may all of it but for the first.
        """
        if caller.user_id == user_id:
            _refuse(caller, user_id, "the own role or activity")
            raise Forbidden("Nobody changes the own role or activity: ask another admin.")
        values = changes.model_dump(include=changes.model_fields_set)
        await self.forget(user_id)
        try:
            async with self._database.transaction() as session:
                before = await _locked(session, user_id)
                if before is None:
                    raise NotFound(f"There is no user {user_id}.")
                _require_superior(caller, user_id, Role(before.role), values.get("role", Role.USER))
                await _write(session, user_id, values)
        finally:
            await self.forget(user_id)
        _tell(caller, user_id, before, values)
        return await self.get(user_id)


_EVENTS = {"password": "password changed", "email": "e-mail changed"}
"""By field of a user, what the log `security` calls a change of it."""


@dataclass(frozen=True, slots=True)
class _Locked:
    """What an account is while its user's row is locked."""

    role: str = Role.USER
    active: bool = True


async def _locked(session: AsyncSession, user_id: str) -> _Locked | None:
    """The account, which nobody else changes until *session* ends; None if there is no such user.

    By two statements: PostgreSQL reads again only the row that it waited for, not what was joined to it.
    """
    if (await session.execute(_LOCK, {"user_id": user_id})).first() is None:
        return None
    row = (await session.execute(_OF_LOCKED, {"user_id": user_id})).one_or_none()
    return _Locked(row.role, bool(row.active)) if row else _Locked()


def _tell(caller: Caller, user_id: str, before: _Locked, values: dict[str, Any]) -> None:
    """One event for each thing that is other than before."""
    by = caller.user_id or "command line"
    common = {"user": user_id, "by": by, "client": caller.client, "outcome": "changed"}
    if values.get("role", before.role) != before.role:
        _log.warning("role changed", role=str(values["role"]), role_before=before.role, **common)
    if values.get("active", before.active) != before.active:
        _log.warning("account activated" if values["active"] else "account deactivated", **common)


COMMAND_LINE = Caller(role=Role.SUPERADMIN)
"""Whoever can run commands with the service's settings may do everything."""


def _require_superior(caller: Caller, user_id: str, *roles: Role) -> None:
    """Raise Forbidden unless *caller* stands above each of *roles*, or nobody stands above it."""
    if caller.role != Role.SUPERADMIN and any(role.rank >= Role(caller.role).rank for role in roles):
        _refuse(caller, user_id, "not a superior")
        raise Forbidden("Only a superadmin may do this to an admin, or make one.")


def _refuse(caller: Caller, target: str, reason: str) -> None:
    _log.warning(
        "access refused",
        user=caller.user_id,
        client=caller.client,
        target=target,
        outcome="refused",
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
    return AccountState(state["role"], state["active"], state["stamp"], frozenset(state["sessions"]))


def _shown(row: AnyRow) -> AccountOut:
    values = dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy, despite its name
    return AccountOut.model_construct(**values | {"role": Role(row.role), "active": bool(row.active)})


def _cache_key(user_id: str) -> str:
    return f"account:{user_id}"
