"""What browsers may do for pages of other origins, told to them only where the Host header names a host of ours."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.middleware import cors
from starlette.responses import PlainTextResponse

from .hosts import HostList

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class CORSMiddleware(cors.CORSMiddleware):
    """Starlette's, with its *options*; a preflight to a host that *hosts* do not list goes on to the inner layers.

    It stands outside `ErrorMiddleware`, so that a listed origin can read problem details, and would respond to a
    preflight before anything has looked at the host. Without *hosts* every one is served.
    """

    def __init__(self, app: ASGIApp, /, *, hosts: Collection[str], **options: Any) -> None:
        super().__init__(app, **options)
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
        await super().__call__(scope, receive, send)
