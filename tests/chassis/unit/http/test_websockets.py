"""Websockets of the whole stack in process: with Starlette's TestClient, and on a server that has no extension."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from acme_service.chassis.access import AUTHENTICATED, PUBLIC
from acme_service.chassis.application import Application
from acme_service.chassis.errors import ConfigurationError
from acme_service.chassis.http import websocket
from acme_service.chassis.metrics import RequestMetrics
from acme_service.chassis.middleware.errors import ErrorMiddleware
from acme_service.chassis.middleware.instrumentation import InstrumentationMiddleware
from acme_service.chassis.shapes.origins import OriginList
from acme_service.chassis.shapes.problem import ProblemDetails


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close(4000)


async def rejecting(_socket: WebSocket) -> None:
    raise HTTPException(402)


async def failing(socket: WebSocket) -> None:
    await socket.accept()
    raise ZeroDivisionError


class Lines(list[dict[str, Any]]):
    """Keeps access lines."""

    def line(self, **fields: Any) -> None:
        self.append(fields)


class Stack:
    """The middleware that every service has, around routes for websockets."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.exceptions: list[BaseException] = []
        problems = ProblemDetails("test")
        handlers = [echo, rejecting, failing]
        self.app = Application(
            routes=[
                *(websocket(f"/{each.__name__}", each, policy=PUBLIC, name=each.__name__) for each in handlers),
                websocket("/private", echo, policy=AUTHENTICATED, name="private"),
            ],
            middleware=[
                Middleware(
                    InstrumentationMiddleware, metrics=RequestMetrics(), access_log=self.lines, problems=problems
                ),
                Middleware(
                    ErrorMiddleware,
                    problems=problems,
                    on_exception=lambda error, _scope: self.exceptions.append(error),
                    debug=False,
                ),
            ],
        )


@pytest.fixture
def stack() -> Stack:
    return Stack()


def test_the_test_client_talks_to_a_websocket(stack: Stack) -> None:
    with TestClient(stack.app).websocket_connect("/echo") as client:
        client.send_text("hello")
        assert "hello" == client.receive_text()
        with pytest.raises(WebSocketDisconnect) as closed:
            client.receive_text()

    assert 4000 == closed.value.code
    assert [("WEBSOCKET", "/echo", 101)] == [(each["method"], each["route"], each["status"]) for each in stack.lines]


@pytest.mark.parametrize(("path", "status"), [("/rejecting", 402), ("/private", 403), ("/nothing", 403)])
def test_the_test_client_sees_a_rejection_as_problem_details(stack: Stack, path: str, status: int) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as denied,
        TestClient(stack.app).websocket_connect(path),
    ):
        pass

    assert (status, status) == (denied.value.status_code, denied.value.json()["status"])
    assert [status] == [each["status"] for each in stack.lines]


def test_the_test_client_sees_a_failure_as_a_close(stack: Stack) -> None:
    with TestClient(stack.app).websocket_connect("/failing") as client, pytest.raises(WebSocketDisconnect) as closed:
        client.receive_text()

    assert 1011 == closed.value.code
    assert ["ZeroDivisionError"] == [type(each).__name__ for each in stack.exceptions]


def test_a_server_without_the_extension_is_asked_to_close(stack: Stack) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "scheme": "ws", "path": "/rejecting", "headers": [], "client": None}
    asyncio.run(stack.app(scope, receive, send))

    assert ["websocket.close"] == [message["type"] for message in sent]
    assert [403] == [each["status"] for each in stack.lines]


def test_a_client_that_leaves_its_handshake_is_no_failure(stack: Stack) -> None:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_message: Message) -> None:
        raise OSError

    scope: dict[str, Any] = {"type": "websocket", "scheme": "ws", "path": "/echo", "headers": [], "client": None}
    asyncio.run(stack.app(scope, receive, send))

    assert [] == stack.exceptions
    assert [499] == [each["status"] for each in stack.lines]


def plain(_socket: WebSocket) -> None:
    """Block, as no websocket's handler may."""


class NoEndpoint:
    """Nothing that can be awaited."""


@pytest.mark.parametrize("handler", [plain, functools.partial(plain), NoEndpoint, lambda socket: socket.accept()])
def test_a_handler_that_is_not_asynchronous_is_refused(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="of the websocket /x must be a coroutine function"):
        websocket("/x", handler, policy=PUBLIC, name="x")


@pytest.mark.parametrize("handler", [echo, functools.partial(echo), WebSocketEndpoint])
def test_coroutine_functions_and_endpoint_classes_are_handlers(handler: Any) -> None:
    assert "x" == websocket("/x", handler, policy=PUBLIC, name="x").name


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "accepted"),
    [
        ("ws", "Service.test", "http://service.test", True),
        ("ws", "service.test:80", "http://service.test", True),
        ("wss", "service.test:443", "https://service.test", True),
        ("wss", "[::1]:8443", "https://[::1]:8443", True),
        ("wss", "service.test", "http://service.test", False),
        ("ws", "service.test:443", "http://service.test", False),
        ("ws", "service.test", "http://service.test.evil.test", False),
        ("ws", "service.test", "HTTPS://APP.test", True),
        ("ws", "service.test", "null", False),
        ("ws", "service.test", "", False),
    ],
)
def test_an_origin_is_compared_as_browsers_spell_it(scheme: str, host: str, origin: str, *, accepted: bool) -> None:
    scope = {"scheme": scheme, "headers": [(b"host", host.encode()), (b"origin", origin.encode())]}

    assert accepted is (OriginList(["https://app.test"]).rejection(scope) == "")


def test_two_origins_are_one_too_many() -> None:
    headers = [(b"host", b"service.test"), (b"origin", b"http://service.test"), (b"origin", b"http://service.test")]

    assert OriginList([]).rejection({"scheme": "ws", "headers": headers})
    assert not OriginList(["*"]).rejection({"scheme": "ws", "headers": headers})
