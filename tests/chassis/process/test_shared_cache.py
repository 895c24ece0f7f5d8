"""Two processes of the service on one database and one Redis: what one changes, the other shows; Redis may go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import redis

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


def test_a_redis_that_never_worked_is_told_once_and_when_it_is_back(redis_server: RedisServer, folder: Path) -> None:
    redis_server.kill()
    with Command(folder, APP_ENV="test", REDIS_URL=redis_server.url) as service, service.client() as client:
        warning = service.line("redis unreachable")
        for _ in range(3):
            assert 200 == client.get("/health/ready").status_code
        time.sleep(1.2)
        redis_server.start()
        back = service.line("redis trusted again")
        told = [line["event"] for line in service.lines if line["logger"].startswith("chassis.cache")]

    assert ["redis unreachable", "redis trusted again"] == told
    assert ("warning", redis_server.url.removeprefix("unix://")) == (warning["level"], warning["address"])
    assert warning["address"] == back["address"]
    assert "Error" in warning["reason"]


@pytest.mark.parametrize("address", ["redis://ada:canary-4711@127.0.0.1:1/3", "rediss://:canary-4711@127.0.0.1:1"])
def test_an_unreachable_redis_is_named_without_its_password(folder: Path, address: str) -> None:
    with Command(folder, APP_ENV="test", REDIS_URL=address) as service:
        warning = service.line("redis unreachable")

    assert "127.0.0.1:1" == warning["address"]
    assert "canary" not in str(service.lines)


def test_the_keys_of_environments_that_share_a_redis_differ(redis_server: RedisServer, folder: Path) -> None:
    for app_env in ("test", "development"):
        with Command(folder, APP_ENV=app_env, REDIS_URL=redis_server.url) as service, service.client() as client:
            path = client.post("/api/users", json=USER | {"email": f"{app_env}@example.com"}).headers["location"]
            client.get(path)
    with redis.Redis(unix_socket_path=redis_server.url.removeprefix("unix://")) as stored:
        names = {key.decode().rpartition(":user:")[0] for key in stored.scan_iter("*:user:*")}

    assert {"test", "development"} == {name.rpartition(":")[2] for name in names}
