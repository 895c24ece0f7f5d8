"""The tables of the feature `chat`, and a message's shape in responses."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ..chassis.database import UTCDateTime
from .base import Base


class MessageType(StrEnum):
    """What `messageType` may be; the clients decide what to make of it."""

    TEXT = "text"
    IMAGE = "image"
    FILE = "file"


class Room(Base):
    """A room that has messages; it begins with the first of them."""

    __tablename__ = "rooms"

    id: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger)
    """The id of its last message."""


class ChatMessage(Base):
    """A message; it outlives its user, and keeps the name that the user had."""

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("room_id", "user_id", "client_message_id", name="uq_messages_client_id"),)

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[str]
    username: Mapped[str]
    content: Mapped[str] = mapped_column(Text)
    kind: Mapped[str]
    sent_at: Mapped[datetime] = mapped_column(UTCDateTime)
    client_message_id: Mapped[str | None]


class MessageOut(BaseModel):
    """A message in a response."""

    model_config = ConfigDict(from_attributes=True)

    room_id: str
    id: int = Field(description="Counts the room's messages from 1, without a gap.")
    content: str
    user_id: str
    username: str
    timestamp: datetime = Field(validation_alias="sent_at")
    type: str = Field(validation_alias="kind")
    client_message_id: str | None


class MessagePage(BaseModel):
    """Messages of a room, the newest first."""

    items: list[MessageOut]
    next_cursor: str | None


class MessageQuery(BaseModel):
    """How a room's messages may be asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: str = Field(
        default="",
        pattern=r"^([1-9][0-9]{0,15})?$",
        description="Continue after this place: empty to start, then each response's `next_cursor`.",
    )
    limit: int = Field(default=20, ge=1, le=100, description="How many messages a response holds at most.")
