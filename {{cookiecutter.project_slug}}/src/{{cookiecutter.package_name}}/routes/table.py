"""How a route is declared: one path, and the handler of each of its methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class ApiRoute(Route):
    """All methods of one path, so that a 405 names every one of them in `Allow`.

    The path's template stands in `scope["route"]` while the request is served: metrics and the access line label it.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], *, name: str) -> None:
        self.handlers = dict(handlers)
        self._handler_of = dict(handlers)
        if "GET" in handlers:
            self._handler_of["HEAD"] = handlers["GET"]
        self._allow = ", ".join(sorted(self._handler_of))
        super().__init__(path, self._answer, methods=list(handlers), name=name)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the method's handler, without Starlette's own exception wrapper: ours stands outside."""
        scope["route"] = self.path
        handler = self._handler_of.get(scope["method"])
        if handler is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        return await self._handler_of[request.method](request)
