"""A provider on this machine, which speaks Chat Completions over real HTTP and fails as a test wants; its clients."""

from __future__ import annotations

import itertools
import json
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, Self

import httpx2

from .application import PASSWORD, new_user
from .process import PACKAGE

IDENTIFIED = find_spec(f"{PACKAGE}.features.auth") is not None
"""Whether the assistant asks who a caller is; else it is open."""
USERS = "authenticated" if IDENTIFIED else "public"
POLICIES = {
    "POST /api/ai/chat": USERS,
    "GET /api/ai/conversations/{conversation_id}": USERS,
    "DELETE /api/ai/conversations/{conversation_id}": USERS,
    "GET /assistant": "public",
}
"""Who may call what of the feature, where a test compares all of them."""
PRODUCTION = {"AI_API_KEY": secrets.token_urlsafe(24)}
"""What production needs of the feature."""
SECONDS = 10.0
EVENTS = {"Accept": "text/event-stream"}

Event = tuple[str, dict[str, Any]]


class Call:
    """One request of the service to the provider."""

    def __init__(self, connection: socket.socket, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.headers = headers
        self.body = body
        self._connection = connection

    @property
    def said(self) -> list[tuple[str, str]]:
        """Role and content of each message."""
        return [(message["role"], message["content"]) for message in self.body["messages"]]

    def start(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", "Transfer-Encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._connection.sendall("\r\n".join([*lines, "", ""]).encode())

    def write(self, data: bytes) -> None:
        self._connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, document: Any) -> None:
        self.write(f"data: {json.dumps(document)}\n\n".encode())

    def part(self, content: Any, finish_reason: str | None = None) -> None:
        delta = {} if content is None else {"content": content}
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        self.event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

    def usage(self, prompt: int, completion: int) -> None:
        counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        self.event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": counted})

    def end(self) -> None:
        self.write(b"data: [DONE]\n\n")
        self._connection.sendall(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection in the middle."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def is_cancelled(self, seconds: float = SECONDS) -> bool:
        """Whether the service closes its side within so many seconds."""
        readable, _, _ = select.select([self._connection], [], [], seconds)
        with suppress(OSError):
            return bool(readable) and not self._connection.recv(1, socket.MSG_PEEK)
        return True


Behaviour = Callable[[Call], None]


def says(*parts: str, seconds: float = 0.0, usage: tuple[int, int] | None = (7, 3), reason: str = "stop") -> Behaviour:
    """Each of *parts* after so many *seconds*."""

    def behave(call: Call) -> None:
        call.start()
        for part in parts:
            time.sleep(seconds)
            call.part(part)
        call.part(None, reason)
        if usage is not None:
            call.usage(*usage)
        call.end()

    return behave


def fails(status: int, **headers: str) -> Behaviour:
    """With a text in which the key stands, as some providers write it."""

    def behave(call: Call) -> None:
        call.start(status, "application/json", **headers)
        call.write(json.dumps({"error": {"message": f"wrong: {call.headers['authorization']}"}}).encode())
        call.end()

    return behave


class FakeProvider:
    """Does what *behaviours* say, one for each request and the last for all others."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours) or [says("Hello", " there")]
        self.calls: list[Call] = []
        self._new = threading.Condition()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=300)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
        for each in (self._listener, *self._connections):
            each.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def call(self, number: int = 1) -> Call:
        """The request of that *number*, when it has come."""
        with self._new:
            assert self._new.wait_for(lambda: len(self.calls) >= number, SECONDS), f"{len(self.calls)} requests came"
        return self.calls[number - 1]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection.makefile("rb") as stream:
            while stream.readline().strip():
                fields = [line.decode() for line in itertools.takewhile(bytes.strip, iter(stream.readline, b""))]
                headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
                body = json.loads(stream.read(int(headers["content-length"])))
                call = Call(connection, headers, body)
                with self._new:
                    self.calls.append(call)
                    behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                    self._new.notify_all()
                behave(call)


def known(client: httpx2.Client, name: str = "Ada") -> httpx2.Client:
    """*client*, whose requests are those of a user of *name* where the service wants to know who asks."""
    if IDENTIFIED:
        client.post("/api/auth/register", json=new_user(name)).raise_for_status()
        tokens = client.post("/api/auth/login", json={"email": new_user(name)["email"], "password": PASSWORD}).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    return client


@contextmanager
def streaming(client: httpx2.Client, message: str, **body: Any) -> Iterator[Iterator[Event]]:
    """The events of the response, as they come; a comment is an event without a name."""
    with client.stream("POST", "/api/ai/chat", json={"message": message, **body}, headers=EVENTS) as response:
        assert 200 == response.status_code, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parsed(response)


def streamed(client: httpx2.Client, message: str, **body: Any) -> list[Event]:
    """All events, without comments."""
    with streaming(client, message, **body) as events:
        return [(name, data) for name, data in events if name]


def parsed(response: httpx2.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    number = 0
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if line.startswith(":"):
            yield "", {}
        elif line:
            fields[name] = value
        elif fields:
            number += 1
            assert str(number) == fields["id"]
            yield fields["event"], json.loads(fields["data"])
            fields = {}


def text_of(events: list[Event]) -> str:
    return "".join(data["text"] for name, data in events if name == "token")
