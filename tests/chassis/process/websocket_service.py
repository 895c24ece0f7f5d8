"""Starts the service of `websocket_application.py` as a process, on its own server or on uvicorn."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

PROGRAM = Path(__file__).with_name("websocket_application.py")
SECONDS = 30.0
"""For whatever the process has to do; the machine may be busy."""


class WebSocketService:
    """A running process, its files in *folder*; *variables* are settings."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.port = free_port()
        self.lines: list[dict[str, Any]] = []
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
            "LOG_FORMAT": "json",
            **variables,
        }
        self.process = subprocess.Popen(
            self.command(), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def command(self) -> list[str]:
        return [sys.executable, str(PROGRAM), "serve"]

    def __enter__(self) -> Self:
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_until_ready(self) -> None:
        ends = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < ends, "it does not listen"
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip(), "level": "error"}
            self._fresh.put(line)
        self._fresh.put(None)

    def line(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first log line, from now or before, of *event* with these *fields*."""
        wanted = {"event": event, **fields}
        ends = time.monotonic() + SECONDS
        while not (found := [line for line in self.lines if wanted.items() <= line.items()]):
            try:
                fresh = self._fresh.get(timeout=max(0.01, ends - time.monotonic()))
            except queue.Empty:
                fresh = None
            assert fresh is not None, f"no line {wanted}: {self.lines}"
            self.lines.append(fresh)
        return found[0]

    def lines_of(self, request_id: str) -> list[dict[str, Any]]:
        """Every line that bears *request_id*, once its access line is there."""
        self.line("request", request_id=request_id)
        return [line for line in self.lines if line.get("request_id") == request_id]

    def stop(self) -> int:
        """The exit code after SIGTERM; every line is read."""
        self.process.terminate()
        return self.exit_code()

    def exit_code(self) -> int:
        """The exit code, once the process has ended; every line is read."""
        code = self.process.wait(SECONDS)
        while (fresh := self._fresh.get(timeout=SECONDS)) is not None:
            self.lines.append(fresh)
        return code

    def connect(self, path: str, **options: Any) -> AbstractContextManager[ClientConnection]:
        """A client whose handshake must be accepted."""
        client: AbstractContextManager[ClientConnection] = connect(
            f"ws://127.0.0.1:{self.port}{path}", proxy=None, compression=None, **options
        )
        return client

    def rejection(self, path: str, **options: Any) -> Response:
        """The response to a handshake that must be rejected."""
        try:
            with self.connect(path, **options):
                pass
        except InvalidStatus as error:
            return error.response
        raise AssertionError(f"{path} was accepted")

    def close_code(self, path: str, **options: Any) -> tuple[int | None, str | None]:
        """The code and the reason with which the server closes."""
        with self.connect(path, **options) as client:
            return end_of(client)

    def metric(self, sample: str) -> float | None:
        """The value of *sample*, as the exposition spells it; None without one."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=SECONDS) as response:
            found = re.search(rf"^{re.escape(sample)} (\S+)$", response.read().decode(), re.MULTILINE)
        return float(found[1]) if found else None


class WebSocketServiceOnUvicorn(WebSocketService):
    """The same application on stock uvicorn."""

    def command(self) -> list[str]:
        options = ["--port", str(self.port), "--app-dir", str(PROGRAM.parent), "--log-level", "error"]
        return [sys.executable, "-m", "uvicorn", f"{PROGRAM.stem}:app", *options]


def end_of(client: ClientConnection) -> tuple[int | None, str | None]:
    """The code and the reason with which the server closes, after all that it still sends."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=SECONDS)
    return client.close_code, client.close_reason


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def token(name: str) -> dict[str, Any]:
    """The options of a client that is no browser, and has the token *name*."""
    return {"additional_headers": {"Authorization": f"Bearer {name}"}}


def given_id(name: str) -> dict[str, Any]:
    """The options of a client that chooses its request id."""
    return {"additional_headers": {"X-Request-ID": name}}
