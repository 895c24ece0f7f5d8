"""Two processes of the service on one database and one Redis: what one changes, the other shows; Redis may go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ..redis_server import RedisServer
from .command import Command

USER = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}


@pytest.fixture
def clients(redis_server: RedisServer, folder: Path) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    variables = {"APP_ENV": "test", "REDIS_URL": redis_server.url}
    with (
        Command(folder, **variables) as one,
        Command(folder, **variables) as other,
        one.client() as first,
        other.client() as second,
    ):
        yield first, second


def name_of(client: httpx2.Client, path: str) -> str:
    answer = client.get(path)
    assert 200 == answer.status_code, answer.text
    return str(answer.json()["name"])


def hits(client: httpx2.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith('cache_requests_total{result="hit"}'))


def test_a_change_is_seen_from_the_other_process_with_and_without_redis(
    clients: tuple[httpx2.Client, httpx2.Client], redis_server: RedisServer
) -> None:
    first, second = clients
    path = first.post("/api/users", json=USER).headers["location"]
    untouched = first.post("/api/users", json=USER | {"name": "Barbara", "email": "b@example.com"}).headers["location"]
    assert ["Ada"] * 3 == [name_of(first, path), name_of(second, path), name_of(second, path)]
    assert hits(second) >= 2, "the second process found what the first had stored"

    assert 200 == first.patch(path, json={"name": "Grace"}).status_code
    assert "Grace" == name_of(second, path)

    redis_server.kill()
    assert 200 == second.patch(path, json={"name": "Edsger"}).status_code
    assert "Edsger" == name_of(first, path)
    assert 200 == first.get("/health/ready").status_code, "without Redis the service is slower, and ready"
    redis_server.start()

    deadline = time.monotonic() + 5
    before = hits(first)
    while hits(first) == before:
        assert time.monotonic() < deadline, "a Redis that is back is used again within five seconds"
        assert "Edsger" == name_of(first, path)
        assert "Barbara" == name_of(first, untouched), "which is not, as the changed one, kept out for a while"
        time.sleep(0.05)

    assert 204 == first.delete(path).status_code
    assert 404 == second.get(path).status_code
