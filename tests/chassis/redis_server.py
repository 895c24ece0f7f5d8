"""A real Redis for the tests, which a test may also freeze.

It is the one of a project's tests, in `tests/redis_server.py` of the render whose environment runs these.
TEST_REDIS_URL names another one for the tests that break nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests import redis_server as of_a_project
from tests.redis_server import redis_executable


class RedisServer(of_a_project.RedisServer):
    """One Redis process, as a project's tests have it, that can stall."""

    def freeze(self) -> None:
        """Let connections and commands wait without an answer, as when the machine or the network stalls."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


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
