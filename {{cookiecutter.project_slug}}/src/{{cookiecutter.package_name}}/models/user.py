"""The users table, and a user's shapes on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from ..chassis.database import UTCDateTime, Versioned
from ..chassis.shapes import Changes, CursorPage, Email, Items, ListQuery, Name, Page, Password, canonical_email, new_id
from .base import Base


class User(Versioned, Base):
    """Someone who uses the service. What a feature knows about a user stands in the feature's own table."""

    __tablename__ = "users"
    __table_args__ = (Index(None, "name", "id"), Index(None, "created_at", "id"))  # for what lists filter and sort by

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True, info={"canonical": canonical_email})
    """As `canonical_email` writes it, so that the unique index sees one address in all of its spellings."""
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)


class UserCreate(BaseModel):
    """A user to create."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    email: Email
    password: Password


class UserChanges(Changes):
    """What to change about a user."""

    name: Name = ""
    email: Email = ""
    password: Password = SecretStr("")


class UserOut(BaseModel):
    """A user in a response: never with a password, nor its hash."""

    id: str = Field(description="Sorts by time of creation.")
    name: str
    email: str
    created_at: datetime
    updated_at: datetime
    version: int = Field(description="Grows with each change; `ETag` has it too.")


Sort = Annotated[
    Literal["created_at", "-created_at", "name", "-name"] | None,
    Field(description="The order, descending with -; by time of creation if it is not given."),
]
SameName = Annotated[Name | None, Field(description="Only users of exactly this name.")]
SameEmail = Annotated[Email | None, Field(description="Only the user with this e-mail, in whatever letter case.")]


class UserQuery(ListQuery):
    """How everyone may ask for the list of users."""

    sort: Sort = None


class UserSearch(UserQuery):
    """The same where the list is not public: elsewhere a filter would tell strangers whose e-mail is known here."""

    name: SameName = None
    email: SameEmail = None


class UserPage(Page[UserOut]):
    """One page of the users."""


class UserCursorPage(CursorPage[UserOut]):
    """The users after a cursor."""


class UserItems(Items[UserOut]):
    """The users that were asked for by id."""


LISTS = (UserPage, UserCursorPage, UserItems)
"""The responses to a query of the list."""
