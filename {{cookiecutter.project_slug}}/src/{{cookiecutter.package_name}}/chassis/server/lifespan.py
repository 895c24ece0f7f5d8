"""The application's start and end (ASGI lifespan), each within a time limit and with its cause kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class LifespanFailed(Exception):
    """The application could not start or end; `cause` is its exception, if it raised one."""

    def __init__(self, cause: BaseException | None) -> None:
        super().__init__("the application's lifespan failed")
        self.cause = cause


class Lifespan:
    """One task that runs the application's lifespan, so that its context managers see one task."""

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Return when the application is ready. Raises LifespanFailed."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        await self._step("lifespan.startup")

    def on_early_end(self, callback: Callable[[], None]) -> None:
        """Call *callback* if the lifespan ends before `stop` is called: nothing holds the resources any more."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: None if self._stopping else callback())

    async def stop(self) -> None:
        """Return when the application has closed what it opened. Raises LifespanFailed."""
        self._stopping = True
        await self._step("lifespan.shutdown")

    async def abandon(self, within_seconds: float) -> None:
        """Cancel the lifespan, wherever it is, and let its `finally` blocks run for a while."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=within_seconds)

    async def _step(self, name: str) -> None:
        if self._task is None or self._task.done():
            return
        self._inbox.put_nowait({"type": name})
        if await self._outbox.get() == f"{name}.complete":
            return
        await asyncio.wait([self._task], timeout=1.0)  # a failed application raises after it said so
        raise LifespanFailed(self._cause())

    def _cause(self) -> BaseException | None:
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except (SystemExit, KeyboardInterrupt) as error:  # these would break out of the event loop itself
            raise RuntimeError(f"the application raised {type(error).__name__}") from error
        finally:
            self._outbox.put_nowait("ended")

    async def _send(self, message: Any) -> None:
        self._outbox.put_nowait(message["type"])
