"""Handlers of the assistant; the service says at which paths, and who may call them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from ..access import Caller, current_caller
from ..http import EventStream, describe, json_response, prefers_events, read_body, read_id, while_connected
from ..http.events import EVENTS, ServerEvent
from .shapes import AssistantRequest, AssistantResponse, ConversationMessage, ConversationResponse

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..service import Core
    from .assistant import Assistant

PAGE_ASSETS = Path(__file__).parent / "page"
"""What a page for the assistant loads."""

LAST_EVENTS_SECONDS = 5.0
"""For the end of a completion that took all its time; a client that does not read holds it no longer."""
_TAGS = ["assistant"]


class AssistantController:
    """One method for each method and path of the assistant."""

    def __init__(self, core: Core, assistant: Assistant) -> None:
        self._assistant = assistant
        self._lifecycle = core.lifecycle
        self._problems = core.problems

    @describe(
        summary="Ask the assistant",
        description="The completion as a whole; or, with `Accept: text/event-stream`, as server-sent events: `token` "
        "with each part of the text, then `usage`, and `done` with the conversation's id; or `error`, with the members "
        "of problem details, in place of what is left. A comment now and then keeps the connection open. Message and "
        "completion are kept together, and only when the completion is whole.",
        body=AssistantRequest,
        responses={200: (AssistantResponse, str)},
        text_type=EVENTS,
        problems=[400, 404, 413, 415, 422, 429, 502, 503, 504],
        tags=_TAGS,
    )
    async def complete(self, request: Request) -> Response:
        asked = await read_body(request, AssistantRequest)
        caller = current_caller.get()
        if not caller.user_id:
            caller = Caller(client=request.client.host if request.client else "")
        items = self._assistant.complete(caller, asked)
        if prefers_events(request):
            seconds = self._assistant.total_seconds + LAST_EVENTS_SECONDS
            return EventStream(_events(items), lifecycle=self._lifecycle, problems=self._problems, seconds=seconds)
        return json_response(await while_connected(_whole(items), request, self._lifecycle))

    @describe(
        summary="Get a conversation",
        description="Its last messages, the oldest of them first.",
        responses={200: ConversationResponse},
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def conversation(self, request: Request) -> Response:
        conversation_id = read_id(request, "conversation_id")
        found = await self._assistant.conversations.messages(conversation_id, current_caller.get().user_id)
        messages = [ConversationMessage(role=each.role, content=each.content) for each in found]
        return json_response(ConversationResponse(id=conversation_id, messages=messages))

    @describe(
        summary="Delete a conversation",
        description="It is deleted with its messages.",
        responses={204: None},
        problems=[404, 422, 503],
        tags=_TAGS,
    )
    async def delete(self, request: Request) -> Response:
        conversation_id = read_id(request, "conversation_id")
        await self._assistant.conversations.remove(conversation_id, current_caller.get().user_id)
        return Response(status_code=204)


async def _events(items: AsyncGenerator[str | AssistantResponse]) -> AsyncGenerator[ServerEvent]:
    async with aclosing(items):
        async for item in items:
            if isinstance(item, str):
                yield "token", orjson.dumps({"text": item})
            else:
                yield "usage", orjson.dumps(item.usage.model_dump())
                done = {"conversation_id": item.conversation_id, "finish_reason": item.finish_reason}
                yield "done", orjson.dumps(done)


async def _whole(items: AsyncGenerator[str | AssistantResponse]) -> AssistantResponse:
    async with aclosing(items):
        async for item in items:
            if not isinstance(item, str):
                return item
    raise AssertionError  # it ends with the whole response, or raises
