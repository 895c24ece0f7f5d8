"""Hooks for exceptions that nothing caught: each is logged once, in the shape of every other line, and counted."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import structlog

from ..threads import ChassisThread

_log = structlog.get_logger("chassis.logs.hooks")


class UnhandledExceptionHooks:
    """Handlers for what escapes the main thread, other threads, finalisers and the event loop.

    *on_unhandled* is called once per exception, with the place (`main`, `thread`, `finaliser` or `loop`). *on_death* is
    called when it ended a thread that the process cannot do without; the other places are those of a request's
    leftovers.
    """

    def __init__(
        self,
        on_unhandled: Callable[[str, BaseException | None], None] | None = None,
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        self._on_unhandled = on_unhandled
        self._on_death = on_death
        self._last_exit: BaseException | None = None

    def install(self) -> None:
        """Take over the interpreter's three hooks; the loop's is `loop_exception_handler`, set on each loop."""
        sys.excepthook = self._main
        threading.excepthook = self._thread
        sys.unraisablehook = self._finaliser

    def loop_exception_handler(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what an event loop reports; for `loop.set_exception_handler`.

        What would end the loop, a SystemExit in a task that nothing awaits, comes twice: from the task, and from the
        server that resumes the loop.
        """
        error = context.get("exception")
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            if error is self._last_exit:
                self._last_exit = None
                return
            self._last_exit = error
        task = context.get("task") or context.get("future")
        name = task.get_name() if isinstance(task, asyncio.Task) else None
        source = context.get("handle") or context.get("transport") or context.get("protocol")
        details = {"task": name} if name else {"source": repr(source)} if source is not None else {}
        self._report("loop", str(context.get("message", "")), context.get("exception"), **details)

    def _main(self, kind: type[BaseException], error: BaseException, _traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            _log.info("interrupted from the keyboard")
            return
        self._report("main", "an exception ended the main thread", error)

    def _thread(self, args: threading.ExceptHookArgs) -> None:
        if issubclass(args.exc_type, SystemExit):
            return
        name = args.thread.name if args.thread is not None else None
        self._report("thread", "an exception ended a thread", args.exc_value, thread=name)
        if isinstance(args.thread, ChassisThread) and self._on_death is not None:
            self._on_death(f"the thread {name!r} of the chassis died")

    def _finaliser(self, args: sys.UnraisableHookArgs) -> None:
        message = args.err_msg or "an exception was ignored in"
        self._report("finaliser", message, args.exc_value, object=repr(args.object)[:200])

    def _report(self, place: str, message: str, error: BaseException | None, **details: str | None) -> None:
        # A hook that raises would print to stderr, or recurse; and it may be called while the interpreter ends.
        try:
            _log.error("unhandled exception", place=place, message=message, exc_info=error, **details)
            if self._on_unhandled is not None:
                self._on_unhandled(place, error)
        except Exception:  # noqa: BLE001, S110 - nothing is left to report it to
            pass
