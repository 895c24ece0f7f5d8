"""How a route is declared: one path, and for each of its methods the handler and who may call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..access import PUBLIC, Policy

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers one method of one path, and for whom."""

    policy: Policy
    handler: Handler


def allow(policy: Policy, handler: Handler) -> Endpoint:
    """Declare that *handler* answers those whom *policy* admits."""
    return Endpoint(policy, handler)


class Gate(Protocol):
    """Tells callers apart, and turns away whom a policy does not admit."""

    scheme: Mapping[str, Any]
    """How callers prove who they are, as an OpenAPI security scheme."""

    async def admit(self, policy: Policy, request: Request) -> None:
        """Set `access.caller`, if *policy* admits who is asking.

        Raises Unauthenticated, Forbidden, and NotFound for what belongs to somebody else.
        """


class UndeclaredPolicy(Exception):
    """A route does not say who may call it."""


class ApiRoute(Route):
    """All methods of one path, so that a 405 names every one of them in `Allow`.

    The path's template stands in `scope["route"]` while the request is served: metrics and the access line label it.
    """

    def __init__(self, path: str, endpoints: Mapping[str, Endpoint], *, name: str) -> None:
        for method, endpoint in endpoints.items():
            if not isinstance(endpoint, Endpoint):
                raise UndeclaredPolicy(f"{method} {path} does not say who may call it: write allow(POLICY, handler)")
        self.endpoints = dict(endpoints)
        self._handler_of = _with_head({method: endpoint.handler for method, endpoint in endpoints.items()})
        self._allow = ", ".join(sorted(self._handler_of))
        super().__init__(path, self._answer, methods=list(endpoints), name=name)

    def guard(self, gate: Gate) -> None:
        """From now on let *gate* decide who is answered; a public method does not ask it."""
        guarded = {method: _guarded(gate, endpoint) for method, endpoint in self.endpoints.items()}
        self._handler_of = _with_head(guarded)

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


def declared(routes: Iterable[object]) -> Iterator[ApiRoute]:
    """Yield *routes*; raises UndeclaredPolicy for one that cannot say who may call it."""
    for route in routes:
        if not isinstance(route, ApiRoute):
            raise UndeclaredPolicy(f"{route!r} does not say who may call it: make it an ApiRoute")
        yield route


def _with_head(handlers: dict[str, Handler]) -> dict[str, Handler]:
    return handlers | {"HEAD": handlers["GET"]} if "GET" in handlers else handlers


def _guarded(gate: Gate, endpoint: Endpoint) -> Handler:
    if endpoint.policy == PUBLIC:
        return endpoint.handler

    async def admitted(request: Request) -> Response:
        await gate.admit(endpoint.policy, request)
        return await endpoint.handler(request)

    return admitted
