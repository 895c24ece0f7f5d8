"""The columns of a service's tables of conversations: a class of the service that derives from one is a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import UTCDateTime
from ..database.required import REQUIRED


class ConversationColumns:
    """A conversation of one user."""

    id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    user_id: Mapped[str | None] = mapped_column(index=True, info=REQUIRED)
    """None for an anonymous one, whose id is all that opens it."""
    last_number: Mapped[int] = mapped_column(info=REQUIRED)
    """Of its last message."""
    changed_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True, info=REQUIRED)


class ConversationMessageColumns:
    """A message of a conversation; one of a user is stored together with its completion."""

    conversation_id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, info=REQUIRED)
    """From 1."""
    role: Mapped[str] = mapped_column(info=REQUIRED)
    content: Mapped[str] = mapped_column(Text, info=REQUIRED)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, info=REQUIRED)


class TokenBudgetColumns:
    """How many tokens were used on a day."""

    holder: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    """`user:` and the id, or `address:` and the network of an anonymous client."""
    day: Mapped[str] = mapped_column(primary_key=True, index=True, info=REQUIRED)
    """In UTC, as 2024-05-31."""
    tokens: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    """Used, or reserved for what runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantTables:
    """The service's tables."""

    conversations: type[ConversationColumns]
    messages: type[ConversationMessageColumns]
    budgets: type[TokenBudgetColumns]
