"""How often a client may do something: so many times in a window that begins with the first."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import structlog

behind_unknown_proxy: ContextVar[bool] = ContextVar("behind_unknown_proxy", default=False)
"""Whether the request says that it was forwarded, by a peer that is not one of TRUSTED_PROXIES."""

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_IPV4_INSIDE = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
_NETWORKS = ((64, 1), (56, 4), (48, 16))

_log = structlog.get_logger("security")


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
        seconds = self.wait(key)
        if not seconds:
            self.add(key)
        return seconds

    def wait(self, key: str, *, times: int = 1) -> float:
        """0 if a hit of *key* is within *times* the limit, else the seconds until one will be; it counts nothing."""
        now = self._clock()
        self._forget_ended(now)
        window = self._windows.get(key)
        return window.ends_at - now if window is not None and window.hits >= times * self._limit else 0.0

    def add(self, key: str) -> float:
        """Count a hit of *key*, whatever the limit; the end of its window, for `give_back`."""
        now = self._clock()
        self._forget_ended(now)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._max_keys:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(now + self._window_seconds, 0)
        window.hits += 1
        return window.ends_at

    def give_back(self, key: str, ends_at: float) -> None:
        """Take a hit of *key* back that was counted in the window that ends at *ends_at*, if it is the present one."""
        window = self._windows.get(key)
        if window is not None and window.ends_at == ends_at and window.hits > 0:
            window.hits -= 1

    def forget(self, key: str) -> None:
        """Start again for *key*."""
        self._windows.pop(key, None)

    def _forget_ended(self, now: float) -> None:
        while self._windows and next(iter(self._windows.values())).ends_at <= now:
            self._windows.popitem(last=False)


def subscriber(address: str) -> str:
    """The key under which requests are counted together: an address of IPv4, of IPv6 its network of 64 bits."""
    return networks(address)[0][0]


def networks(address: str) -> tuple[tuple[str, int], ...]:
    """Each network of *address* that a limit is counted for, and how many times the limit it has, smallest first.

    64 bits are the least that one subscriber of IPv6 has (RFC 6177); providers also give 56 and 48, which one machine
    can use up. An address of IPv6 that stands for one of IPv4 counts as that. What is no address, as a proxy may
    forward, stands for itself.
    """
    parsed = _parsed(address)
    if parsed is None:
        return ((address, 1),)
    if isinstance(parsed, IPv4Address):
        return ((str(parsed), 1),)
    return tuple((str(IPv6Network((parsed, bits), strict=False)), times) for bits, times in _NETWORKS)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """The address, or that of IPv4 inside it; with or without brackets, zone and port."""
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return parsed if isinstance(parsed, IPv4Address) else _ipv4_inside(parsed) or parsed


def _ipv4_inside(address: IPv6Address) -> IPv4Address | None:
    """Of mapped and compatible addresses (RFC 4291), SIIT and NAT64 (RFC 6052, 7915, 8215), 6to4 and Teredo.

    Of Teredo (RFC 4380) it is the client's own, not its server's.
    """
    number = int(address)
    if number >> 16 == 0:  # the loopback address is none of those
        return None
    if address in _LOCAL_NAT64 and number & 0xFF_FFFF_FFFF == 0:  # the prefix of 48 bits goes on after bit 72
        return IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
    if address in _LOCAL_NAT64 or any(address in network for network in _IPV4_INSIDE):
        return IPv4Address(number & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def report_limit(limit: str, client: str, *, user: str = "") -> None:
    """Log that the *client* was rejected by *limit*, and what to set if it stands for all clients of a proxy."""
    hint = {"hint": UNKNOWN_PROXY} if behind_unknown_proxy.get() else {}
    _log.warning("rate limit hit", user=user, limit=limit, client=client, outcome="rejected", **hint)


UNKNOWN_PROXY = (
    "the request says that it was forwarded, and its sender is not one of TRUSTED_PROXIES: if that is your proxy, all "
    "of its clients share one limit; set TRUSTED_PROXIES to its address"
)
