"""What the feature `auth` stores about a user, and its shapes on the wire."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ..chassis.access import Policy, owner_or, roles
from ..chassis.auth import MAX_TOKEN_CHARACTERS
from ..chassis.database import UTCDateTime
from ..chassis.shapes import Changes, CursorPage, GivenPassword, Page, PageQuery, Password, new_id
from .base import Base
from .user import SameEmail, SameName, Sort


class Role(StrEnum):
    """What a user may do; each includes what the one before it may."""

    USER = "user"
    ADMIN = "admin"
    SUPERADMIN = "superadmin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


ADMINS = roles(Role.ADMIN, Role.SUPERADMIN)
"""The policy of what is for admins alone."""


def owner_or_admins(parameter: str) -> Policy:
    """The policy of what belongs to the user whose id is the path parameter *parameter*."""
    return owner_or(parameter, Role.ADMIN, Role.SUPERADMIN)


class Account(Base):
    """The state of a user's account; a user without a row has the defaults."""

    __tablename__ = "accounts"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(default=Role.USER)
    active: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=0)
    """Grows with each change of role or activity; tokens from before one are revoked."""


class Session(Base):
    """One login and its refresh tokens: the newest is good, and for some seconds the one before it."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_id: Mapped[str]
    """The `jti` of the newest refresh token."""
    previous_token_id: Mapped[str | None]
    """The `jti` of the one that was exchanged for it."""
    rotated_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When that was, by the database's clock."""
    network: Mapped[str | None]
    """A digest of the network that it was last used from: see `network_of`."""
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Credentials(BaseModel):
    """An e-mail and a password to log in with; a rejection does not say which of them is wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: str = Field(description="In any letter case; what is no address gets the response of an unknown one.")
    password: GivenPassword


class RefreshRequest(BaseModel):
    """The newest refresh token of a session."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_token: SecretStr = Field(max_length=MAX_TOKEN_CHARACTERS, description="It is exchanged once.")


class PasswordChange(BaseModel):
    """A new password, and the proof that its owner wants it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    current_password: GivenPassword
    new_password: Password


class TokenPair(BaseModel):
    """The response of a login or a refresh (RFC 6749, section 5.1)."""

    access_token: str = Field(description="Proves who is asking: `Authorization: Bearer ...`.")
    refresh_token: str = Field(description="Good for one more pair of tokens, once.")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a kind of token
    expires_in: int = Field(description="Seconds that the access token lives.")


class AccountOut(BaseModel):
    """A user as its owner and admins see it."""

    id: str
    name: str
    email: str
    role: Role
    active: bool
    created_at: datetime
    updated_at: datetime


class AccountQuery(PageQuery):
    """How admins may ask for the list of accounts."""

    sort: Sort = None
    name: SameName = None
    email: SameEmail = None


class AccountPage(Page[AccountOut]):
    """One page of the accounts."""


class AccountCursorPage(CursorPage[AccountOut]):
    """The accounts after a cursor."""


class AccountChanges(Changes):
    """What an admin changes about an account; each change ends all of its sessions."""

    role: Role = Role.USER
    active: bool = True
