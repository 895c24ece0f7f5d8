"""Authenticated users in two processes that share a Redis, and without it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from .application import PASSWORD, new_user, running
from .auth import KEY, access_headers, create_account
from .redis_server import RedisServer

pytestmark = pytest.mark.anyio

ME = "/api/auth/me"
Clients = tuple[httpx2.AsyncClient, httpx2.AsyncClient]


@pytest.fixture
async def clients(redis_server: RedisServer, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Clients]:
    """One of each of two applications, which know the user Ada."""
    async with (
        running(sqlite_url, tmp_path, JWT_SECRET=KEY, REDIS_URL=redis_server.url) as one,
        running(sqlite_url, tmp_path, JWT_SECRET=KEY, REDIS_URL=redis_server.url) as other,
        one.client() as first,
        other.client() as second,
    ):
        await create_account(one, "Ada")
        yield first, second


async def log_in(client: httpx2.AsyncClient, password: str) -> httpx2.Response:
    return await client.post("/api/auth/login", json={"email": new_user()["email"], "password": password})


async def test_what_one_process_ends_the_other_rejects_at_once(clients: Clients) -> None:
    first, second = clients
    headers = await access_headers(first, "Ada")
    assert 200 == (await second.get(ME, headers=headers)).status_code
    await first.post("/api/auth/logout", headers=headers)

    assert 401 == (await second.get(ME, headers=headers)).status_code
    headers = await access_headers(first, "Ada")
    assert 200 == (await second.get(ME, headers=headers)).status_code
    changed = {"current_password": PASSWORD, "new_password": "another horse"}
    assert 204 == (await second.post("/api/auth/password", json=changed, headers=headers)).status_code
    assert 401 == (await first.get(ME, headers=headers)).status_code


async def test_tries_are_counted_together(clients: Clients) -> None:
    tries = [(await log_in(clients[number % 2], "wrong")).status_code for number in range(6)]

    assert [401] * 5 + [429] == tries


async def test_right_passwords_are_not_counted_in_redis_either(clients: Clients) -> None:
    for number in range(12):
        assert 200 == (await log_in(clients[number % 2], PASSWORD)).status_code
    answers = await asyncio.gather(*(log_in(clients[number % 2], "wrong") for number in range(10)))

    assert [401] * 5 + [429] * 5 == sorted(answer.status_code for answer in answers)


async def test_without_redis_no_one_logs_in_and_sessions_go_on(clients: Clients, redis_server: RedisServer) -> None:
    first, second = clients
    pair = (await log_in(first, PASSWORD)).json()
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    redis_server.kill()
    refreshed = await first.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    closed = [await log_in(first, PASSWORD), refreshed]

    assert [503, 503] == [answer.status_code for answer in closed]
    assert all(answer.headers["retry-after"] for answer in closed)
    for client in clients:
        assert 200 == (await client.get(ME, headers=headers)).status_code
    await first.post("/api/auth/logout", headers=headers)
    assert 401 == (await second.get(ME, headers=headers)).status_code
    redis_server.start()
    assert 200 == (await log_in(first, PASSWORD)).status_code


def stored_by_a_stranger(key: str, *, sealed: bool) -> bytes:
    """A superadmin's state in the form in which a process keeps it, but for the key of the seal."""
    state = b'{"role":"superadmin","active":true,"token_version":"x","sessions":[]}'
    value = (bytes(32) + (1 << 60).to_bytes(8, "big") if sealed else b"") + state
    return b"=" + hashlib.blake2b(f"{len(key)}:{key}".encode() + value, digest_size=8).digest() + value


async def test_who_writes_to_redis_makes_no_admin(clients: Clients, redis_server: RedisServer) -> None:
    import redis  # noqa: PLC0415 - slow, and every worker loads this file

    first, second = clients
    headers = await access_headers(first, "Ada")
    key = f"account:{(await first.get(ME, headers=headers)).json()['id']}"
    with redis.Redis(unix_socket_path=redis_server.url.removeprefix("unix://")) as stored:
        [name] = stored.scan_iter(f"*:test:{key}")
        for value in (stored_by_a_stranger(key, sealed=True), stored_by_a_stranger(key, sealed=False), b"x", b""):
            for client in clients:
                stored.set(name, value)
                assert 403 == (await client.get("/api/admin/users", headers=headers)).status_code
                assert 200 == (await second.get(ME, headers=headers)).status_code
