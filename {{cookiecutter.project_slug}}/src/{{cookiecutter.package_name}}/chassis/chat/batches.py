"""Things that arrive at almost the same time are done together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Calls *work* with what came within *window_seconds*, at most *most*; while it works, the next ones gather.

    *work* returns a result for each item, in their order; what it raises, everyone in the batch gets.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        window_seconds: float = 0.005,
        most: int = 200,
    ) -> None:
        self._work = work
        self._window_seconds = window_seconds
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._some = asyncio.Event()

    async def add(self, item: Item) -> Result:
        """The result of *item*, once `run` has come to it; raises what the work raised."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._some.set()
        return await done

    async def run(self) -> None:
        """Work for ever."""
        while True:
            if not self._waiting:
                self._some.clear()
                await self._some.wait()
                await asyncio.sleep(self._window_seconds)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            await self._do(batch)

    async def _do(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except BaseException as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error if isinstance(error, Exception) else RuntimeError("interrupted"))
                    done.exception()  # so that one whose waiter is gone is not reported as never retrieved
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)
