"""Users: create, find, list, change, delete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import bindparam, delete, exc, insert, select, update

from ..chassis.database import Listing, in_versions
from ..chassis.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from ..chassis.idempotency import NO_KEY, EffectKey
from ..chassis.shapes import PageQuery, is_own_email, new_id
from ..models.user import User, UserChanges, UserCreate, UserCursorPage, UserItems, UserOut, UserPage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..chassis.cache import Cache
    from ..chassis.database import AnyRow, Database, Versions
    from ..chassis.passwords import Passwords

_SHOWN = (User.id, User.name, User.email, User.created_at, User.updated_at, User.version)
"""Every column but the password's hash, which is therefore never even loaded."""
_FIELDS = tuple(column.key for column in _SHOWN)

_BY_ID = select(*_SHOWN).where(User.id == bindparam("user_id"))
LISTING = Listing(select(*_SHOWN), User.id, sorts=(User.created_at, User.name), filters=(User.name, User.email))


class UserWatcher(Protocol):
    """A feature that keeps something of its own about users."""

    async def before_change(self, session: AsyncSession, user_id: str, fields: frozenset[str]) -> None:
        """Raise to reject the change of *fields*, or the deletion if there are none; *session* will make it."""

    def changed(self, user_id: str, fields: frozenset[str]) -> None:
        """Take note of what `before_change` has let pass; it is stored."""

    async def forget(self, user_id: str) -> None:
        """Forget what is remembered of the user; called before and after the commit, as `Cache.invalidate` is."""


class Users:
    """Raises NotFound, Conflict for an e-mail that is taken, Invalid, PreconditionFailed and DatabaseUnavailable."""

    def __init__(self, database: Database, cache: Cache, passwords: Passwords, *, cache_seconds: float = 60.0) -> None:
        self._database = database
        self._cache = cache
        self._passwords = passwords
        self._cache_seconds = cache_seconds
        self._watchers: list[UserWatcher] = []

    def watch(self, watcher: UserWatcher) -> None:
        """Let *watcher* know of every change from now on."""
        self._watchers.append(watcher)

    async def create(self, new: UserCreate, key: EffectKey = NO_KEY) -> UserOut:
        """The stored user, once for each *key*; Conflict if the e-mail is taken, in whatever letter case."""
        if is_own_email(new.password, new.email):
            raise password_is_own_email("/password")
        password_hash = await self._passwords.hash(new.password.get_secret_value())
        now = datetime.now(UTC)
        user = UserOut(id=new_id(), name=new.name, email=new.email, created_at=now, updated_at=now, version=1)
        statement = insert(User).values(**user.model_dump(), password_hash=password_hash)
        try:
            async with self._database.transaction() as session:
                await key.claim(session)
                await session.execute(statement)
                await key.store(session, user)
        except exc.IntegrityError as error:
            raise _conflict(error) from None
        return user

    async def get(self, user_id: str) -> UserOut:
        row = await self._database.fetch_one(_BY_ID, {"user_id": user_id})
        if row is None:
            raise _not_found(user_id)
        return _shown(row)

    async def get_json(self, user_id: str) -> tuple[int, bytes]:
        """The user's version and JSON, through the cache; one that does not exist is not remembered."""

        async def load() -> bytes:
            user = await self.get(user_id)
            return b"%d\n%b" % (user.version, user.__pydantic_serializer__.to_json(user))

        kept = await self._cache.get_or_load(_cache_key(user_id), load, ttl_seconds=self._cache_seconds)
        version, _, document = kept.partition(b"\n")
        return int(version), document

    async def find(self, query: PageQuery) -> UserPage | UserCursorPage | UserItems:
        """The users by page, by cursor or by ids, as *query* asks; an id that names no user is left out."""
        return await LISTING.find(self._database, query, UserPage, UserCursorPage, UserItems)

    async def count(self) -> int:
        """How many users there are."""
        return (await self._database.read(LISTING.page(PageQuery(limit=1))))[0]

    async def update(self, user_id: str, changes: UserChanges, versions: Versions = None) -> UserOut:
        """The user as changed, by one statement: two updates of different fields both last."""
        values: dict[str, Any] = changes.model_dump(include=changes.model_fields_set - {"password"})
        if "password" in changes.model_fields_set:
            if is_own_email(changes.password, changes.email or (await self.get(user_id)).email):
                raise password_is_own_email("/password")
            values["password_hash"] = await self._passwords.hash(changes.password.get_secret_value())
        values["updated_at"] = datetime.now(UTC)
        statement = update(User).where(*_is(user_id, versions)).values(**values).returning(*_SHOWN)
        return _shown(await self._change(user_id, frozenset(changes.model_fields_set), statement))

    async def delete(self, user_id: str, versions: Versions = None) -> None:
        await self._change(user_id, frozenset(), delete(User).where(*_is(user_id, versions)).returning(User.id))

    async def forget(self, user_id: str) -> None:
        """Forget what is remembered of the user, here and by every watcher; it never raises."""
        await self._cache.invalidate(_cache_key(user_id))
        for watcher in self._watchers:
            await watcher.forget(user_id)

    async def _change(self, user_id: str, fields: frozenset[str], statement: Any) -> AnyRow:
        """Execute *statement* and forget the cached user, whatever happens: a commit may stand though we failed."""
        await self.forget(user_id)
        try:
            async with self._database.transaction() as session:
                for watcher in self._watchers:
                    await watcher.before_change(session, user_id, fields)
                row = (await session.execute(statement)).one_or_none()
                if row is None and (await session.execute(_BY_ID, {"user_id": user_id})).first():
                    raise PreconditionFailed
        except exc.IntegrityError as error:
            raise _conflict(error) from None
        finally:
            await self.forget(user_id)
        if row is None:
            raise _not_found(user_id)
        for watcher in self._watchers:
            watcher.changed(user_id, fields)
        return row


def _is(user_id: str, versions: Versions) -> tuple[ColumnElement[bool], ...]:
    return User.id == user_id, in_versions(User, versions)


def _shown(row: AnyRow) -> UserOut:
    """By zip, because `Row._asdict` takes six times as long."""
    return UserOut.model_validate(dict(zip(_FIELDS, row, strict=True)))


def _cache_key(user_id: str) -> str:
    return f"user:{user_id}"


def _not_found(user_id: str) -> NotFound:
    return NotFound(f"User {user_id} not found.")


def password_is_own_email(pointer: str) -> Invalid:
    """What to raise for the password at *pointer* of the body."""
    return Invalid("The body is wrong.", (FieldError(pointer, "is the own e-mail address, which is tried first"),))


def _conflict(error: exc.IntegrityError) -> Exception:
    """Conflict for the unique e-mail; another broken constraint is our own mistake and stays as it is."""
    constraint = str(error.orig)
    if "users.email" in constraint or "uq_users_email" in constraint:
        return Conflict("A user with this e-mail exists already.")
    return error
