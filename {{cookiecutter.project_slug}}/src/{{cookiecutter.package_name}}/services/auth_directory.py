"""Accounts to look at: users with their role and activity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from ..chassis.database import Listing
from ..chassis.errors import NotFound
from ..chassis.shapes import canonical_email
from ..models.auth import Account, AccountCursorPage, AccountOut, AccountPage
from ..models.user import User
from .auth_accounts import ACTIVE, ROLE

if TYPE_CHECKING:
    from ..chassis.database import Database
    from ..chassis.shapes import PageQuery

_SHOWN = select(User.id, User.name, User.email, ROLE, ACTIVE, User.created_at, User.updated_at).outerjoin(
    Account, Account.user_id == User.id
)
_FIELDS = tuple(_SHOWN.selected_columns.keys())
_BY_ID = _SHOWN.where(User.id == bindparam("user_id"))
_ID_OF = select(User.id).where(User.email == bindparam("email"))
LISTING = Listing(_SHOWN, User.id, sorts=(User.created_at, User.name), filters=(User.name, User.email))


class Directory:
    """Finds and lists accounts; raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: PageQuery) -> AccountPage | AccountCursorPage:
        """The accounts by page or by cursor, as *query* asks."""
        return await LISTING.find(self._database, query, AccountPage, AccountCursorPage)

    async def id_of(self, email: str) -> str | None:
        """Who has this e-mail, in any letter case."""
        user_id: str | None = await self._database.fetch_value(_ID_OF, {"email": canonical_email(email)})
        return user_id

    async def get(self, user_id: str) -> AccountOut:
        """Raises NotFound."""
        row = await self._database.fetch_one(_BY_ID, {"user_id": user_id})
        if row is None:
            raise NotFound(f"User {user_id} not found.")
        return AccountOut.model_validate(dict(zip(_FIELDS, row, strict=True)))
