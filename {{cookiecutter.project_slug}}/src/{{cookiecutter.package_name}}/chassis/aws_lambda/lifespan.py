"""The lifespan of an ASGI application where no server runs it: begun in one run of an event loop, ended in another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message


class Lifespan:
    """Starts *app* once, in a task of its own, because what it opens has to be closed in the same task."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._task: asyncio.Task[None] | None = None
        self._has_started = False
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def start(self, within_seconds: float | None = None) -> bool:
        """Start it unless it runs; whether it does. Why a start failed is for its own log.

        One that takes longer goes on, and the next call waits for it.
        """
        if self._has_started:
            return True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
            self._to_app.put_nowait({"type": "lifespan.startup"})
        try:
            async with asyncio.timeout(within_seconds):
                message = await self._from_app.get()
        except TimeoutError:
            return False
        self._has_started = message["type"] == "lifespan.startup.complete"
        if not self._has_started:
            await asyncio.wait([self._task])
            self._task = None
        return self._has_started

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._task is None or not self._has_started:
            return
        task, self._task, self._has_started = self._task, None, False
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await self._from_app.get()
        await asyncio.wait([task])

    async def _run(self) -> None:
        async def send(message: Message) -> None:
            self._from_app.put_nowait(message)

        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._to_app.get, send)
