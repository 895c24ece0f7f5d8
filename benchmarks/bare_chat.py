"""The yardstick of the chat: python-socketio on uvicorn as its documentation sets it up, which only broadcasts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import socketio
from bare_starlette import identity, serve
from starlette.applications import Starlette
from starlette.routing import Route

chat = socketio.AsyncServer(async_mode="asgi")
numbers = itertools.count(1)


@chat.on("join-room")
async def join(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    """Let the client hear the room."""
    await chat.enter_room(sid, data["roomId"])
    return {"ok": True}


@chat.on("send-message")
async def send(_sid: str, data: dict[str, Any]) -> dict[str, Any]:
    """Send everyone in the room the same members that the service sends; nothing is checked, and nothing is kept."""
    message = {
        "roomId": data["roomId"],
        "id": next(numbers),
        "content": data["message"],
        "userId": "somebody",
        "username": "Somebody",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "type": "text",
        "clientMessageId": data["clientMessageId"],
    }
    await chat.emit("new-message", message, room=data["roomId"])
    return {"ok": True, "id": message["id"]}


if __name__ == "__main__":
    serve(socketio.ASGIApp(chat, Starlette(routes=[Route("/", identity)])))
