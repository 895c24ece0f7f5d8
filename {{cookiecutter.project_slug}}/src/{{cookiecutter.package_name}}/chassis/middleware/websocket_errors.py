"""The part of the one path of failure that websockets take; no HTTP request comes through here."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect

from ..errors import ClientGone, Forbidden, ServiceError, ShuttingDown
from ..shapes import problem
from ..shapes.origins import OriginList
from ..shapes.websockets import INTERNAL_ERROR, NORMAL_CLOSURE, POLICY_VIOLATION, close_message
from .websockets import SWITCHING_PROTOCOLS, takes_responses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import Exchange

_security_log = structlog.get_logger("security")


class WebSocketErrors:
    """ASGI middleware; an exception rejects the handshake, or closes the accepted websocket.

    *rejection_of* makes a rejection of an exception, and logs an unexpected one; *respond* sends it. *origins* are
    those of an `OriginList`.
    """

    def __init__(
        self,
        app: ASGIApp,
        rejection_of: Callable[[BaseException, Scope], Any],
        respond: Callable[[Any, Exchange, Send], Awaitable[None]],
        *,
        origins: Iterable[str],
    ) -> None:
        self.app = app
        self._rejection_of = rejection_of
        self._respond = respond
        self._origins = OriginList(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientGone):
            try:
                await self._serve(scope, receive, send)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or not task.cancelling():  # what it waited for was cancelled, which is a failure
                    await self._end(error, scope, send)
                    return
                if not scope["exchange"].status and not scope["exchange"].complete:
                    await self._end(ShuttingDown(), scope, send)
                raise
            except BaseException as error:  # noqa: BLE001 - the one place that must catch everything
                await self._end(error, scope, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_origin(scope)
        with contextlib.suppress(WebSocketDisconnect, ClientGone):
            await self.app(scope, receive, send)
        exchange: Exchange = scope["exchange"]
        if not exchange.status and not exchange.complete:
            raise RuntimeError("the handler returned without a response to the handshake")
        if not exchange.complete:
            await send(close_message(NORMAL_CLOSURE))

    def _require_origin(self, scope: Scope) -> None:
        rejection = self._origins.rejection(scope)
        if rejection:
            client = scope["client"][0] if scope["client"] else ""
            _security_log.warning("access denied", user="", client=client, outcome="rejected", reason=rejection)
            raise Forbidden(rejection)

    async def _end(self, error: BaseException, scope: Scope, send: Send) -> None:
        exchange: Exchange = scope["exchange"]
        code, reason, error = _described(error)
        rejection = self._rejection_of(error, scope)
        if exchange.status == SWITCHING_PROTOCOLS:
            await send(close_message(code, reason))
        elif not exchange.status:
            await self._respond(rejection, exchange, _response_before_acceptance(scope, send))


def _described(error: BaseException) -> tuple[int, str, BaseException]:
    """The code and the reason with which *error* closes a websocket, and the error that rejects its handshake."""
    if isinstance(error, WebSocketException):
        return error.code, error.reason, HTTPException(problem.FORBIDDEN.status, error.reason or None)
    if isinstance(error, (ServiceError, HTTPException)):
        return POLICY_VIOLATION, str(error.detail), error
    return INTERNAL_ERROR, "", error


def _response_before_acceptance(scope: Scope, send: Send) -> Send:
    """A `send` for the messages of an HTTP response."""

    async def send_response(message: Message) -> None:
        if takes_responses(scope):
            await send({**message, "type": f"websocket.{message['type']}"})
        elif message["type"] == "http.response.start":
            await send(close_message(POLICY_VIOLATION))

    return send_response
