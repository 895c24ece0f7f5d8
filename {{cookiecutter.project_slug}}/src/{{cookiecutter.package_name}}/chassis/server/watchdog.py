"""The thread that bounds the process when its event loop or its threads cannot."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable

import structlog

from .. import exit_codes
from ..threads import ChassisThread

FLUSH_SECONDS = 0.3

log = structlog.get_logger("chassis.server.watchdog")


class Watchdog:
    """Ends the process at the limit it was given, or at once when forced, after writing what is logged.

    It runs beside the event loop, so a loop that is blocked and a thread that never returns are bounded as well.
    Its queue is one that a signal handler may use (`queue.SimpleQueue` is re-entrant; a lock is not).
    """

    def __init__(self, flush: Callable[[float], object]) -> None:
        self._flush = flush
        self._orders: queue.SimpleQueue[tuple[float, int, str]] = queue.SimpleQueue()
        ChassisThread(target=self._run, name="shutdown-watchdog").start()

    def limit(self, seconds: float, exit_code: int, reason: str) -> None:
        """End the process with *exit_code* in *seconds* from now; the latest call counts."""
        self._orders.put((time.monotonic() + seconds, exit_code, reason))

    def force(self, signal_number: int) -> None:
        """End the process now, because of a second signal."""
        self._orders.put((0.0, exit_codes.FORCED_BASE + signal_number, "a second signal"))

    def _run(self) -> None:
        deadline, exit_code, reason = self._orders.get()
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                deadline, exit_code, reason = self._orders.get(timeout=remaining)
            except queue.Empty:
                break
        log.error("process ended by force", reason=reason, exit_code=exit_code)
        self._flush(FLUSH_SECONDS)
        os._exit(exit_code)
