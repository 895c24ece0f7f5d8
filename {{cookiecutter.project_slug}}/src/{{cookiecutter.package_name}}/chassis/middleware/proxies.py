"""Whose word about the client's address is believed, and a warning when a proxy is not among those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import structlog

from ..rate_limits import UNKNOWN_PROXY, behind_unknown_proxy
from ..shapes.addresses import canonical_address, mapped_network

if TYPE_CHECKING:
    from collections.abc import Awaitable, Container, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_log = structlog.get_logger("chassis.middleware.proxies")


class ProxiesMiddleware:
    """ASGI middleware; takes the client's address and scheme from X-Forwarded-* of *trusted* peers, and of no other.

    An address is then in its canonical form, as a server or a proxy for both families may not have it: see
    `canonical_address`.

    The first request that another peer says to have forwarded is logged: behind a proxy of which the service does not
    know, all clients have one address, and so one rate limit.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self.app = self._trusting = app
        self._trusted: Container[str | None] = ()
        self._warned = False
        if trusted:
            from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: PLC0415 - unused without proxies

            # A proxy may name the ones before it in either form.
            hosts = [form for each in trusted for form in dict.fromkeys((each, _mapped(each)))]
            trusting: Any = ProxyHeadersMiddleware(cast("Any", self._forwarded), trusted_hosts=hosts)
            self._trusting, self._trusted = trusting, trusting.trusted_hosts

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request over; no coroutine of its own, which would cost each request a microsecond."""
        exchange = scope.get("exchange")
        if exchange is not None:
            client = scope["client"]
            if client is not None and ":" in client[0]:  # asked here, for IPv4 has one spelling
                _canonicalize(scope)
            if exchange.origin.forwarded and not self._trusts(scope):
                return self._unknown(scope, receive, send)
        return self._trusting(scope, receive, send)

    async def _forwarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application behind a trusted proxy, with the address that this one gave."""
        _canonicalize(scope)
        await self.app(scope, receive, send)

    def _trusts(self, scope: Scope) -> bool:
        return scope["client"] is not None and scope["client"][0] in self._trusted

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._warned:
            self._warned = True
            peer = scope["client"][0] if scope["client"] else ""
            _log.warning("forwarded by an unknown proxy", peer=peer, hint=UNKNOWN_PROXY)
        said = behind_unknown_proxy.set(True)
        try:
            await self.app(scope, receive, send)
        finally:
            behind_unknown_proxy.reset(said)  # the next request in this context may come directly


def _mapped(trusted: str) -> str:
    return trusted if trusted == "*" else mapped_network(trusted)


def _canonicalize(scope: Scope) -> None:
    client = scope.get("client")
    if client is not None:
        scope["client"] = (canonical_address(client[0]), client[1])
