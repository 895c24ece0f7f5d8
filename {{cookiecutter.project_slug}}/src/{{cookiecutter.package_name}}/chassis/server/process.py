"""The life of the process: start, serve, drain, stop, and an exit code that tells how it went."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
import uvloop
from starlette.types import ASGIApp

from .. import exit_codes
from ..lifecycle import Lifecycle, Phase
from .collector import tune_collector
from .deadlines import TICK_SECONDS
from .lifespan import Lifespan, LifespanFailed
from .listener import MAIN, Listener
from .options import ServerOptions
from .signal_watch import SignalWatch
from .signals import handle_signals
from .startup_failure import report_startup_failure
from .watchdog import Watchdog

__all__ = ["ServerOptions", "serve"]

log = structlog.get_logger("chassis.server.process")

STARTUP_CANCEL_SECONDS: Final = 0.5
THREADS_SECONDS: Final = 0.25
LAST_SECONDS: Final = 0.5
FLUSH_SECONDS: Final = 0.2
OPERATIONS_DEADLINE_SECONDS: Final = 0.15

Build = Callable[[], tuple[ASGIApp, ASGIApp]]


def serve(
    build: Build,
    options: ServerOptions,
    lifecycle: Lifecycle,
    *,
    flush: Callable[[float], object],
) -> int:
    """Serve what *build* returns (the application, and the one for operations) until a signal; the exit code.

    *flush* writes what is logged within the seconds it is given, or returns False. When something cannot be stopped,
    the process ends here, after flushing.
    """
    options.admission.raise_descriptor_limit()
    watchdog = Watchdog(flush)
    process = Process(build, options, lifecycle, watchdog)
    handle_signals(process.on_signal)
    lifecycle.on_failure(process.on_failure)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = _run(runner.get_loop(), process)
        watchdog.limit(THREADS_SECONDS, code or exit_codes.CUT_OFF, "threads that do not end")
    flush_timed_out = flush(FLUSH_SECONDS) is False
    forced_code = code if flush_timed_out else code or exit_codes.CUT_OFF
    watchdog.limit(LAST_SECONDS, forced_code, "threads that do not end")
    return code


def _run(loop: asyncio.AbstractEventLoop, process: Process) -> int:
    """The exit code of *process*. A task that a request left behind may stop the loop (SystemExit): it is resumed."""
    running = loop.create_task(process.run(), name="process")
    while True:
        try:
            return loop.run_until_complete(running)
        except (SystemExit, KeyboardInterrupt) as error:
            if running.done():
                raise
            message = "an exception that ends a process came from a task or a callback"
            loop.call_exception_handler({"message": message, "exception": error})


class Process:
    """The steps from start to end; the signals come in from outside the event loop."""

    def __init__(
        self,
        build: Build,
        options: ServerOptions,
        lifecycle: Lifecycle,
        watchdog: Watchdog,
    ) -> None:
        self._build = build
        self._options = options
        self._lifecycle = lifecycle
        self._watchdog = watchdog
        self._main = Listener(MAIN, options, options.port)
        self._operations: Listener | None = None
        if options.operations_port is not None:
            self._operations = Listener("operations", options, options.operations_port)
        self._lifespan: Lifespan | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        self._signal = 0
        self._signal_taken_over = False
        """Of the first signal, whose handler has yet to run."""
        self._failure = ""

    # From outside the event loop

    def on_signal(self, number: int) -> None:
        """The first signal asks for the end, the second one forces it."""
        if self._signal_taken_over:
            self._signal_taken_over = False
        elif self._signal:
            self._watchdog.force(number)
        else:
            self._begin_by_signal(number)

    def on_unhandled_signal(self, number: int, count: int) -> None:
        """See that the *count*th signal has its effect if the main thread is unresponsive; called in another one."""
        if count > 1:
            self._watchdog.force(number)
        elif not self._signal:
            self._signal_taken_over = True
            self._begin_by_signal(number)

    def _begin_by_signal(self, number: int) -> None:
        self._signal = number
        if self._lifecycle.phase is Phase.STARTING:
            limit = 2 * STARTUP_CANCEL_SECONDS - FLUSH_SECONDS
            self._watchdog.limit(limit, exit_codes.FORCED_BASE + number, "a blocked start-up")
        self._ask_for_end()

    def on_failure(self, reason: str) -> None:
        """A critical task died: end, and say so with the exit code."""
        if not self._failure:
            self._failure = reason
            log.critical("a critical task died", reason=reason)
            self._ask_for_end()

    def _ask_for_end(self) -> None:
        if self._lifecycle.phase is not Phase.STARTING:
            limit = self._options.longest_shutdown_seconds - FLUSH_SECONDS
            self._watchdog.limit(limit, exit_codes.CUT_OFF, "the shutdown took too long")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_end)

    def _begin_end(self) -> None:
        if self._signal and self._starting is not None and not self._starting.done():
            self._starting.cancel()
        self._end.set()

    # Inside it

    async def run(self) -> int:
        """From the first connection of the application to its last; the exit code."""
        self._loop = asyncio.get_running_loop()
        SignalWatch(self.on_unhandled_signal).start()
        self._starting = self._loop.create_task(self._start(), name="start")
        if self._signal:
            self._starting.cancel()
        try:
            await self._starting
        except asyncio.CancelledError:
            return await self._stopped_while_starting()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no service
            report_startup_failure(error, self._options)
            await self._release()
            return exit_codes.STARTUP_FAILED
        await self._end.wait()
        return await self._stop()

    async def _start(self) -> None:
        for listener in self._listeners():
            listener.bind()
        main_app, operations_app = self._build()
        self._lifespan = Lifespan(main_app)
        await self._lifespan.start()
        self._lifespan.on_early_end(lambda: self.on_failure("the application's lifespan ended"))
        if self._operations is not None:
            await self._operations.open(operations_app, self._lifespan.state)
        await self._main.open(main_app, self._lifespan.state)
        tune_collector()
        self._lifecycle.advance(Phase.READY)
        if self._failure:  # of a task that died while others started, when there was no end to set a limit to
            self._ask_for_end()
        self._tick(asyncio.get_running_loop().time())

    async def _stopped_while_starting(self) -> int:
        code = exit_codes.FORCED_BASE + self._signal
        await self._release()
        log.warning("stopped while starting", signal=signal.Signals(self._signal).name, exit_code=code)
        return code

    async def _release(self) -> None:
        """Give back what a start that came to nothing has taken."""
        if self._lifespan is not None:
            await self._lifespan.abandon(STARTUP_CANCEL_SECONDS)
        for listener in self._listeners():
            listener.release()

    def _listeners(self) -> list[Listener]:
        return [self._main] if self._operations is None else [self._main, self._operations]

    def _tick(self, previous: float) -> None:
        """Look after all connections; time in which the loop itself was blocked is no client's fault."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.call_later(TICK_SECONDS, self._tick, now)  # first, so that a failure below is not the end of every clock
        for listener in self._listeners():
            listener.tick(min(now - previous, 2 * TICK_SECONDS))

    async def _stop(self) -> int:
        started = asyncio.get_running_loop().time()
        await self._drain()
        self._lifecycle.advance(Phase.STOPPING)
        cut_off, _ = await asyncio.gather(self._main.end(self._options.shutdown_deadline_seconds), self._finish_work())
        if self._operations is not None:
            await self._operations.end(OPERATIONS_DEADLINE_SECONDS)
        code = await self._tear_down()
        code = (exit_codes.CRASHED if self._failure else 0) or (exit_codes.CUT_OFF if cut_off else 0) or code
        seconds = round(asyncio.get_running_loop().time() - started, 3)
        log.info("stopped", exit_code=code, seconds=seconds, cancelled=cut_off)
        return code

    async def _drain(self) -> None:
        """Be not ready and go on serving, until the balancer has noticed."""
        self._lifecycle.advance(Phase.DRAINING)
        self._main.start_draining()
        delay = self._options.drain_delay_seconds
        cause = signal.Signals(self._signal).name if self._signal else self._failure
        log.info("draining", cause=cause, drain_delay_seconds=delay, in_flight=self._main.in_flight)
        await asyncio.sleep(delay)
        log.info("drain delay over", waited_seconds=delay, in_flight=self._main.in_flight)

    async def _finish_work(self) -> None:
        """Wait for what is no request until the deadline; then it is cancelled, and gives back what it has begun."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.shutdown_deadline_seconds):
                await self._lifecycle.wait_until_finished()

    async def _tear_down(self) -> int:
        """Let the application close what it opened; its part of the exit code."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        if self._lifespan is None:
            return exit_codes.CLEAN
        limit = self._options.teardown_seconds
        try:
            async with asyncio.timeout(limit):
                await self._lifespan.stop()
        except TimeoutError:
            log.error("teardown cut off", limit_seconds=limit)  # noqa: TRY400 - our own timeout has no story to tell
            return exit_codes.CUT_OFF
        except LifespanFailed as failed:
            log.error("teardown failed", exc_info=failed.cause)  # noqa: TRY400 - the cause is what failed
            return exit_codes.CRASHED
        log.info("torn down", seconds=round(loop.time() - started, 3))
        return exit_codes.CLEAN
