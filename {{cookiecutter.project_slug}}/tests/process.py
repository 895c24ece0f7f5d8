"""The service as a real process: started as an operator does, watched by its log lines, ended by signals."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

PACKAGE = "{{ cookiecutter.package_name }}"
START_SECONDS = 20.0


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """What a process of the service needs, its files in *folder*; *variables* come on top."""
    return {
        "PATH": os.environ["PATH"],
        "APP_ENV": "test",
        "PORT": "0",
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        **variables,
    }


def run(folder: Path, *arguments: str, entered: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the service to its end; *entered* is its standard input."""
    return subprocess.run(
        [sys.executable, "-m", PACKAGE, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        input=entered,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class ServiceProcess:
    """`serve` as a running process in *folder*; leaving the context kills it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", PACKAGE, "serve"],
            cwd=folder,
            env=environment(folder, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._new.put(line)
        self._new.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
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
            new = self._new.get(timeout=max(0.01, ends - time.monotonic()))
            assert new is not None, f"the process ended without {wanted}: {self.lines} {self.stderr()}"
            self.lines.append(json.loads(new))

    def stop(self, within_seconds: float = 10.0) -> int:
        """Send SIGTERM, read the log to its end, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(within_seconds)
        while (new := self._new.get(timeout=5)) is not None:
            self.lines.append(json.loads(new))
        return code

    def stderr(self) -> str:
        """What the process wrote to its standard error; call it after the end."""
        assert self._process.stderr is not None
        return self._process.stderr.read()

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    @property
    def port(self) -> int:
        return int(self.line("listening", listener="main")["port"])

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """Where the services of one file find a database with the newest schema, and so have nothing to migrate."""
    made = tmp_path_factory.mktemp("service")
    shutil.copy(sqlite_template, made / "service.db")
    return made


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServiceProcess]:
    """One service for all tests of a file that leave it as they found it."""
    with ServiceProcess(folder) as running:
        yield running
