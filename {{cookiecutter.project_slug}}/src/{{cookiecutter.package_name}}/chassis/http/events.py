"""Responses that take their time: server-sent events, and work that ends with its client or the service.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ..cancellation import end
from ..errors import ClientGone, RequestTimedOut, ResponseAborted, ServiceError, ShuttingDown
from ..metrics import route_of
from ..shapes import problem
from .rejections import Rejection, rejection_of
from .routing import count_as_stream

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from ..lifecycle import Lifecycle
    from ..shapes.problem import ProblemDetails

T = TypeVar("T")

EVENTS = "text/event-stream"
LAST_SECONDS = 1.0
"""For the last event: a client that does not read must not hold the end of the service."""
HEARTBEAT_SECONDS = 10.0
"""A quarter more is the longest silence: less than the 30 to 60 after which proxies give up a response."""

MAX_ACCEPT = 1000
"""Characters of Accept that are read: of a browser a hundred."""

ServerEvent = tuple[str, bytes]
"""The name of an event, and its data: one line, such as JSON."""

_CRASHED = Rejection(problem.INTERNAL)


class EventStream(Response):
    """Sends *events*, each with an id that counts from 1, and a comment whenever there was none for a while.

    The response begins with the first event, or with the first comment: a ServiceError before that is a response of
    its own. One after it, and the end of the service, is an event `error` with the members of problem details, which is
    the last. *events* are closed as soon as their client has left, or *seconds* after their begin.
    """

    media_type = EVENTS

    def __init__(
        self,
        events: AsyncGenerator[ServerEvent],
        *,
        lifecycle: Lifecycle,
        problems: ProblemDetails,
        seconds: float | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})  # nginx would hold events back
        self._events = events
        self._lifecycle = lifecycle
        self._problems = problems
        self._seconds = seconds
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        writer = _EventWriter(start, send, heartbeat_seconds=self._heartbeat_seconds)
        count_as_stream(scope)  # before the work for a response that has no place
        if scope["method"] == "HEAD":
            await writer.end()
            return
        every = self._heartbeat_seconds / 4
        sending = self._send_to(writer)
        try:
            request = Request(scope, receive)
            await while_connected(sending, request, self._lifecycle, every=every, meanwhile=writer.beat)
        except ClientGone:
            raise
        except Exception as error:
            if not writer.begun:
                raise
            rejection = _rejection(error, scope)
            _, _, body = rejection.written(self._problems, scope["exchange"].request_id)
            scope["exchange"].outcome = rejection.problem.status
            await _in_time(writer.event("error", body))
            if rejection is _CRASHED:
                raise  # it is logged, and the response is visibly not whole
        await _in_time(writer.end())

    async def _send_to(self, writer: _EventWriter) -> None:
        try:
            async with asyncio.timeout(self._seconds) as limit, aclosing(self._events) as events:
                async for name, data in events:
                    await writer.event(name, data)
        except TimeoutError:
            if not limit.expired():
                raise
            raise RequestTimedOut(f"The response was not read within {self._seconds:g} seconds.") from None


async def _in_time(writing: Awaitable[None]) -> None:
    """Wait for *writing*; raises ResponseAborted for a client that does not read."""
    try:
        async with asyncio.timeout(LAST_SECONDS):
            await writing
    except TimeoutError:
        raise ResponseAborted from None


def _rejection(error: Exception, scope: Scope) -> Rejection:
    """What an event says of *error*; there is no header for the time after which it may pass."""
    if not isinstance(error, ServiceError):
        return _CRASHED
    rejection = rejection_of(error, route_of(scope))
    if error.retry_after_seconds is None:
        return rejection
    return replace(rejection, extensions={"retry_after_seconds": error.retry_after_seconds})


class _EventWriter:
    """Writes events and comments, one at a time; *start* goes before the first of them."""

    def __init__(self, start: Message, send: Send, *, heartbeat_seconds: float) -> None:
        self.begun = False
        self._heartbeat_seconds = heartbeat_seconds
        self._start = start
        self._send = send
        self._number = 0
        self._written_at = monotonic()
        self._turn = asyncio.Lock()

    async def event(self, name: str, data: bytes) -> None:
        self._number += 1
        await self._write(b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, name.encode(), data))

    async def beat(self) -> None:
        """Write a comment if nothing was written for a while; where something is, its client does not read."""
        if not self._turn.locked() and monotonic() - self._written_at >= self._heartbeat_seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._write(b": waiting\n\n")

    async def end(self) -> None:
        await self._write(b"", more_body=False)

    async def _write(self, data: bytes, *, more_body: bool = True) -> None:
        async with self._turn:
            if not self.begun:
                await self._send(self._start)
                self.begun = True
            await self._send({"type": "http.response.body", "body": data, "more_body": more_body})
            self._written_at = monotonic()


async def while_connected(
    work: Coroutine[Any, Any, T],
    request: Request,
    lifecycle: Lifecycle,
    *,
    every: float | None = None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> T:
    """What *work* returns, which is cancelled when the client leaves, or when the service is about to end.

    The body of *request* was read; a client that closes its side has left. *meanwhile* is called *every* so many
    seconds. Raises ClientGone and ShuttingDown, once *work* has ended, and what *work* raises.
    """
    loop = asyncio.get_running_loop()
    # No background tasks: they end with the request, and what the first one raises is raised here.
    working = loop.create_task(work)
    gone = loop.create_task(_disconnected(request))
    stopping = loop.create_task(lifecycle.wait_until_stopping())
    tasks: tuple[asyncio.Task[Any], ...] = (working, gone, stopping)
    cause: Exception | None = None
    try:
        while not working.done() and cause is None:
            await asyncio.wait(tasks, timeout=every, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                cause = ClientGone("the client closed the connection")
            elif stopping.done():
                cause = ShuttingDown()
            elif meanwhile is not None and not working.done():
                await meanwhile()
    finally:
        await end(task for task in tasks if not task.done())
    if cause is not None and working.cancelled():
        raise cause
    return working.result()


async def _disconnected(request: Request) -> None:
    if (left := request.scope.get("client_left")) is not None:  # of our own server, which also tells of a half close
        await left()
        return
    while (await request.receive())["type"] != "http.disconnect":
        continue


def prefers_events(request: Request) -> bool:
    """Whether the request's `Accept` ranks events above JSON (RFC 9110, section 12.5.1)."""
    named: dict[str, float] = {}
    for part in ",".join(request.headers.getlist("accept"))[:MAX_ACCEPT].lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        named[kind] = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
    return _rank(EVENTS, named) > _rank("application/json", named)


def _rank(kind: str, named: dict[str, float]) -> float:
    """The weight of the most specific range that has *kind*."""
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((named[each] for each in ranges if each in named), 0.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
