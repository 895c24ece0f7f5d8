"""Accounts to look at: users with their role and activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, bindparam, func, select

from ..chassis.errors import NotFound
from ..chassis.shapes import Pagination, canonical_email, cursor_after
from ..models.auth import Account, AccountCursorPage, AccountOut, AccountPage, Role
from ..models.user import User
from .auth_accounts import ACTIVE, ROLE

if TYPE_CHECKING:
    from ..chassis.database import Database

AnyRow = Row[*tuple[Any, ...]]

_SHOWN = select(User.id, User.name, User.email, ROLE, ACTIVE, User.created_at, User.updated_at).outerjoin(
    Account, Account.user_id == User.id
)
_BY_ID = _SHOWN.where(User.id == bindparam("user_id"))
_ID_OF = select(User.id).where(User.email == bindparam("email"))
_PAGE = _SHOWN.order_by(User.id).limit(bindparam("limit")).offset(bindparam("skip"))
_FIRST = _SHOWN.order_by(User.id).limit(bindparam("limit"))
_AFTER = _FIRST.where(User.id > bindparam("after"))
_COUNT = select(func.count()).select_from(User)


class Directory:
    """Finds and lists accounts; raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            raise NotFound(f"User {user_id} not found.")
        return _shown(row)


def _shown(row: AnyRow) -> AccountOut:
    values = dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy, despite its name
    return AccountOut.model_construct(**values | {"role": Role(row.role), "active": bool(row.active)})
