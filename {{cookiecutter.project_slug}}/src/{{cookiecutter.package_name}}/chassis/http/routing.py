"""How a route is declared: one path, and for each of its methods the handler and who may call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from .. import access
from ..access import Caller, Policy

ASK_AGAIN_SECONDS = 1.0

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

    async def admit(self, policy: Policy, request: Request) -> Caller:
        """Who is asking, if *policy* admits them.

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
        self._endpoint_of = dict(endpoints)
        if "GET" in endpoints:
            self._endpoint_of["HEAD"] = endpoints["GET"]
        self._allow = ", ".join(sorted(self._endpoint_of))
        self._gate: Gate | None = None
        super().__init__(path, self._unused, methods=list(endpoints), name=name)

    def guard(self, gate: Gate) -> None:
        """From now on let *gate* decide who is answered; a public method does not ask it."""
        self._gate = gate

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the method's handler, without Starlette's own exception wrapper: ours stands outside."""
        scope["route"] = self.path
        endpoint = self._endpoint_of.get(scope["method"])
        if endpoint is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        request = Request(scope, receive, send)
        if self._gate is None or endpoint.policy.public:
            await _answer(endpoint, request)
            return
        known = access.caller.set(await self._gate.admit(endpoint.policy, request))
        try:
            await _answer(endpoint, Request(scope, _still_admitted(self._gate, endpoint.policy, request), send))
        finally:
            access.caller.reset(known)  # whoever is served next in this context is somebody else

    async def _unused(self, _request: Request) -> Response:
        """Starlette wants one handler for all methods; `handle` never asks it."""
        raise NotImplementedError


def declared(routes: Iterable[object]) -> Iterator[ApiRoute]:
    """Yield *routes*; raises UndeclaredPolicy for one that cannot say who may call it."""
    for route in routes:
        if not isinstance(route, ApiRoute):
            raise UndeclaredPolicy(f"{route!r} does not say who may call it: make it an ApiRoute")
        yield route


def _still_admitted(gate: Gate, policy: Policy, request: Request) -> Receive:
    """The request's `receive`, which asks *gate* again after a body that took its time.

    Otherwise a request that was begun before its caller was locked out could end long after that.
    """
    admitted_at = monotonic()

    async def receive() -> Message:
        message = await request.receive()
        if not message.get("more_body", False) and monotonic() - admitted_at > ASK_AGAIN_SECONDS:
            await gate.admit(policy, request)
        return message

    return receive


async def _answer(endpoint: Endpoint, request: Request) -> None:
    response = await endpoint.handler(request)
    await response(request.scope, request.receive, request._send)  # noqa: SLF001 - Starlette has no other name for it
