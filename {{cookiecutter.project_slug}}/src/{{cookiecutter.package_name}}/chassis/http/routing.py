"""Declaration of a route: one path, and for each of its methods the handler and the access policy."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ..access import Caller, Policy, current_caller
from ..errors import ConfigurationError, ContentTooLarge, Forbidden, PreconditionRequired
from ..shapes.limits import BodyLimits
from .headers import Headers, declare, overrides
from .requests import BoundedRequest

REAUTHORIZE_SECONDS = 1.0

AsyncHandler = Callable[[Request], Awaitable[Response]]
Handler = AsyncHandler | Callable[[Request], Response]
"""A coroutine function, or a plain one, which runs in the thread pool."""


class Authorizer(Protocol):
    """Identifies callers and applies access policies."""

    scheme: Mapping[str, Any]
    """How callers authenticate, as an OpenAPI security scheme."""

    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:
        """The caller of the request, or websocket, if *policy* admits them.

        Raises Unauthenticated, Forbidden, and NotFound for what belongs to another user.
        """


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The handler of one method of one path, its policy, and what it accepts of a body besides the settings."""

    policy: Policy
    handler: Handler
    limits: BodyLimits | None = None
    if_match_required: bool = False
    """Whether a request without If-Match is rejected with 428."""
    long_poll: bool = False
    """Whether requests wait here until something happens: they count as streams, against MAX_STREAMS."""
    upload: bool = False
    """Whether bodies may take longer than REQUEST_TIMEOUT_SECONDS, as they come: those count as streams, too."""
    untimed: bool = False
    """Whether the handler bounds its time itself: REQUEST_TIMEOUT_SECONDS does not hold."""
    call: AsyncHandler = field(init=False, repr=False, compare=False)
    """*handler* as a coroutine function."""

    def __post_init__(self) -> None:
        call = self.handler if _is_async(self.handler) else _in_thread(self.handler)
        object.__setattr__(self, "call", call)


def allow(  # noqa: PLR0913 - the parts of an endpoint, all named
    policy: Policy,
    handler: Handler,
    *,
    limits: BodyLimits | None = None,
    if_match_required: bool = False,
    long_poll: bool = False,
    upload: bool = False,
    untimed: bool = False,
) -> Endpoint:
    """Declare that *handler* serves the callers whom *policy* admits; *limits* replace the settings' for its bodies.

    With *if_match_required*, a change that does not say which version it is of gets 428. Requests of a *long_poll*
    count against MAX_STREAMS while they wait, and so do those of an *upload*, whose handler reads `request.stream()`:
    the server's pace for bodies holds for them in place of REQUEST_TIMEOUT_SECONDS. That does not hold for an *untimed*
    one either, whose handler has a limit of its own.
    """
    return Endpoint(policy, handler, limits, if_match_required, long_poll, upload, untimed)


