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
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()

    async def start(self) -> bool:
        """Start it unless it runs; whether it does. Why a start failed is for its own log."""
        if self._task is not None:
            return True
        task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        self._to_app.put_nowait({"type": "lifespan.startup"})
        if (await self._from_app.get())["type"] == "lifespan.startup.complete":
            self._task = task
            return True
        await asyncio.wait([task])
        return False

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await self._from_app.get()
        await asyncio.wait([task])

    async def _run(self) -> None:
        async def send(message: Message) -> None:
            self._from_app.put_nowait(message)

        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._to_app.get, send)
