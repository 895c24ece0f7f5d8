"""What holds for a request on Lambda: the time that is left, and no response that goes on while it is made."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from ..errors import ConfigurationError, RequestTimedOut
from ..service import Feature, Parts
from ..shapes.operations import METRICS_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import Exchange, Places
    from ..service import Core, Service

RESERVED_SECONDS = 0.5
"""Of the time that is left: for the response, the log and the metrics."""
OTHER_WAY = "run it with AWS Lambda Web Adapter, which keeps a server in the function, or outside of Lambda"
_EVENTS = b"text/event-stream"

aws_request_id: ContextVar[str] = ContextVar("aws_request_id", default="")
"""Of the invocation, in every line of the log."""


def on_lambda(service: Service, on_build: Callable[[Core], object]) -> Service:
    """*service* as it runs on Lambda; *on_build* gets its core."""
    own = service.logging.fields

    def build(core: Core) -> Parts:
        if core.database.kind == "sqlite" and core.settings.server.app_env != "development":
            raise ConfigurationError(
                "DATABASE_URL: a sqlite: address cannot be used on Lambda, where each instance has a disk of its own "
                "and /var/task is read-only; accepted: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
        on_build(core)
        return Parts(middleware=[Middleware(InvocationLimits)])

    return replace(
        service,
        background=False,
        features=(*service.features, Feature(name="aws_lambda", build=build)),
        logging=replace(
            service.logging,
            fields=lambda: {**(own() if own else {}), "aws_request_id": aws_request_id.get()},
        ),
    )


class InvocationLimits:
    """ASGI middleware, the innermost: rejects what Lambda cannot give, and bounds a request by its invocation."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == METRICS_PATH:  # of one instance among many; EMF says it instead
            raise HTTPException(404)
        scope["headers"] = _without_events(scope["headers"])
        exchange: Exchange = scope["exchange"]
        exchange.places = _Places(exchange.places)
        try:
            async with asyncio.timeout(seconds_left(scope.get("aws.context"))) as limit:
                await self.app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise RequestTimedOut("No response was ready before the end of the invocation.") from None


class _Places:
    """The places of an exchange, of which none may be one of a stream."""

    def __init__(self, places: Places | None) -> None:
        self._places = places

    def leave(self, exchange: Exchange) -> None:
        exchange.places = None
        if self._places is not None:
            self._places.leave(exchange)

    def becomes_stream(self, _exchange: Exchange) -> None:
        raise HTTPException(501, f"This path needs a connection that stays open, and Lambda keeps none: {OTHER_WAY}.")

    def response_starts(self, exchange: Exchange, start: Message) -> None:
        for name, value in start.get("headers", ()):
            if name == b"content-type" and value.startswith(_EVENTS):
                raise _no_events()
        self.leave(exchange)


def _no_events() -> HTTPException:
    return HTTPException(406, f"Lambda sends a response when it is whole, and so no text/event-stream: {OTHER_WAY}.")


def _without_events(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """*headers*, whose Accept names no events beside other types; raises HTTPException (406) if it names them alone."""
    accepted = b",".join(value for name, value in headers if name == b"accept").split(b",")
    left = [each for each in accepted if each.partition(b";")[0].strip().lower() != _EVENTS]
    if len(left) == len(accepted):
        return list(headers)
    if not left:
        raise _no_events()
    return [*(pair for pair in headers if pair[0] != b"accept"), (b"accept", b",".join(left))]


def seconds_left(context: Any) -> float | None:
    """How long a request of the invocation may take; None where nothing bounds it, as in a test."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return None if left is None else max(0.05, left() / 1000 - RESERVED_SECONDS)
