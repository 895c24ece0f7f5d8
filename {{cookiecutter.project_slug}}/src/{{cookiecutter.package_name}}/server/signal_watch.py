"""Hears a signal although the main thread does not.

CPython runs a signal's handler in the main thread, between two of its instructions: not while that thread is inside a
name look-up or a long computation in C, nor when the signal came just before it fell asleep. What happens at once,
whatever the main thread does, is that the signal's number is written to a descriptor (`signal.set_wakeup_fd`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from .signals import ENDING_SIGNALS

HEARING_SECONDS: Final = 0.2
"""A main thread that has not run its handler after this will not run it soon."""


class SignalWatch:
    """Calls *remind* a moment after each ending signal, with its number and how many there have been by then."""

    def __init__(self, remind: Callable[[int, int], None]) -> None:
        self._remind = remind
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._event_loop = -1

    def start(self) -> None:
        """Begin to listen. Called by the main thread inside the running event loop, which wakes up by our copy."""
        threading.Thread(target=self._run, name="signal-watch", daemon=True).start()
        descriptor = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        if descriptor >= 0:  # a duplicate, because its number may be another file's as soon as the loop has ended
            self._event_loop = os.dup(descriptor)

    def _run(self) -> None:
        count = 0
        while numbers := os.read(self._reading, 64):
            with suppress(OSError):
                os.write(self._event_loop, numbers)
            for number in ENDING_SIGNALS.intersection(numbers):
                count += numbers.count(number)
                reminder = threading.Timer(HEARING_SECONDS, self._remind, [number, count])
                reminder.daemon = True
                reminder.start()
