"""How much a client may send and hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """Of one process; the settings of a service say how each is named and what it is."""

    message_bytes: int = 4096
    """Of a message's text in UTF-8."""
    messages_per_second: float = 10.0
    """Of one user; as many more may come at once."""
    events_per_second: float = 50.0
    """Of one connection; what comes faster waits in the client's own buffers."""
    rooms_per_user: int = 50
    connections_per_user: int = 10
    connections: int = 4000
    waiting_bytes: int = 262_144
    """Of what one client has not read; with more it is disconnected."""
    packet_bytes: int = 65_536
    """Of one request of long polling."""


class TokenBucket:
    """Lets *rate* things a second pass, and *burst* at once."""

    __slots__ = ("_burst", "_clock", "_rate", "_seen", "_tokens")

    def __init__(self, rate: float, burst: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = self._tokens = max(1.0, rate if burst is None else burst)
        self._clock = clock
        self._seen = clock()

    def take(self) -> float:
        """Take one: 0 if there was one, else the seconds until there will be."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate
