"""Starts the application under test as a real process, reads its log, and sends it signals and bytes.

The processes are forks of one that has done the imports, which would otherwise take most of the tests' time.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any, Self

from .app_under_test import main, run_in_fork

START_SECONDS = 30.0


_context = multiprocessing.get_context("forkserver")
# Not these tests' own modules, which are cheap: the server of the forks finds no module by the `pythonpath` of pytest.
_context.set_forkserver_preload(
    [
        "acme_service.chassis.ai_chat.openai_client",  # where the render has it
        "acme_service.chassis.application",
        "acme_service.chassis.commands",
        "acme_service.chassis.logs.setup",
        "acme_service.chassis.server.process",
        "acme_service.controllers.users",
        "acme_service.middleware",
        "acme_service.services.users",
    ]
)


class Service:
    """A running process; *lifespan* is what `app_under_test.py` names, *server* goes into `ServerOptions`."""

    def __init__(self, lifespan: str = "", **server: Any) -> None:
        self.fork(main, {"lifespan": lifespan, "server": server})

    def fork(self, program: Callable[[dict[str, Any]], int], wishes: dict[str, Any]) -> None:
        """Run *program* with *wishes*, its return value becomes the exit code."""
        output, output_of_child = _context.Pipe(duplex=False)
        errors, errors_of_child = _context.Pipe(duplex=False)
        process = _context.Process(target=run_in_fork, args=(program, wishes, output_of_child, errors_of_child))
        process.start()
        output_of_child.close()
        errors_of_child.close()
        with output, errors:
            self._watch(process, os.fdopen(os.dup(output.fileno())), os.fdopen(os.dup(errors.fileno())))

    def start(self, arguments: list[str], *, cwd: Path, env: dict[str, str]) -> None:
        """Run a program instead; for subclasses whose service is not a fork."""
        process = subprocess.Popen(
            arguments, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._watch(process, process.stdout, process.stderr)

    def _watch(self, process: subprocess.Popen[str] | BaseProcess, output: IO[str], errors: IO[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.signalled_at = 0.0
        self._errors = errors
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=[output], daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._fresh.put(json.loads(line))
        self._fresh.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._wait(START_SECONDS)
        self._reader.join()
        self._errors.close()

    def _wait(self, seconds: float) -> int | None:
        """The exit code; None if the process still runs after *seconds*."""
        if isinstance(self.process, BaseProcess):
            self.process.join(seconds)
            return self.process.exitcode
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

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
        while (fresh := self._fresh.get(timeout=10)) is not None:
            self.lines.append(fresh)
        return [line["event"] for line in self.lines]

    def stderr(self) -> str:
        """What the process wrote to its standard error; call it after the end."""
        return self._errors.read()

    def port(self, listener: str = "main") -> int:
        return int(self.line("listening", listener=listener)["port"])

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.signalled_at = self.signalled_at or time.monotonic()
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def exit_code(self, within_seconds: float) -> int:
        """The exit code; fails if the process lives longer than *within_seconds* after the first signal."""
        code = self._wait(max(0.01, self.signalled_at + within_seconds - time.monotonic()))
        assert code is not None, f"the process lives after {within_seconds} s"
        return code

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


def read_answer(client: socket.socket, rest: bytearray | None = None) -> Answer:
    """One answer with a Content-Length; *rest* keeps what came after it. Raises ConnectionError if it is not whole."""
    received = bytearray() if rest is None else rest
    while b"\r\n\r\n" not in received:
        _receive(client, received)
    head, _, _ = bytes(received).partition(b"\r\n\r\n")
    answer = Answer(head, b"")
    end = len(head) + 4 + int(answer.headers["content-length"])
    while len(received) < end:
        _receive(client, received)
    answer.body = bytes(received[len(head) + 4 : end])
    del received[:end]
    return answer


def _receive(client: socket.socket, received: bytearray) -> None:
    piece = client.recv(65536)
    if not piece:
        raise ConnectionError(f"the connection ended after {bytes(received)!r}")
    received += piece


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
        value, error = outcome.get(timeout=90)
        if error is not None:
            raise error
        return value

    return result
