"""Starts the application under test as a real process, reads its log, and sends it signals and bytes."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

START_SECONDS = 10.0


class Service:
    """A running process; *wishes* are described in `app_under_test.py`. Use it as a context manager."""

    def __init__(self, lifespan: str = "", import_seconds: float = 0.0, **server: Any) -> None:
        wishes = {"lifespan": lifespan, "import_seconds": import_seconds, "server": server}
        self.lines: list[dict[str, Any]] = []
        self.signalled_at = 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.app_under_test", json.dumps(wishes)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._fresh.put(json.loads(line))
        self._fresh.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def line(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first log line, from now or before, of *event* with these *fields*."""
        wanted = {"event": event, **fields}
        ends = time.monotonic() + START_SECONDS
        seen = 0
        while True:
            for line in self.lines[seen:]:
                if wanted.items() <= line.items():
                    return line
            seen = len(self.lines)
            fresh = self._fresh.get(timeout=max(0.01, ends - time.monotonic()))
            assert fresh is not None, f"the process ended without {wanted}: {self.lines} {self.stderr()}"
            self.lines.append(fresh)

    def events(self) -> list[str]:
        """Every event of the log; call it after the end."""
        while (fresh := self._fresh.get(timeout=1)) is not None:
            self.lines.append(fresh)
        return [line["event"] for line in self.lines]

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def port(self, listener: str = "main") -> int:
        return int(self.line("listening", listener=listener)["port"])

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.signalled_at = self.signalled_at or time.monotonic()
        self.process.send_signal(number)

    def exit_code(self, within_seconds: float) -> int:
        """The exit code; fails if the process lives longer than *within_seconds* after the first signal."""
        remaining = self.signalled_at + within_seconds - time.monotonic()
        return self.process.wait(timeout=max(0.01, remaining))

    def connect(self, listener: str = "main") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port(listener)), timeout=5)

    def ask(self, target: str, method: str = "GET") -> Answer:
        """Send one request without a body on a connection of its own."""
        with self.connect() as client:
            client.sendall(request(target, method))
            return read_answer(client)


class Answer:
    """What came back until the answer was whole, or the connection ended."""

    def __init__(self, head: bytes, body: bytes) -> None:
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status_line.split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


def request(target: str, method: str = "GET", *fields: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields, "", ""]
    return "\r\n".join(lines).encode()


def read_answer(client: socket.socket) -> Answer:
    """One answer with a Content-Length. Raises ConnectionError when it is not whole."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(client, received)
    head, _, body = received.partition(b"\r\n\r\n")
    answer = Answer(head, body)
    length = int(answer.headers["content-length"])
    while len(answer.body) < length:
        answer.body += _receive(client, received)
    return answer


def _receive(client: socket.socket, before: bytes) -> bytes:
    piece = client.recv(65536)
    if not piece:
        raise ConnectionError(f"the connection ended after {before!r}")
    return piece


def read_to_end(client: socket.socket) -> bytes:
    """Everything until the FIN; a reset raises ConnectionResetError."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start *function* in a thread; calling the result waits for its value, or raises what it raised."""
    outcome: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - handed over to the test
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()

    def result() -> Any:
        value, error = outcome.get(timeout=30)
        if error is not None:
            raise error
        return value

    return result
