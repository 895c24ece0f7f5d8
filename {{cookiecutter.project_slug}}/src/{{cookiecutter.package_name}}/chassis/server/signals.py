"""What a signal means before and while the server runs; it imports nothing heavy, so that it can be set up first."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from .. import exit_codes

ENDING_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
FLUSH_SECONDS = 0.3


def exit_at_once_on_signals(flush: Callable[[float], object] | None = None) -> None:
    """Until the server takes over, a signal ends the process with 128 + n, without a traceback.

    It is called before anything heavy is imported, for an interrupted import has nothing to clean up; and again as soon
    as there is a log, whose *flush* writes what is queued within the seconds it is given. A second signal waits for
    nothing.
    """

    def end(number: int) -> None:
        if flush is not None:
            exit_at_once_on_signals()
            flush(FLUSH_SECONDS)
        os._exit(exit_codes.FORCED_BASE + number)

    handle_signals(end)


def handle_signals(callback: Callable[[int], None]) -> None:
    """Call *callback* in the main thread for each ending signal; one that the parent ignores stays ignored."""

    def handler(number: int, _frame: FrameType | None) -> None:
        callback(number)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP for us
            signal.signal(number, handler)
