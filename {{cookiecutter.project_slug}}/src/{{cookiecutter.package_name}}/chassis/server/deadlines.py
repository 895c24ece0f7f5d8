"""How long a connection waits for its client.

No timer per connection: the listener asks every connection a few times a second, and each adds up the time that it
spent waiting for its client. Time in which the client waits for us does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..shapes import problem
from .rejection import Rejected

if TYPE_CHECKING:
    from .options import ServerOptions
    from .protocol import Connection

TICK_SECONDS: Final = 0.25
LINGER_SECONDS: Final = 2.0
SLOWEST_BODY_BYTES_PER_SECOND: Final = 4096
"""An upload at this pace or above is not cut off, however long it takes."""
PROGRESS_BYTES: Final = 16_384
"""A reader that takes this much within the write timeout is slow, and not stuck."""


class WriteClock:
    """How long a client has taken nothing of what waits for it."""

    __slots__ = ("_limit_seconds", "_unsent", "_waited")

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._waited = 0.0
        self._unsent = 0

    def restart(self) -> None:
        self._waited = 0.0

    def is_over(self, unsent: int, elapsed_seconds: float) -> bool:
        """Whether the client has used up its time, with *unsent* bytes waiting now."""
        if unsent <= self._unsent - PROGRESS_BYTES or not unsent:
            self._waited = 0.0
            self._unsent = unsent
        else:
            self._waited += elapsed_seconds
            self._unsent = max(self._unsent, unsent)
        return self._waited > self._limit_seconds


class Deadlines:
    """The clocks of one connection."""

    __slots__ = ("_options", "_waited", "_writing")

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._waited = -TICK_SECONDS
        self._writing = WriteClock(options.write_timeout_seconds)

    def restart(self) -> None:
        """The client did what was waited for: a new wait begins."""
        self._waited = -TICK_SECONDS  # the next tick may come at once, and would count a whole one

    def resumed_writing(self) -> None:
        """The client has read on."""
        self._writing.restart()

    def tick(self, connection: Connection, elapsed_seconds: float) -> None:
        """Add *elapsed_seconds* to the clock of what *connection* waits for, and end it when its time is over."""
        unsent = connection.transport.get_write_buffer_size()
        if self._writing.is_over(unsent, elapsed_seconds):
            connection.give_up("the client does not read its response")
        if unsent:
            return
        self._waited += elapsed_seconds
        if connection.lingering:
            if self._waited > LINGER_SECONDS:
                connection.transport.close()
        elif connection.active is None:
            self._tick_without_request(connection)
        elif connection.feeding is connection.active and not connection.flow.read_paused:
            self._tick_body(connection)
        elif connection.half_closed:
            self._tick_half_closed(connection)
        else:
            self.restart()

    def _tick_without_request(self, connection: Connection) -> None:
        if connection.head_bytes:
            if self._waited > self._options.header_timeout_seconds:
                connection.reject(Rejected(problem.REQUEST_TIMEOUT, "The header did not arrive in time."))
        elif self._waited > self._limit_of_silence(connection):
            connection.finish()

    def _limit_of_silence(self, connection: Connection) -> float:
        if connection.feeding is not None:
            return LINGER_SECONDS  # the rest of a body whose response is sent: it is not read
        used = connection.used
        return self._options.keep_alive_seconds if used else self._options.header_timeout_seconds

    def _tick_body(self, connection: Connection) -> None:
        received = connection.active.received_bytes if connection.active is not None else 0
        if self._waited > self._options.body_timeout_seconds + received / SLOWEST_BODY_BYTES_PER_SECOND:
            connection.reject(Rejected(problem.REQUEST_TIMEOUT, "The body did not arrive in time."))

    def _tick_half_closed(self, connection: Connection) -> None:
        """A client that only stopped sending looks like one that left, until something is written."""
        if connection.active is not None and connection.active.progressed:
            connection.active.progressed = False
            self.restart()
        elif self._waited > self._options.write_timeout_seconds:
            connection.give_up("the client closed its side and the response makes no progress")
