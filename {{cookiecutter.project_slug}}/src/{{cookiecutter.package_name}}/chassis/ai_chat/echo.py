"""A provider without a model, so that everything works on a bare machine: it says what was said, word by word."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from .provider import Message, Provider, Usage

_WORD = re.compile(r"\s*\S+\s*\Z|\s*\S+")


class EchoProvider(Provider):
    """Repeats the last message; a word, which it counts as a token, each *seconds*."""

    label = "echo"

    def __init__(self, *, seconds: float = 0.02) -> None:
        self._seconds = seconds

    async def stream(self, messages: Sequence[Message], *, max_output_tokens: int) -> AsyncGenerator[str | Usage]:
        input_tokens = sum(len(_WORD.findall(message.content)) for message in messages)
        words = _WORD.findall(f"You said: {messages[-1].content}")
        for word in words[:max_output_tokens]:
            await asyncio.sleep(self._seconds)
            yield word
        reason = "stop" if len(words) <= max_output_tokens else "length"
        yield Usage(reason, input_tokens, min(len(words), max_output_tokens))
