"""The phase of the process's life, shared by the server, readiness and long-lived streams.

One instance per process, handed down by constructor. It knows neither signals nor sockets: the server advances it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum


class Phase(IntEnum):
    """Each phase includes what the one before it stopped doing."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    """Readiness answers 503; ordinary requests are still served."""
    STOPPING = 3
    """The drain delay is over: endless streams say goodbye and end."""


class Lifecycle:
    """Where the process stands, and the way for a background task to end it."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._stopping = asyncio.Event()
        self._on_failure: Callable[[str], None] | None = None

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    def advance(self, phase: Phase) -> None:
        """Enter *phase*; a phase already passed is left alone."""
        if phase <= self.phase:
            return
        self.phase = phase
        if phase is Phase.STOPPING:
            self._stopping.set()

    async def wait_until_stopping(self) -> None:
        """Return when endless streams should send their last event and end."""
        await self._stopping.wait()

    def on_failure(self, callback: Callable[[str], None]) -> None:
        """Register what ends the process; the server does, once."""
        self._on_failure = callback

    def fail(self, reason: str) -> None:
        """Ask for a graceful end with exit code 70 because of *reason*."""
        if self._on_failure is not None:
            self._on_failure(reason)