class ApiRoute(Route):
    """All methods of one path, so that a 405 names every one of them in `Allow`.

    Its template labels metrics and the access line. Until `protect` has given it an authorizer, only its public methods
    are served. *headers* of its responses replace those of the chassis, or remove them where the value is None:
    `headers={"Cache-Control": "public, max-age=60"}`; problem details keep theirs.
    """

    def __init__(
        self, path: str, endpoints: Mapping[str, Endpoint], *, name: str, headers: Headers | None = None
    ) -> None:
        for method, endpoint in endpoints.items():
            if not isinstance(endpoint, Endpoint):
                raise ConfigurationError(f"{method} {path} has no access policy: write allow(POLICY, handler)")
            if not method.isupper():
                raise ConfigurationError(f"{method!r} of {path} is no method: write {method.upper()!r}")
        self.endpoints = dict(endpoints)
        self._endpoint_of = dict(endpoints)
        if "GET" in endpoints:
            self._endpoint_of.setdefault("HEAD", endpoints["GET"])
        self._allow = ", ".join(sorted(self._endpoint_of))
        self._headers = overrides(headers, f"the route {path}")
        self._authorizer: Authorizer | None = None
        super().__init__(path, self._unused, methods=list(endpoints), name=name)
        for method, endpoint in endpoints.items():
            require_owner(endpoint.policy, self.param_convertors, f"{method} {path}")

    def policies(self) -> Iterator[tuple[str, Policy]]:
        """Yield each method and its policy."""
        for method, endpoint in self.endpoints.items():
            yield method, endpoint.policy

    def protect(self, authorizer: Authorizer | None) -> None:
        """From now on let *authorizer* decide who is served; a public method does not ask it."""
        self._authorizer = authorizer

    def body_limits(self, method: str) -> BodyLimits | None:
        """What *method* accepts of a body besides the settings."""
        endpoint = self._endpoint_of.get(method)
        return None if endpoint is None else endpoint.limits

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with the method's handler, without Starlette's own exception wrapper: ours stands outside."""
        scope["route"] = self
        if self._headers is not None:
            declare(scope, self._headers)
        endpoint = self._endpoint_of.get(scope["method"])
        if endpoint is None:
            raise HTTPException(405, headers={"Allow": self._allow})
        if endpoint.limits is not None:
            _limit(scope, endpoint.limits)
        if endpoint.long_poll or endpoint.upload:
            count_as_stream(scope)
        if (endpoint.upload or endpoint.untimed) and (exchange := scope.get("exchange")) is not None:
            exchange.untimed = True
        request = BoundedRequest(scope, receive, send)
        if not endpoint.policy.public:
            await self._handle_authorized(endpoint, request, send)
            return
        if endpoint.if_match_required:
            _require_version(request)
        response = await endpoint.call(request)
        await response(scope, receive, send)

    async def _handle_authorized(self, endpoint: Endpoint, request: Request, send: Send) -> None:
        authorizer = required(self._authorizer)
        caller = await authorizer.authorize(endpoint.policy, request)
        if endpoint.if_match_required:
            _require_version(request)
        previous = current_caller.set(caller)
        try:
            receive = _still_authorized(authorizer, endpoint.policy, request)
            response = await endpoint.call(BoundedRequest(request.scope, receive, send))
            await response(request.scope, receive, send)
        finally:
            current_caller.reset(previous)  # the next request in this context has another caller

    async def _unused(self, _request: Request) -> Response:
        """Starlette wants one handler for all methods; `handle` never asks it."""
        raise NotImplementedError


def count_as_stream(scope: Scope) -> None:
    """Let the request of *scope* count against MAX_STREAMS; raises Overloaded if no place is left there.

    One that counts there already keeps its place.
    """
    exchange = scope.get("exchange")
    if exchange is not None and exchange.places is not None:
        exchange.places.becomes_stream(exchange)


def _limit(scope: Scope, limits: BodyLimits) -> None:
    """Hold the request to *limits*; raises ContentTooLarge for a declared size above them.

    One without a declared size is counted by `BodySizeLimitMiddleware`.
    """
    exchange = scope.get("exchange")
    if exchange is None:
        return
    exchange.body_limits = limits = limits.over(exchange.body_limits)
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > (limits.max_bytes or 0):
            raise ContentTooLarge(f"The body is larger than the {limits.max_bytes} bytes that are accepted.")


def required(authorizer: Authorizer | None) -> Authorizer:
    """*authorizer*; raises Forbidden without one: what is not public is then not served at all."""
    if authorizer is None:
        raise Forbidden("No authorizer identifies callers here.")
    return authorizer


def require_owner(policy: Policy, parameters: Mapping[str, object], place: str) -> None:
    """Raise ConfigurationError if *policy* compares the caller with a parameter that the path does not have."""
    if policy.owner and policy.owner not in parameters:
        raise ConfigurationError(f"{place} is for the owner {policy.owner!r}, but its path has no {{{policy.owner}}}")


def _is_async(handler: Handler) -> bool:
    while hasattr(handler, "func"):  # functools.partial
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - an object with an asynchronous __call__ is one


def _in_thread(handler: Handler) -> AsyncHandler:
    blocking = cast("Callable[[Request], Response]", handler)

    async def call(request: Request) -> Response:
        return await run_in_threadpool(blocking, request)

    return call


def _still_authorized(authorizer: Authorizer, policy: Policy, request: Request) -> Receive:
    """The request's `receive`, which asks *authorizer* again after a body that took its time.

    Otherwise a request that was begun before its caller was locked out could end long after that.
    """
    authorized_at = monotonic()

    async def receive() -> Message:
        message = await request.receive()
        ended = message["type"] == "http.request" and not message.get("more_body", False)
        if ended and monotonic() - authorized_at > REAUTHORIZE_SECONDS:
            await authorizer.authorize(policy, request)
        return message

    return receive


def _require_version(request: Request) -> None:
    if "if-match" not in request.headers:
        raise PreconditionRequired
