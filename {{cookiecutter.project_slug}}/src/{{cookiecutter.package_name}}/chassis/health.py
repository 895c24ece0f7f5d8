"""Whether this process should be sent requests: its dependencies, asked together, briefly remembered.

Why a check fails is for the log; the public response is yes or no.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from .cache.single_flight import Flight, SingleFlight

if TYPE_CHECKING:
    from .lifecycle import Lifecycle

Check = Callable[[], Awaitable[None]]

_log = structlog.get_logger("chassis.health")


class Readiness:
    """Asks every check in parallel; each raises when what it asks is not usable.

    A check has *timeout_seconds*; a verdict stands for *cache_seconds*, so that many probes cost what one costs. A loss
    shows within the sum of both, and so does a return.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        lifecycle: Lifecycle,
        *,
        timeout_seconds: float = 0.6,
        cache_seconds: float = 0.3,
    ) -> None:
        self._checks = dict(checks)
        self._lifecycle = lifecycle
        self._timeout_seconds = timeout_seconds
        self._cache_seconds = cache_seconds
        self._flights = SingleFlight[bool]()
        self._running: dict[str, asyncio.Task[str]] = {}
        self._failing: dict[str, str] = {}
        self._passed = False
        self._stands_until = float("-inf")

    async def check(self) -> bool:
        """Whether the process is in its READY phase and every dependency responds."""
        if not self._lifecycle.ready:
            return False
        if time.monotonic() >= self._stands_until:
            await self._flights.run("", self._ask_all)
        return self._passed and self._lifecycle.ready

    async def _ask_all(self, _flight: Flight[bool]) -> bool:
        reasons = await asyncio.gather(*(self._ask(name) for name in self._checks))
        failing = {name: reason for name, reason in zip(self._checks, reasons, strict=True) if reason}
        self._report(failing)
        self._passed = not failing
        self._stands_until = time.monotonic() + self._cache_seconds
        return self._passed

    async def _ask(self, name: str) -> str:
        """Why the check *name* failed, or an empty string.

        A driver may be slow to notice that it was cancelled. Such a check is left behind, at most one for each name:
        the next round gives it time to end before it asks again.
        """
        deadline = time.monotonic() + self._timeout_seconds
        if (left_behind := self._running.get(name)) is not None:
            await asyncio.wait({left_behind}, timeout=self._timeout_seconds)
            if not left_behind.done():
                return "an earlier check still hangs"
        task = asyncio.get_running_loop().create_task(_run(self._checks[name]), name=f"check {name}")
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        await asyncio.wait({task}, timeout=deadline - time.monotonic())
        if not task.done():
            task.cancel()
            return f"no reply within {self._timeout_seconds} s"
        return "cancelled" if task.cancelled() else task.result()

    def _report(self, failing: dict[str, str]) -> None:
        """Log once when the set of failing names changes, not at every probe."""
        if failing.keys() == self._failing.keys():
            return
        self._failing = failing
        if failing:
            _log.warning("not ready", failing=failing)
        else:
            _log.info("ready again")


async def _run(check: Check) -> str:
    try:
        await check()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the dependency is not usable
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""
