"""A service whose database goes away and comes back, as clients and probes see it."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from time import perf_counter

import httpx2
import pytest
from sqlalchemy import make_url

from tests.databases import HANG_UP, PostgreSQL

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


async def test_a_failover_is_503_and_the_first_write_after_it_succeeds_within_a_second(
    postgresql_server: PostgreSQL, postgresql_url: str, tmp_path: Path
) -> None:
    """As after a promotion: the sessions are with a server that is read-only, and new ones reach one that is not."""
    setting = f'ALTER DATABASE "{make_url(postgresql_url).database}" {{}} default_transaction_read_only'
    with Command(tmp_path, DATABASE_URL=postgresql_url) as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            assert 201 == (await client.post("/api/users", json=USER)).status_code
            try:
                await asyncio.to_thread(postgresql_server.execute, f"{setting.format('SET')} = on")
                await asyncio.to_thread(postgresql_server.execute, HANG_UP, database=postgresql_url)
                assert await seconds_until(client, "/health/ready", 503) < 2
                writes = [await client.post("/api/users", json=USER | {"email": f"{n}@example.org"}) for n in range(3)]
                assert [503] * 3 == [response.status_code for response in writes]
                assert ["1"] * 3 == [response.headers["retry-after"] for response in writes]
                assert 200 == (await client.get("/api/users")).status_code
                await asyncio.sleep(1.1)
            finally:
                await asyncio.to_thread(postgresql_server.execute, setting.format("RESET"))

            started = perf_counter()
            while (await client.post("/api/users", json=USER | {"email": "eve@example.org"})).status_code != 201:
                assert perf_counter() - started < 1
            assert await seconds_until(client, "/health/ready", 200) < 1
        assert "the server is read-only" in str(service.line("not ready")["failing"])


async def test_a_full_disk_of_sqlite_is_not_ready_until_there_is_space(folder: Path) -> None:
    """A limit on the size of files stands for the disk."""
    with Command(folder) as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            assert 200 == (await client.get("/health/ready")).status_code
            process = service.process.pid
            assert process
            limits = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (1024, limits[1]))
            assert await seconds_until(client, "/health/ready", 503) < 2
            assert 503 == (await client.post("/api/users", json=USER)).status_code
            assert 200 == (await client.get("/api/users")).status_code

            resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
            assert await seconds_until(client, "/health/ready", 200) < 2
            assert 201 == (await client.post("/api/users", json=USER)).status_code
