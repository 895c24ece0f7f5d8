"""Which connections a process keeps: as many as it has descriptors for, and not all of them for one address."""

from __future__ import annotations

import resource
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from ..rate_limits import subscriber
from ..shapes import problem
from .rejection import Rejected

if TYPE_CHECKING:
    from .protocol import Connection
    from .websocket import WebSocketConnection

log = structlog.get_logger("chassis.server.admission")

RESERVED_DESCRIPTORS: Final = 64
"""For what is no client's connection: the database, files, the next process. Of a small limit, a quarter."""
SECONDS_BETWEEN_LINES: Final = 10.0
OTHERS_SECONDS: Final = 60.0
"""How long the number of descriptors that are no connections is believed."""


class Admission:
    """Shared by the listeners of a process; `open` counts connections, `shed` those that a limit cost, by its name."""

    def __init__(self) -> None:
        self.open = 0
        self.shed = {"idle": 0, "descriptors": 0, "address": 0}
        self._idle: dict[Connection, None] = {}
        """The longest idle comes first."""
        self._addresses: Counter[str] = Counter()
        self._limit = self._short_from = self._none_from = self._others = 0
        self._others_known_until = 0.0
        self._next_line = dict.fromkeys(self.shed, 0.0)

    def raise_descriptor_limit(self) -> None:
        """Let the process have as many descriptors as it may; the usual soft limit, 1,024, is for `select`."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS allows less than its hard limit says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        self._limit = soft if soft != resource.RLIM_INFINITY else 0
        reserved = min(RESERVED_DESCRIPTORS, self._limit // 4)
        self._short_from, self._none_from = self._limit - reserved, self._limit - reserved // 2

    def admit(self, connection: Connection) -> None:
        """Keep *connection*, or reject it; another one that is idle may have to go."""
        self.open += 1
        if connection.state.max_connections_per_address and not self._has_place(connection):
            return
        if self._limit and self._is_short(connection) and not self._has_room(connection):
            return
        self._idle[connection] = None

    def release(self, connection: Connection | WebSocketConnection) -> None:
        """Forget a connection that has ended."""
        self.open -= 1
        if connection.state.max_connections_per_address:
            key = _key(connection.client)
            self._addresses[key] -= 1
            if not self._addresses[key]:
                del self._addresses[key]

    def set_idle(self, connection: Connection) -> None:
        """From now on *connection* waits for its client."""
        self._idle[connection] = None

    def set_busy(self, connection: Connection) -> None:
        """From now on *connection* may not be closed for the sake of another."""
        self._idle.pop(connection, None)

    def _is_short(self, connection: Connection) -> bool:
        """Whether few descriptors are left.

        A new one has the lowest number that is free, so where that is high, it says how many there are, and thereby how
        many are not for connections. To count them all would take too long.
        """
        descriptor = connection.transport.get_extra_info("socket").fileno()
        if descriptor >= self._short_from:
            self._others = max(self._others, descriptor + 1 - self.open)
            self._others_known_until = monotonic() + OTHERS_SECONDS
        elif self._others and monotonic() > self._others_known_until:
            self._others = 0
        return self.open + self._others > self._short_from

    def _has_room(self, connection: Connection) -> bool:
        """Make room for *connection* by closing the longest idle one; without one, reject it."""
        longest_idle = next(iter(self._idle), None)
        reason = "descriptors" if longest_idle is None else "idle"
        self._count(reason, "descriptors run short", limit=self._limit)
        if longest_idle is not None:
            self._idle.pop(longest_idle)
            longest_idle.transport.close()
            return True
        if self.open + self._others > self._none_from:
            connection.transport.abort()
        else:
            connection.reject(Rejected(problem.UNAVAILABLE, "Too many connections are open. Try again later."))
        return False

    def _has_place(self, connection: Connection) -> bool:
        per_address, key = connection.state.max_connections_per_address, _key(connection.client)
        self._addresses[key] += 1
        if self._addresses[key] <= per_address:
            return True
        self._count("address", "too many connections of one address", client=key, limit=per_address)
        if self._addresses[key] > 2 * per_address:  # to read a response takes a descriptor for a while
            connection.transport.abort()
        else:
            detail = f"At most {per_address} connections of one address are accepted."
            connection.reject(Rejected(problem.TOO_MANY_REQUESTS, detail))
        return False

    def _count(self, reason: str, event: str, **fields: object) -> None:
        """Count what a limit cost, and say so once in a while."""
        self.shed[reason] += 1
        now = monotonic()
        if now >= self._next_line[reason]:
            self._next_line[reason] = now + SECONDS_BETWEEN_LINES
            log.warning(event, reason=reason, shed=self.shed[reason], open_connections=self.open, **fields)


def _key(client: tuple[str, int] | None) -> str:
    """What the connections of *client* are counted under."""
    return subscriber(client[0]) if client else ""
