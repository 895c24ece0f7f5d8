"""CORS: what pages of other origins may do, only where the Host header names a host of ours."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.middleware import cors
from starlette.responses import PlainTextResponse
from starlette.routing import Match

from .hosts import HostList

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


ALL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_ALLOW_METHODS = b"access-control-allow-methods"


class CORSMiddleware(cors.CORSMiddleware):
    """Starlette's, with its *options*; a preflight to a host that *hosts* do not list goes on to the inner layers.

    It stands outside `ErrorMiddleware`, so that a listed origin can read problem details, and would respond to a
    preflight before anything has looked at the host. Without *hosts* every one is served.
    Without *allow_methods* a preflight names those that the routes of its path have.
    """

    def __init__(
        self, app: ASGIApp, /, *, hosts: Collection[str], allow_methods: Collection[str] = (), **options: Any
    ) -> None:
        super().__init__(app, allow_methods=tuple(allow_methods) or ALL_METHODS, **options)
        self._methods = frozenset(allow_methods)
        self._hosts = HostList(hosts) if hosts else None

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's; a rejection has the text that the instrumentation replaces by problem details."""
        response = super().preflight_response(request_headers)
        if response.status_code != HTTPStatus.BAD_REQUEST:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return PlainTextResponse(HTTPStatus.BAD_REQUEST.phrase, HTTPStatus.BAD_REQUEST, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and self._hosts and self._hosts.rejection(scope):
            await self.simple_response(scope, receive, send, request_headers=Headers(scope=scope))
            return
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and not self._methods:
            send = _with_methods(send, _methods_of(scope))
        await super().__call__(scope, receive, send)


def _methods_of(scope: Scope) -> list[str]:
    """The methods of every route that has the path of *scope*; all, where an application is mounted or none has it."""
    found: set[str] = set()
    for route in getattr(scope.get("app"), "routes", ()):
        if route.matches(scope)[0] is not Match.NONE:
            found.update(getattr(route, "methods", None) or ALL_METHODS)
    return sorted(found or ALL_METHODS)


def _with_methods(send: Send, methods: list[str]) -> Send:
    """*send*, whose response to a preflight names *methods*."""
    named = ", ".join(methods).encode()

    async def send_with_methods(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, named if name == _ALLOW_METHODS else value) for name, value in message.get("headers", ())]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_methods
