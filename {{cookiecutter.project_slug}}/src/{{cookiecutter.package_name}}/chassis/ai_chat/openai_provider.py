"""A provider that speaks OpenAI's Chat Completions API: OpenAI, and the servers that do as it does.

https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .provider import Message, Provider, Usage

if TYPE_CHECKING:
    from .openai_client import CompletionsClient


class OpenAIProvider(Provider):
    """Asks *model* at *base_url*; *options* are added to each request, such as `{"temperature": 0.2}`.

    *limit_field* is what the server calls the limit of output tokens: older ones know `max_tokens` only.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        options: Mapping[str, Any] | None = None,
        limit_field: str = "max_completion_tokens",
    ) -> None:
        self.label = f"{model} at {urlsplit(base_url).hostname}"
        self._base_url = base_url
        self._api_key = api_key
        self._model = model
        self._options = options or {}
        self._limit_field = limit_field
        self._client: CompletionsClient | None = None
        self._opening = asyncio.Lock()

    async def stream(self, messages: Sequence[Message], *, max_output_tokens: int) -> AsyncGenerator[str | Usage]:
        client = await self._opened()
        parameters = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            self._limit_field: max_output_tokens,
            **self._options,
        }
        async with aclosing(client.stream(parameters)) as parts:
            async for part in parts:
                yield part

    async def open(self) -> None:
        await self._opened()

    async def renew(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _opened(self) -> CompletionsClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)
            return self._client

    def _new_client(self) -> CompletionsClient:
        """In a thread, for the first request: to import the SDK takes most of a second of the processor."""
        from .openai_client import CompletionsClient  # noqa: PLC0415 - as the docstring says

        return CompletionsClient(base_url=self._base_url, api_key=self._api_key)
