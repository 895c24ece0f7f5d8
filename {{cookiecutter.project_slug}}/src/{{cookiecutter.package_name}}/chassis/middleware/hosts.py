"""The Host headers that this service accepts; a wrong one is rejected before anything trusts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import HostNotAllowed
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_MOST_REMEMBERED = 256
_LONGEST_REMEMBERED = 256


class HostList:
    """Names without a port; `*.example.com` stands for every name below it.

    Health and metrics are exempt: a load balancer's probe names the pod's address.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        names = [host.lower() for host in hosts]
        self._any = "*" in names
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._served: set[bytes] = set()
        """Fields that were found to be right, as they were sent."""

    def rejection(self, scope: Scope) -> str:
        """Why the request of *scope* is not for us; empty if it is."""
        if scope["path"] in QUIET_ROUTES:
            return ""
        host, count = b"", 0
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
                count += 1
        if count != 1:
            return f"Exactly one Host header is required, {count} were sent."
        return "" if host in self._served else self._rejection_of(host)

    def _rejection_of(self, host: bytes) -> str:
        name = _without_port(host.decode("latin-1")).lower()
        if self._any or name in self._names or name.endswith(self._suffixes or "\0"):
            if len(self._served) < _MOST_REMEMBERED and len(host) <= _LONGEST_REMEMBERED:
                self._served.add(host)
            return ""
        return f"The host {name!r} is not served here."


class AllowedHostsMiddleware:
    """ASGI middleware; *hosts* are those of a `HostList`."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self.app = app
        self._hosts = HostList(hosts)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request over, as `ProxiesMiddleware` does."""
        if scope["type"] in {"http", "websocket"} and (rejection := self._hosts.rejection(scope)):
            raise HostNotAllowed(rejection)
        return self.app(scope, receive, send)


def _without_port(host: str) -> str:
    """`example.com:80` and `[::1]:80` without their port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
