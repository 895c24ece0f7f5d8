"""People who talk: python-socketio's own client against a real process, with a token where the service wants one."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import socketio

from .application import new_user
from .process import PACKAGE, ServiceProcess

IDENTIFIED = find_spec(f"{PACKAGE}.features.auth") is not None
"""Whether the chat asks who somebody is; else it is open."""
identified = pytest.mark.skipif(not IDENTIFIED, reason="the chat is open: no feature identifies callers")
opened_to_all = pytest.mark.skipif(IDENTIFIED, reason="a feature identifies callers")
POLICIES = {
    "GET /api/rooms/{room_id}/messages": "authenticated" if IDENTIFIED else "public",
    "GET /chat": "public",
}
"""Who may call what of the feature over HTTP, where a test compares all of them."""
SECONDS = 10.0
SHARED: dict[str, str] = (
    {
        "JWT_SECRET": secrets.token_urlsafe(48),
        "AUTH_REQUESTS_PER_MINUTE": "1000000",
        "AUTH_ADDRESS_ATTEMPTS_PER_MINUTE": "100000",
    }
    if IDENTIFIED
    else {}
)
"""What processes have in common that know the same people."""

_numbers = itertools.count(1)


class Talker:
    """Somebody who is connected, and what they have heard; *name* is made unique, and is the id where that is open."""

    def __init__(self, service: ServiceProcess, name: str = "Ada", *, like: Talker | None = None) -> None:
        """*like* is the same user, on another connection."""
        self._base = f"http://127.0.0.1:{service.port}"
        self.name: str = like.name if like else f"{name}{next(_numbers)}"
        self.token: str = like.token if like else (_new_token(service, self.name) if IDENTIFIED else "")
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._new = threading.Condition()
        self.client = socketio.Client(reconnection=False, handle_sigint=False)
        self.client.on("*", self._hear)
        self.client.on("connect_error", lambda data: self._hear("refused", data))
        self.client.on("disconnect", lambda reason: self._hear("disconnected", {"reason": reason}))
        self.user_id: str = like.user_id if like else self.name

    def connect(self, auth: Any = None) -> Talker:
        given = auth if auth is not None else ({"token": self.token} if IDENTIFIED else None)
        self.client.connect(self._base, auth=given, transports=["websocket"], wait_timeout=SECONDS)
        return self

    def join(self, room: str) -> dict[str, Any]:
        """Join *room*; the acknowledgement."""
        who = {} if IDENTIFIED else {"userId": self.user_id, "username": self.name}
        joined = self.ok("join-room", roomId=room, **who)
        self.user_id = joined["userId"]
        return joined

    def say(self, room: str, message: str, **more: Any) -> dict[str, Any]:
        return self.ok("send-message", roomId=room, message=message, **more)

    def call(self, event: str, *arguments: Any, **members: Any) -> dict[str, Any]:
        data = arguments or (members,)
        answer: dict[str, Any] = self.client.call(event, data if len(data) != 1 else data[0], timeout=SECONDS)
        return answer

    def ok(self, event: str, **members: Any) -> dict[str, Any]:
        answer = self.call(event, **members)
        assert answer["ok"], answer
        return answer

    def refused(self, event: str, *arguments: Any, **members: Any) -> tuple[int, str]:
        """Status and detail of a refusal, which has the members of problem details."""
        answer = self.call(event, *arguments, **members)
        assert {"type", "title", "status", "detail", "instance"} <= answer["error"].keys(), answer
        assert answer["ok"] is False
        return answer["error"]["status"], answer["error"]["detail"]

    def wait(self, event: str, seconds: float = SECONDS, **members: Any) -> dict[str, Any]:
        """The first *event*, from now or before, with these *members*."""

        def found() -> dict[str, Any] | None:
            return next((data for name, data in self.heard if name == event and members.items() <= data.items()), None)

        with self._new:
            assert self._new.wait_for(lambda: found() is not None, seconds), f"no {event} {members}: {self.heard}"
        return found() or {}

    def sees(self, room: str, *people: Talker) -> None:
        """Wait until exactly *people* are in *room*, as far as it was heard."""
        until(lambda: self._online(room) == {person.user_id for person in people})

    def _online(self, room: str) -> set[str]:
        found = set[str]()
        for event, data in self.heard:
            if data.get("roomId") != room:
                continue
            if event == "online-users":
                found = {user["userId"] for user in data["users"]}
            elif event == "user-joined":
                found.add(data["userId"])
            elif event == "user-left":
                found.discard(data["userId"])
        return found

    def all(self, event: str) -> list[dict[str, Any]]:
        return [data for name, data in self.heard if name == event]

    def leave(self) -> None:
        """Disconnect; the library leaves a socket open whose server has ended the session."""
        self.client.disconnect()
        if self.client.eio.ws is not None:
            self.client.eio.ws.shutdown()

    def _hear(self, event: str, *data: Any) -> None:
        with self._new:
            self.heard.append((event, data[0] if data and isinstance(data[0], dict) else {}))
            self._new.notify_all()


Talk = Callable[..., Talker]


def _new_token(service: ServiceProcess, name: str) -> str:
    with service.client() as client:
        client.post("/api/auth/register", json=new_user(name)).raise_for_status()
        return log_in(client, name)


def log_in(client: httpx2.Client, name: str) -> str:
    """Another token of the user of *name*."""
    credentials = {key: value for key, value in new_user(name).items() if key != "name"}
    token: str = client.post("/api/auth/login", json=credentials).raise_for_status().json()["access_token"]
    return token


def until(condition: Callable[[], object], seconds: float = SECONDS) -> float:
    """The seconds until *condition* holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "in vain"
        time.sleep(0.02)
    return time.monotonic() - started


def metric(service: ServiceProcess, name: str) -> float:
    """What a metric says now; *name* with its labels."""
    with service.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def talk() -> Iterator[Talk]:
    """`talk(service, "Ada")`: somebody who is connected until the test ends."""
    with ExitStack() as stack:

        def connected(service: ServiceProcess, name: str = "Ada", **options: Any) -> Talker:
            talker = Talker(service, name, **options).connect()
            stack.callback(talker.leave)
            return talker

        yield connected


@pytest.fixture(scope="module")
def chat_service(folder: Path) -> Iterator[ServiceProcess]:
    """One service for all tests of a file that leave it as they found it; it logs no traceback."""
    with ServiceProcess(folder, **SHARED) as running:
        yield running
        assert (0, "") == (running.stop(), running.stderr())
    assert not [line for line in running.lines if "exception" in line]
