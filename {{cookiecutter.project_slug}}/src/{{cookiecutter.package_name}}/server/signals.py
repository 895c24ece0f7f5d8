"""What a signal means before and while the server runs; it imports nothing heavy, so that it can be set up first."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from .. import exit_codes

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def exit_at_once_on_signals() -> None:
    """Until the server takes over, a signal ends the process with 128 + n, without a traceback.

    The command line calls this before it imports anything heavy: an interrupted import has nothing to clean up.
    """
    handle_signals(lambda number: os._exit(exit_codes.FORCED_BASE + number))


def handle_signals(callback: Callable[[int], None]) -> None:
    """Call *callback* in the main thread for each ending signal; one that the parent ignores stays ignored."""

    def handler(number: int, _frame: FrameType | None) -> None:
        callback(number)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP for us
            signal.signal(number, handler)
