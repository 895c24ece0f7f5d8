"""Paths of the feature `chat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.access import PUBLIC
from ..chassis.http import ApiRoute, allow, mount

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from ..chassis.access import Policy
    from ..chassis.chat import Chat
    from ..controllers.chat import ChatController


def chat_routes(controller: ChatController, chat: Chat, *, readers: Policy) -> list[BaseRoute]:
    """The messages, for *readers*, and Socket.IO, which asks for a token itself: in the packet that connects."""
    return [
        ApiRoute("/api/rooms/{room_id}/messages", {"GET": allow(readers, controller.messages)}, name="chat.messages"),
        mount("/socket.io", chat.app, policy=PUBLIC, name="chat", long_poll=True),
    ]
