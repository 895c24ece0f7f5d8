"""The phase of the process's life, shared by the server, readiness and long-lived streams.

One instance per process, handed down by constructor. It knows neither signals nor sockets: the server advances it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T")


class Phase(IntEnum):
    """Each phase includes what the one before it stopped doing."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    """Readiness responds with 503; ordinary requests are still served."""
    STOPPING = 3
    """The drain delay is over: endless streams send their last event and end."""


class _Stopping(Exception):
    """Endless streams should end."""


class Lifecycle:
    """Where the process stands, and the way for a background task to end it.

    Without *exits_on_unhandled*, an unhandled exception is only logged: the setting UNHANDLED_ERRORS.
    """

    def __init__(self, *, exits_on_unhandled: bool = True) -> None:
        self.phase = Phase.STARTING
        self._exits_on_unhandled = exits_on_unhandled
        self._draining = asyncio.Event()
        self._stopping = asyncio.Event()
        self._streams: set[asyncio.Timeout] = set()
        """One for each stream that waits for its next item."""
        self._on_failure: Callable[[str], None] | None = None
        self._unfinished = 0
        self._finished = asyncio.Event()
        self._finished.set()

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    def advance(self, phase: Phase) -> None:
        """Enter *phase*; a phase already passed is left alone."""
        if phase <= self.phase:
            return
        self.phase = phase
        if phase >= Phase.DRAINING:
            self._draining.set()
        if phase is Phase.STOPPING:
            self._stopping.set()
            for waiting in self._streams:
                waiting.reschedule(0)

    async def wait_until_draining(self) -> None:
        """Return when long-lived connections should begin to move elsewhere."""
        await self._draining.wait()

    async def wait_until_stopping(self) -> None:
        """Return when endless streams should send their last event and end."""
        await self._stopping.wait()

    @contextmanager
    def unfinished(self) -> Iterator[None]:
        """The end of the process waits for the block as for a request: until the deadline of the shutdown."""
        self._unfinished += 1
        self._finished.clear()
        try:
            yield
        finally:
            self._unfinished -= 1
            if not self._unfinished:
                self._finished.set()

    async def wait_until_finished(self) -> None:
        """Return when no work is left that the end has to wait for."""
        await self._finished.wait()

    async def until_stopping(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """Yield *items* until there are no more, or until endless streams should end; then *items* are closed.

        What a stream sends last comes after the loop:

            async for event in core.lifecycle.until_stopping(events()):
                yield event
            yield GOODBYE
        """
        iterator = aiter(items)
        try:
            while self.phase < Phase.STOPPING:
                try:
                    item = await self._next(iterator)
                except (StopAsyncIteration, _Stopping):
                    return
                yield item
        finally:
            if (close := getattr(iterator, "aclose", None)) is not None:
                await close()

    async def _next(self, iterator: AsyncIterator[T]) -> T:
        """The next item; raises _Stopping if the phase ends the wait for it."""
        try:
            async with asyncio.timeout(None) as waiting:
                self._streams.add(waiting)
                return await anext(iterator)
        except TimeoutError:
            if waiting.expired():
                raise _Stopping from None
            raise
        finally:
            self._streams.discard(waiting)

    def on_failure(self, callback: Callable[[str], None]) -> None:
        """Register what ends the process; the server does, once."""
        self._on_failure = callback

    def fail_unhandled(self, reason: str) -> None:
        """As `fail`, because of an exception that nothing handled; the settings may say to go on."""
        if self._exits_on_unhandled:
            self.fail(reason)

    def fail(self, reason: str) -> None:
        """Ask for a graceful end with exit code 70 because of *reason*; may be called in any thread."""
        if self._on_failure is not None:
            self._on_failure(reason)
