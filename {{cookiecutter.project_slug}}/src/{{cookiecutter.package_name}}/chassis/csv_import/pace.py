"""How an import lets requests go first: of a process's threads of Python, one computes at a time."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_native_id, local

NICE = 10
SWITCH_SECONDS = 0.0005
REST_FACTOR = 5
"""While many requests come, an import works for a sixth of the time."""
REST_SECONDS = 0.01
"""For each request: a client that looks how far an import is, twenty times a second, takes a fifth of its time."""
MAX_REST_SECONDS = 0.5


class Pace:
    """Rests behind each piece of work while requests come; otherwise it costs nothing."""

    def __init__(self, begun: Callable[[], int] = lambda: 0) -> None:
        """*begun* returns how many requests have begun so far; it is called in any thread."""
        self._begun = begun
        self._known = 0
        self._thread = local()
        """Of each that rests, its processor time at its last rest: every import reads in a thread of its own."""

    def rest(self) -> None:
        """Rest in a thread, in proportion to what it has computed since the last call: a millisecond or two."""
        if seconds := self._rest_seconds(time.thread_time() - getattr(self._thread, "worked", 0.0)):
            time.sleep(seconds)
        self._thread.worked = time.thread_time()

    async def rest_after(self, seconds: float) -> None:
        """Rest after work of *seconds* that the event loop waited for."""
        if rest := self._rest_seconds(seconds):
            await asyncio.sleep(rest)

    def _rest_seconds(self, worked: float) -> float:
        before, self._known = self._known, self._begun()
        return min(REST_FACTOR * worked, REST_SECONDS * (self._known - before), MAX_REST_SECONDS)


def give_way() -> None:
    """Let the threads of the process go before the calling one, where a thread has a nice value of its own."""
    if sys.platform == "linux":  # setpriority(2)
        os.setpriority(os.PRIO_PROCESS, get_native_id(), NICE)


@contextmanager
def quick_switches() -> Iterator[None]:
    """Let the event loop wait less for a thread of Python that computes: 5 ms is the interpreter's default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_SECONDS))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
