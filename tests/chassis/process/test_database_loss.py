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
FULL_DISK = (
    """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$""",
    "CREATE TRIGGER full_disk BEFORE INSERT ON users EXECUTE FUNCTION full_disk()",
)
WITH_SPACE = ("DROP TRIGGER full_disk ON users", "DROP FUNCTION full_disk")
READERS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM users%'"
)


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


async def test_a_full_disk_of_a_shared_server_leaves_every_replica_ready_for_reads(
    postgresql_server: PostgreSQL, postgresql_url: str, tmp_path: Path
) -> None:
    with Command(tmp_path, DATABASE_URL=postgresql_url) as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            assert not await is_degraded(client)
            await asyncio.to_thread(postgresql_server.execute, *FULL_DISK, database=postgresql_url)
            try:
                writes = [await client.post("/api/users", json=USER) for _ in range(3)]
                assert [(503, "1")] * 3 == [(each.status_code, each.headers["retry-after"]) for each in writes]
                assert "no space" in writes[0].json()["detail"]
                assert await is_degraded(client)
                await asyncio.sleep(0.5)  # a verdict from before has no say any more
                assert [200, 200] == [(await client.get(path)).status_code for path in ("/health/ready", "/api/users")]
            finally:
                await asyncio.to_thread(postgresql_server.execute, *WITH_SPACE, database=postgresql_url)

            assert 201 == (await client.post("/api/users", json=USER)).status_code
            assert await is_degraded(client), "a small write may fit where others do not"
        service.line("database degraded")
        service.signal()
        assert 0 == await asyncio.to_thread(service.exit_code, 30)
        assert 1 == service.events().count("database degraded")


async def is_degraded(client: httpx2.AsyncClient) -> bool:
    return "\ndatabase_degraded 1.0\n" in (await client.get("/metrics")).text


async def test_a_connection_is_replaced_at_the_age_that_the_setting_says(postgresql_url: str, tmp_path: Path) -> None:
    with Command(tmp_path, DATABASE_URL=postgresql_url, DB_POOL_RECYCLE_SECONDS="0.2") as service:
        port = await asyncio.to_thread(service.port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            before = await readers(client, postgresql_url)
            await asyncio.sleep(0.3)
            after = await readers(client, postgresql_url)

    assert before
    assert before.isdisjoint(after)


async def readers(client: httpx2.AsyncClient, url: str) -> set[int]:
    """The server's processes whose last statement was to read users, just after one was."""
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - not on SQLite

    assert 200 == (await client.get("/api/users")).status_code
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(READERS)
    finally:
        await connection.close()
    return {row["pid"] for row in rows}


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
