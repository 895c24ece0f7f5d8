"""Accounts to look at: users with their role and activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select

from ..chassis.errors import NotFound
from ..chassis.shapes import Pagination, canonical_email, cursor_after
from ..models.auth import Account, AccountCursorPage, AccountOut, AccountPage
from ..models.user import User
from .auth_accounts import ACTIVE, ROLE

if TYPE_CHECKING:
    from ..chassis.database import AnyRow, Database

_SHOWN = select(User.id, User.name, User.email, ROLE, ACTIVE, User.created_at, User.updated_at).outerjoin(
    Account, Account.user_id == User.id
)
_FIELDS = tuple(_SHOWN.selected_columns.keys())
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
        total_items, rows = await self._database.read(
            lambda connection: (
                connection.execute(_COUNT).scalar_one(),
                connection.execute(_PAGE, {"limit": limit, "skip": (page - 1) * limit}).all(),
            )
        )
        pagination = Pagination.of(page=page, limit=limit, total_items=total_items)
        return AccountPage.model_validate({"items": [_values(row) for row in rows], "pagination": pagination})

    async def after(self, last_id: str | None, *, limit: int) -> AccountCursorPage:
        """The accounts created after *last_id*, or the first ones; the cost is the same at any depth."""
        statement = _FIRST if last_id is None else _AFTER
        rows = await self._database.fetch_all(statement, {"limit": limit + 1, "after": last_id})
        next_cursor = cursor_after(rows[limit - 1].id) if len(rows) > limit else None
        return AccountCursorPage.model_validate(
            {"items": [_values(row) for row in rows[:limit]], "next_cursor": next_cursor}
        )

    async def id_of(self, email: str) -> str | None:
        """Who has this e-mail, in any letter case."""
        user_id: str | None = await self._database.fetch_value(_ID_OF, {"email": canonical_email(email)})
        return user_id

    async def get(self, user_id: str) -> AccountOut:
        """Raises NotFound."""
        row = await self._database.fetch_one(_BY_ID, {"user_id": user_id})
        if row is None:
            raise NotFound(f"User {user_id} not found.")
        return AccountOut.model_validate(_values(row))


def _values(row: AnyRow) -> dict[str, Any]:
    """The fields of an account, for a model to validate."""
    return dict(zip(_FIELDS, row, strict=True))
