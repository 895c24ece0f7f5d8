"""A websocket's caller, authorized before the handshake and again while the websocket lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from ..access import Policy, current_caller
from ..errors import ClientGone, ServiceError, Unavailable
from ..shapes.websockets import INTERNAL_ERROR, POLICY_VIOLATION, close_message

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .routing import Authorizer

RECHECK_SECONDS = 30.0
"""So long may a websocket outlive its caller's admission."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Admits callers to websockets by *policy*, and asks *authorizer* again every *recheck_seconds*."""

    authorizer: Authorizer
    policy: Policy
    recheck_seconds: float

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Call *app* if the caller is admitted.

        A caller who no longer is has the websocket closed with 1008; *app* then receives a disconnect.
        """
        caller = await self.authorizer.authorize(self.policy, HTTPConnection(scope))
        # A copy: the router of a mounted application adds path parameters of its own to the scope.
        connection = HTTPConnection(dict(scope))
        session = _Session(lambda: self.authorizer.authorize(self.policy, connection), receive, send)
        previous = current_caller.set(caller)
        try:
            await app(scope, session.receive, session.sender(self.recheck_seconds))
        finally:
            current_caller.reset(previous)
            await session.end()


class _Session:
    """One websocket, whose caller *authorize* admits or rejects by raising."""

    def __init__(self, authorize: Callable[[], Awaitable[object]], receive: Receive, send: Send) -> None:
        self._authorize = authorize
        self._receive = receive
        self._send = send
        self._checks: asyncio.Task[None] | None = None
        self._closed: Message | None = None
        """What was sent when the caller was found to be no longer admitted."""

    async def receive(self) -> Message:
        message = await self._receive()
        if self._closed is not None:
            return {**self._closed, "type": "websocket.disconnect"}
        if message["type"] == "websocket.disconnect":
            self._stop()
        return message

    def sender(self, recheck_seconds: float) -> Send:
        """The application's `send`; the checks begin when it accepts, and end when it closes."""

        async def send(message: Message) -> None:
            if self._closed is not None:
                raise ClientGone("the websocket was closed: its caller is no longer admitted")
            if message["type"] == "websocket.close":
                self._stop()
            await self._send(message)
            if message["type"] == "websocket.accept":
                # No background task: it ends with the websocket, and the handler's task raises its exception.
                self._checks = asyncio.get_running_loop().create_task(self._check_every(recheck_seconds))

        return send

    async def end(self) -> None:
        """Wait for the checks to end; raises the exception that ended them."""
        if self._checks is None:
            return
        self._stop()
        await asyncio.wait([self._checks])
        if not self._checks.cancelled():
            self._checks.result()

    def _stop(self) -> None:
        if self._checks is not None:
            self._checks.cancel()

    async def _check_every(self, seconds: float) -> None:
        while self._closed is None:
            await asyncio.sleep(seconds)
            try:
                await self._authorize()
            except Unavailable:
                continue  # nothing is known against the caller; ErrorMiddleware is not asked, the next check is
            except ServiceError as error:
                await self._close(POLICY_VIOLATION, error.problem.title)
            except Exception:
                await self._close(INTERNAL_ERROR)
                raise

    async def _close(self, code: int, reason: str = "") -> None:
        self._closed = close_message(code, reason)
        with contextlib.suppress(ClientGone):
            await self._send(self._closed)
