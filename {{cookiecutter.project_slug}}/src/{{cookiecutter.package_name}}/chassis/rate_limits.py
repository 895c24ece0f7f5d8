"""How often a client may do something: so many times in a window that begins with the first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network


@dataclass(slots=True)
class _Window:
    ends_at: float
    hits: int


class RateLimit:
    """At most *limit* hits of a key in *window_seconds*, counted in this process.

    It remembers *max_keys* at most; beyond that the oldest is forgotten, so that a flood of made-up keys costs a
    bounded memory. All windows are equally long: they end in the order in which they began, and each hit removes the
    ended ones from the front.
    """

    def __init__(
        self,
        limit: int,
        *,
        window_seconds: float = 60.0,
        max_keys: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._max_keys = max_keys
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def hit(self, key: str) -> float:
        """Count a hit of *key*: 0 if it is within the limit, else the seconds until the next one will be."""
        now = self._clock()
        self._forget_ended(now)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._max_keys:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(now + self._window_seconds, 0)
        if window.hits >= self._limit:
            return window.ends_at - now
        window.hits += 1
        return 0.0

    def forget(self, key: str) -> None:
        """Start again for *key*."""
        self._windows.pop(key, None)

    def _forget_ended(self, now: float) -> None:
        while self._windows and next(iter(self._windows.values())).ends_at <= now:
            self._windows.popitem(last=False)


def subscriber(address: str) -> str:
    """The key under which requests are counted together: an address, of IPv6 its network of 64 bits.

    That is the least that one subscriber has (RFC 6177). What is no address, as a proxy may forward, stands for itself.
    """
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False).network_address)
