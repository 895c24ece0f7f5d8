"""Which Host headers this service answers to; a wrong one is refused before anything trusts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import HostRefused
from .observation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send


class AllowedHosts:
    """ASGI middleware; *hosts* are names without a port, `*.example.com` stands for every name below it.

    Health and metrics are exempt: a load balancer's probe names the pod's address.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str]) -> None:
        self.app = app
        names = [host.lower() for host in hosts]
        self._any = "*" in names
        self._names = frozenset(name for name in names if not name.startswith("*"))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and scope["path"] not in QUIET_ROUTES:
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            raise HostRefused(f"Exactly one Host header is required, {len(given)} were sent.")
        name = _without_port(given[0].decode("latin-1")).lower()
        if not (self._any or name in self._names or name.endswith(self._suffixes or "\0")):
            raise HostRefused(f"The host {name!r} is not served here.")


def _without_port(host: str) -> str:
    """`example.com:80` and `[::1]:80` without their port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
