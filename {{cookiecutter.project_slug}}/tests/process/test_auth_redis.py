"""Authenticated users in two processes that share a Redis, and without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ..redis_server import RedisServer
from .auth import KEY, PASSWORD, AuthCommand, Person, log_in, refresh


@pytest.fixture
def clients(redis_server: RedisServer, folder: Path) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    variables = {"APP_ENV": "test", "JWT_SECRET": KEY, "REDIS_URL": redis_server.url}
    with (
        AuthCommand(folder, **variables) as one,
        AuthCommand(folder, **variables) as other,
        one.client() as first,
        other.client() as second,
    ):
        yield first, second


def test_what_one_process_ends_the_other_rejects_at_once(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    first, second = clients
    person = Person(first)
    assert 200 == second.get("/api/auth/me", headers=person.headers).status_code
    left = person.headers
    person.send("POST", "/api/auth/logout")

    assert 401 == second.get("/api/auth/me", headers=left).status_code
    person.log_in()
    assert 200 == second.get("/api/auth/me", headers=person.headers).status_code
    changed = {"current_password": PASSWORD, "new_password": "another horse"}
    assert 204 == second.post("/api/auth/password", json=changed, headers=person.headers).status_code
    assert 401 == person.get("/api/auth/me").status_code


def test_tries_are_counted_together(clients: tuple[httpx2.Client, httpx2.Client]) -> None:
    tries = [log_in(clients[number % 2], "ada@example.com", "wrong").status_code for number in range(6)]

    assert [401] * 5 + [429] == tries


def test_without_redis_nobody_logs_in_and_known_callers_notice_nothing(
    clients: tuple[httpx2.Client, httpx2.Client], redis_server: RedisServer
) -> None:
    first, second = clients
    person = Person(first)
    redis_server.kill()
    closed = [log_in(first, person.email), refresh(first, person.tokens["refresh_token"])]

    assert [503, 503] == [answer.status_code for answer in closed]
    assert all(answer.headers["retry-after"] for answer in closed)
    for client in clients:
        assert 200 == client.get("/api/auth/me", headers=person.headers).status_code
    person.send("POST", "/api/auth/logout")
    assert 401 == second.get("/api/auth/me", headers=person.headers).status_code
    redis_server.start()
    assert 200 == log_in(first, person.email).status_code
