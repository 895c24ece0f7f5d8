"""The way of a finished line out of the process, without ever holding up who logs.

Each destination (stdout, LOG_FILE, its file of errors) has a queue of its own: a bounded one and one daemon thread. A
reader of stdout that has stopped reading, or a disk that hangs, therefore stops its own thread and nothing else; the
queue fills up and then drops, and counts, what it cannot take. The threads are daemons, so a blocked one does not hold
the process when it ends.

The line of a request is queued as its fields and built by these threads, many in a row: in the middle of a request,
where nothing of the log's code and data is in the processor's caches, it would cost four times as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from ..threads import ChassisThread
from .lines import Line, LogLines

_BATCH_SECONDS = 0.01
_MAX_MESSAGES = 20_000
_MAX_BYTES = 8 * 1024 * 1024
_BYTES_OF_FIELDS = 400

Notice = SimpleQueue[None]
"""What an Event is elsewhere; a signal handler may give it and wait for it, whatever it interrupts."""


class Destination(Protocol):
    """Where lines end up; may block. `failure` says why the last `write` did not take all lines."""

    failure: str

    def write(self, lines: Sequence[bytes]) -> int:
        """Write *lines* in order and return how many of them arrived whole."""

    def close(self) -> None:
        """Give back what it holds open; nothing is written afterwards."""


class LogQueue:
    """A queue of at most *max_messages* lines and *max_bytes* bytes, and the thread that empties it.

    *finish* makes bytes of a queued line; one that it fails on is dropped. *on_failure* gets the reason why the
    destination takes no more, once until it does again. Without *own_thread*, `request_flush` writes what is queued,
    which may block: for a process that stands still when it is done with a request.
    """

    def __init__(  # noqa: PLR0913 - one value for each property of a queue
        self,
        name: str,
        destination: Destination,
        *,
        finish: Callable[[Line], bytes],
        on_failure: Callable[[str], None] = lambda _reason: None,
        max_messages: int = _MAX_MESSAGES,
        max_bytes: int = _MAX_BYTES,
        own_thread: bool = True,
    ) -> None:
        self.dropped = 0
        self._destination = destination
        self._finish = finish
        self._on_failure = on_failure
        self._failing = False
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        # What is queued or being written. CPython with its global lock does not let another thread in between the parts
        # of `self.n += m` if m is a local. A lock could deadlock, that of an Event too: a signal handler or a finaliser
        # that interrupts these very methods may log, or flush. SimpleQueue is made for exactly that.
        self._is_open = True
        self._messages = 0
        self._bytes = 0
        self._queue: SimpleQueue[Line | Notice] = SimpleQueue()
        self._hurry: Notice = SimpleQueue()
        self._has_thread = own_thread
        if own_thread:
            ChassisThread(target=self._run, name=f"log-{name}").start()

    def put(self, line: Line) -> None:
        """Queue *line*, or count it as dropped."""
        size = _size(line)
        if self._messages >= self._max_messages or self._bytes + size > self._max_bytes:
            self.dropped += 1
            return
        self._messages += 1
        self._bytes += size
        self._queue.put(line)

    def request_flush(self) -> Notice:
        """Return what gets an item as soon as everything queued until now has been written or dropped."""
        done: Notice = SimpleQueue()
        self._queue.put(done)
        if self._has_thread:
            self._hurry.put(None)
        else:
            self._empty(self._queued())
        return done

    def close(self) -> None:
        """Take no line from now on, and end the thread as soon as what is queued has been written."""
        self._max_messages = 0
        self._is_open = False
        self._hurry.put(None)
        self._queue.put(SimpleQueue())  # which wakes the thread
        if not self._has_thread:
            self._run()

    def _run(self) -> None:
        while self._is_open or not self._queue.empty():
            self._empty(self._next_items())
        with suppress(OSError):
            self._destination.close()

    def _empty(self, items: list[Line | Notice]) -> None:
        self._deliver([item for item in items if not isinstance(item, SimpleQueue)])
        for item in items:
            if isinstance(item, SimpleQueue):
                item.put(None)

    def _next_items(self) -> list[Line | Notice]:
        """Wait for a line, then a moment more, so that a busy service wakes this thread a hundred times a second.

        With a longer moment, the event loop would have to stand back for milliseconds while the lines are built.
        """
        first = self._queue.get()
        with suppress(Empty):
            self._hurry.get(timeout=_BATCH_SECONDS)
        return [first, *self._queued()]

    def _queued(self) -> list[Line | Notice]:
        return [self._queue.get() for _ in range(self._queue.qsize())]

    def _deliver(self, lines: list[Line]) -> None:
        written = self._written(self._finished(lines))
        count, size = len(lines), sum(map(_size, lines))
        lost = count - written
        self.dropped += lost
        self._messages -= count
        self._bytes -= size

    def _written(self, finished: list[bytes]) -> int:
        """How many of the lines the destination took; that it takes no more is reported, where there is a place."""
        written, reason = 0, ""
        try:
            written = self._destination.write(finished)
            reason = self._destination.failure
        except Exception as error:  # noqa: BLE001 - what did not arrive is counted
            reason = getattr(error, "strerror", None) or type(error).__name__
        if finished:
            failed, self._failing = self._failing, written < len(finished)
            if self._failing and not failed:
                self._on_failure(reason)
        return written

    def _finished(self, lines: list[Line]) -> list[bytes]:
        finished = []
        for line in lines:
            try:
                finished.append(self._finish(line))
            except Exception:  # noqa: BLE001, S112 - it costs its own line, and not the others
                continue
        return finished


class LogWriter:
    """Hands each line to every destination; *lines* builds them."""

    def __init__(self, lines: LogLines, *, everything: Sequence[LogQueue], errors: Sequence[LogQueue] = ()) -> None:
        self.lines = lines
        self._everything = tuple(everything)
        self._errors = tuple(errors)

    @property
    def dropped(self) -> int:
        """How many lines did not reach a destination; a line lost in two places counts twice."""
        return sum(queue.dropped for queue in (*self._everything, *self._errors))

    def write(self, line: Line, *, error: bool = False) -> None:
        """Queue one *line*, for the file of errors too if *error*; never blocks and never raises."""
        for queue in self._everything:
            queue.put(line)
        if error:
            for queue in self._errors:
                queue.put(line)

    def close(self) -> None:
        """Write what is queued and end the threads; what comes later is dropped."""
        for queue in (*self._everything, *self._errors):
            queue.close()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what is queued has been written; `False` if that took longer than *timeout_seconds*."""
        deadline = time.monotonic() + timeout_seconds
        pending = [queue.request_flush() for queue in (*self._everything, *self._errors)]
        return all(_arrived(done, deadline) for done in pending)


def _size(line: Line) -> int:
    """Roughly how many bytes of memory *line* holds."""
    return len(line) if isinstance(line, bytes) else _BYTES_OF_FIELDS


def _arrived(notice: Notice, deadline: float) -> bool:
    with suppress(Empty):
        notice.get(timeout=max(0.0, deadline - time.monotonic()))
        return True
    return False
