"""The yardstick of the assistant: a bare Starlette that streams what the SDK of OpenAI reads, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator

from bare_starlette import identity, serve
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

client = AsyncOpenAI(base_url=os.environ["AI_BASE_URL"], api_key=os.environ["AI_API_KEY"])


async def chat(request: Request) -> Response:
    """Send an event for each part of the completion of the message."""
    message = (await request.json())["message"]

    async def events() -> AsyncIterator[str]:
        messages = [{"role": "user", "content": message}]
        chunks = await client.chat.completions.create(model="m", messages=messages, stream=True)  # type: ignore[call-overload]
        async for chunk in chunks:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield f"event: token\ndata: {json.dumps({'text': text})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":
    serve(Starlette(routes=[Route("/", identity), Route("/api/ai/chat", chat, methods=["POST"])]))
