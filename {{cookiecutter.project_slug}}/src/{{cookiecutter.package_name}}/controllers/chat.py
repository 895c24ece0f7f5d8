"""Handlers below /api/rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from ..chassis.access import current_caller
from ..chassis.chat import RoomId
from ..chassis.errors import FieldError, Invalid
from ..chassis.http import describe, json_response, read_query
from ..models.chat import MessagePage, MessageQuery

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from ..services.chat import ChatRooms

ROOM_ID: TypeAdapter[str] = TypeAdapter(RoomId)


class ChatController:
    """What HTTP serves of the chat; the rest are events."""

    def __init__(self, rooms: ChatRooms) -> None:
        self._rooms = rooms

    @describe(
        summary="List the messages of a room",
        description="The newest first; `next_cursor` leads to older ones, at the same cost at any depth.",
        query=MessageQuery,
        responses={200: MessagePage},
        problems=[400, 403, 422, 503],
        tags=["chat"],
    )
    async def messages(self, request: Request) -> Response:
        room_id = _room_id(request)
        query = read_query(request, MessageQuery)
        await self._rooms.admit(current_caller.get().user_id, room_id)
        return json_response(await self._rooms.page(room_id, query))


def _room_id(request: Request) -> str:
    try:
        return ROOM_ID.validate_python(request.path_params["room_id"])
    except ValidationError:
        problem = FieldError("{room_id}", "is not the id of a room: 1 to 64 letters, digits and _ . : @ + -")
        raise Invalid("The path is wrong.", (problem,)) from None
