"""A service whose database goes away and comes back, as clients and probes see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import httpx2
import pytest

from ..databases import Proxy
from .command import Command

pytestmark = pytest.mark.anyio

USER = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


async def seconds_until(client: httpx2.AsyncClient, path: str, status: int) -> float:
    started = perf_counter()
    while (await client.get(path)).status_code != status:
        assert perf_counter() - started < 10
        await asyncio.sleep(0.02)
    return perf_counter() - started


async def test_readiness_follows_the_database_and_no_answer_is_a_500(proxy: Proxy, tmp_path: Path) -> None:
    with Command(tmp_path, DATABASE_URL=proxy.address) as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            assert 201 == (await client.post("/api/users", json=USER)).status_code

            await proxy.cut()
            assert await seconds_until(client, "/health/ready", 503) < 2
            rejected = [await client.get("/api/users"), await client.post("/api/users", json=USER)]
            assert [503, 503] == [answer.status_code for answer in rejected]
            assert ["1", "1"] == [answer.headers["retry-after"] for answer in rejected]
            assert 200 == (await client.get("/health/live")).status_code

            await proxy.start()
            assert 200 == (await client.get("/api/users")).status_code
            assert await seconds_until(client, "/health/ready", 200) < 1


async def test_a_deleted_sqlite_file_is_noticed_and_used_again_when_it_is_back(folder: Path) -> None:
    file, aside = folder / "service.db", folder / "aside.db"
    with Command(folder) as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            assert 201 == (await client.post("/api/users", json=USER)).status_code

            file.rename(aside)
            assert await seconds_until(client, "/health/ready", 503) < 2
            rejected = await client.post("/api/users", json=USER | {"email": "eve@example.org"})
            assert (503, "1") == (rejected.status_code, rejected.headers["retry-after"])
            assert not file.exists()

            aside.rename(file)
            assert await seconds_until(client, "/health/ready", 200) < 2
            assert 1 == (await client.get("/api/users")).json()["pagination"]["total_items"]
