"""Handles a signal although the main thread is unresponsive.

CPython runs a signal's handler in the main thread, between two of its instructions: not while that thread is inside a
name look-up or another call into C, nor when the signal came just before it fell asleep. What happens at once, whatever
the main thread does, is that the signal's number is written to a descriptor (`signal.set_wakeup_fd`). A call that lets
no other thread run makes this one unresponsive as well.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..threads import ChassisThread
from .signals import ENDING_SIGNALS

HANDLER_GRACE_SECONDS: Final = 0.2
"""A main thread that has not run its handler after this will not run it soon."""


class SignalWatch:
    """Calls *on_unhandled* a moment after each ending signal, with its number and how many there have been by then."""

    def __init__(self, on_unhandled: Callable[[int, int], None]) -> None:
        self._on_unhandled = on_unhandled
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._event_loop = -1
        self._handlers: dict[signal.Signals, object] = {}

    def start(self) -> None:
        """Begin to listen. Called by the main thread inside the running event loop, which wakes up by our copy."""
        self._handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a signal to a child is none to us
        descriptor = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        if descriptor >= 0:  # a duplicate, because its number may be another file's as soon as the loop has ended
            self._event_loop = os.dup(descriptor)
        ChassisThread(target=self._run, name="signal-watch").start()

    def _run(self) -> None:
        count = 0
        while numbers := os.read(self._reading, 64):
            with suppress(OSError):
                os.write(self._event_loop, numbers)
            for number, handler in self._handlers.items():
                if number in numbers and signal.getsignal(number) is handler:  # else the application took it over
                    count += numbers.count(number)
                    self._check_later(number, count)

    def _check_later(self, number: int, count: int) -> None:
        timer = threading.Timer(HANDLER_GRACE_SECONDS, self._on_unhandled, [number, count])
        timer.daemon = True
        with suppress(RuntimeError):  # no thread to be had: then what the main thread hears must do
            timer.start()
