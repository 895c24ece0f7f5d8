"""Mechanism of the feature `chat`: rooms over Socket.IO, on one process or many."""

from __future__ import annotations

from pathlib import Path

from .limits import ChatLimits
from .messages import Message, NewMessage, Rooms, Stored
from .payloads import ClientMessageId, RoomId, UserId
from .server import Chat

__all__ = [
    "PAGE_ASSETS",
    "Chat",
    "ChatLimits",
    "ClientMessageId",
    "Message",
    "NewMessage",
    "RoomId",
    "Rooms",
    "Stored",
    "UserId",
]

PAGE_ASSETS = Path(__file__).parent / "page"
"""What a page of a client loads: scripts, a style sheet, and socket.io-client as it is published, with its licence."""
