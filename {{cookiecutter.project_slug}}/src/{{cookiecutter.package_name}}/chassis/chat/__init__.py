"""Mechanism of the feature `chat`: rooms over Socket.IO, on one process or many."""

from __future__ import annotations

from .limits import ChatLimits
from .messages import Message, NewMessage, Rooms, Stored
from .page import chat_page
from .payloads import ClientMessageId, RoomId, UserId
from .server import Chat

__all__ = [
    "Chat",
    "ChatLimits",
    "ClientMessageId",
    "Message",
    "NewMessage",
    "RoomId",
    "Rooms",
    "Stored",
    "UserId",
    "chat_page",
]
