"""A service of websockets, and of what can go wrong with one; `websocket_service.py` starts it as a process.

It runs by its own command, as `python websocket_application.py serve`, and its `app` on other servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from acme_service.app import SERVICE as PRODUCT
from acme_service.chassis import Core, Feature, Parts, asgi, run
from acme_service.chassis.access import (
    AUTHENTICATED,
    BEARER_SUBPROTOCOL,
    PUBLIC,
    Caller,
    Policy,
    current_caller,
    owner_or,
)
from acme_service.chassis.errors import (
    DatabaseUnavailable,
    NotFound,
    TooManyRequests,
    Unauthenticated,
)
from acme_service.chassis.http import mount, websocket

RECHECK_SECONDS = 0.2

log = structlog.get_logger("tests.websockets")


class Tokens:
    """An authorizer whose tokens are the ids of users; `rejected` says what becomes of those that it lost."""

    scheme: Mapping[str, Any] = {"type": "http", "scheme": "bearer"}

    def __init__(self) -> None:
        self.rejected: dict[str, Exception] = {}

    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:
        offered: list[str] = connection.scope.get("subprotocols", [])
        given = [name.removeprefix(BEARER_SUBPROTOCOL) for name in offered if name.startswith(BEARER_SUBPROTOCOL)]
        given += [value.removeprefix("Bearer ") for value in connection.headers.getlist("authorization")]
        if len(given) != 1:
            raise Unauthenticated("This needs a bearer token.", challenge="Bearer")
        if given[0] in self.rejected:
            raise self.rejected[given[0]]
        if policy.owner and connection.path_params[policy.owner] != given[0]:
            raise NotFound("Resource not found.")
        return Caller(user_id=given[0])


TOKENS = Tokens()
ERRORS: dict[str, Callable[[], BaseException]] = {
    "http": lambda: HTTPException(418, "I brew no coffee.", headers={"X-Pot": "teapot"}),
    "websocket": lambda: WebSocketException(4003, "You are not on the list."),
    "service": lambda: TooManyRequests("Come back later.", retry_after_seconds=7),
    "challenge": lambda: Unauthenticated("Who are you?", challenge="Bearer"),
    "bug": lambda: ZeroDivisionError("one\nline"),
    "disconnect": lambda: WebSocketDisconnect(1001),
    "cancelled": asyncio.CancelledError,
    "long": lambda: WebSocketException(4004, "\N{SNOWMAN}" * 100),
}


async def echo(socket: WebSocket) -> None:
    """Send each message back, after the caller's id."""
    await socket.accept()
    log.info("accepted", caller=current_caller.get().user_id)
    async for text in socket.iter_text():
        await socket.send_text(f"{current_caller.get().user_id}:{text}")
    log.info("left")


async def careless(socket: WebSocket) -> None:
    """As `echo`, by a handler that does not expect its client to leave."""
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


async def pushing(socket: WebSocket) -> None:
    """Send without ever receiving."""
    await socket.accept()
    while True:
        await socket.send_text("tick")
        await asyncio.sleep(0.01)


async def flooding(socket: WebSocket) -> None:
    """Send at every turn of the event loop, and so also between the server's Close and its client's."""
    await socket.accept()
    while True:
        await socket.send_text("tick")
        await asyncio.sleep(0)


async def raising(socket: WebSocket) -> None:
    """Raise the error that the path names, before or after the acceptance."""
    if socket.path_params["when"] == "accepted":
        await socket.accept()
    error = ERRORS[socket.path_params["error"]]()
    raise error


async def closing(socket: WebSocket) -> None:
    await socket.close(4000)


async def silent(_socket: WebSocket) -> None:
    """Do not answer the handshake."""


async def pondering(_socket: WebSocket) -> None:
    log.info("pondering")
    await asyncio.sleep(60)


async def denying(socket: WebSocket) -> None:
    await socket.send_denial_response(Response(b"own", 402, headers={"Cache-Control": "private"}))


async def returning(socket: WebSocket) -> None:
    await socket.accept()


async def choosing(socket: WebSocket) -> None:
    await socket.accept(subprotocol="chat")


class Shouting(WebSocketEndpoint):
    """Sends each text back in capitals."""

    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data.upper())


async def rejecting(socket: WebSocket) -> None:
    """Have the authorizer reject the token that the path names from now on."""
    kinds = {"revoked": Unauthenticated("No.", challenge="Bearer"), "outage": DatabaseUnavailable("Away.")}
    TOKENS.rejected[socket.path_params["token"]] = kinds.get(socket.path_params["kind"]) or ZeroDivisionError()
    await socket.close()


async def tasks(socket: WebSocket) -> None:
    """Send how many tasks run."""
    await socket.accept()
    await socket.send_text(str(len(asyncio.all_tasks())))


def build(core: Core) -> Parts:
    async def goodbye(socket: WebSocket) -> None:
        await socket.accept()
        await core.lifecycle.wait_until_stopping()
        await socket.send_text("goodbye")
        await socket.close(1012)

    return Parts(
        authorizer=TOKENS,
        routes=[
            *(_public(path, handler) for path, handler in PUBLIC_ONES.items()),
            _public("/goodbye", goodbye),
            _private("/private", echo),
            _private("/private/careless", careless),
            _private("/private/pushing", pushing),
            websocket("/users/{user_id}", echo, policy=owner_or("user_id"), name="owned"),
            mount("/members", mounted(), policy=AUTHENTICATED, name="members", recheck_seconds=RECHECK_SECONDS),
            mount("/owners/{user_id}", mounted(), policy=owner_or("user_id"), name="owners", recheck_seconds=0.2),
            mount("/open", mounted(), policy=PUBLIC, name="open"),
        ],
    )


PUBLIC_ONES: dict[str, Callable[[WebSocket], Awaitable[None]] | type[WebSocketEndpoint]] = {
    "/echo": echo,
    "/careless": careless,
    "/raising/{error}/{when}": raising,
    "/closing": closing,
    "/silent": silent,
    "/flooding": flooding,
    "/pondering": pondering,
    "/denying": denying,
    "/returning": returning,
    "/choosing": choosing,
    "/shouting": Shouting,
    "/reject/{token}/{kind}": rejecting,
    "/tasks": tasks,
}


def mounted() -> Starlette:
    return Starlette(
        routes=[
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/users/{user_id}", echo),
            WebSocketRoute("/raising/{error}/{when}", raising),
        ]
    )


def _public(path: str, handler: Callable[[WebSocket], Awaitable[None]] | type[WebSocketEndpoint]) -> Any:
    return websocket(path, handler, policy=PUBLIC, name=path.split("/")[1])


def _private(path: str, handler: Callable[[WebSocket], Awaitable[None]]) -> Any:
    return websocket(path, handler, policy=AUTHENTICATED, name=path[1:], recheck_seconds=RECHECK_SECONDS)


def report(error: BaseException, context: Mapping[str, Any]) -> None:
    log.info("reported", error=type(error).__name__, transaction=context.get("transaction"))


SERVICE = replace(PRODUCT, features=(Feature(name="websockets", build=build),), on_error=report)
app = asgi(SERVICE)

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(SERVICE, sys.argv[1:]))
