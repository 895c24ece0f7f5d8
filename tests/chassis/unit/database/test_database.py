from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import pytest
from sqlalchemy import exc, make_url, text

from acme_service.chassis.database import Database
from acme_service.chassis.errors import DatabaseUnavailable

from ...databases import Proxy
from .schema import SCHEMA

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO items VALUES ('1', '0', 'a', '2026-01-01')"


@contextlib.asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[Database]:
    database = Database(url, **options)  # type: ignore[arg-type]
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def value(database: Database, statement: str) -> object:
    async with database.reading() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def write(database: Database, statement: str) -> None:
    async with database.transaction() as session:
        await session.execute(text(statement))


async def increment(database: Database) -> None:
    """Read, then write what was read plus one: what a careless transaction loses."""
    lock = "" if database.kind == "sqlite" else "FOR UPDATE"
    async with database.transaction() as session:
        count = (await session.execute(text(f"SELECT name FROM items {lock}"))).scalar_one()  # noqa: S608 - one of two
        await asyncio.sleep(0)
        await session.execute(text("UPDATE items SET name = :name"), {"name": str(int(count) + 1)})


async def test_a_hundred_concurrent_increments_are_all_kept(database: Database) -> None:
    await write(database, INSERT)
    await asyncio.gather(*(increment(database) for _ in range(100)))

    assert "100" == await value(database, "SELECT name FROM items")


async def test_reading_waits_for_no_writer(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text(INSERT))

        assert 0 == await value(database, "SELECT count(*) FROM items")


async def test_an_exhausted_pool_is_unavailable_after_its_timeout(database_url: str) -> None:
    started = perf_counter()
    async with opened(database_url, pool_size=1, max_overflow=0, pool_timeout_seconds=0.1) as database:
        async with database.reading():
            with pytest.raises(DatabaseUnavailable, match="in use"):
                await database.ping()
        assert perf_counter() - started < 2
        await database.ping()


SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000000) SELECT count(*) FROM n",
    "postgresql": "SELECT count(*) FROM pg_sleep(20)",
}


async def test_cancelled_requests_leave_the_pool_whole(database_url: str) -> None:
    async with opened(database_url, pool_size=2, max_overflow=0) as database:
        slow = [asyncio.create_task(value(database, SLOW[database.kind])) for _ in range(2)]
        await asyncio.sleep(0.1)
        started = perf_counter()
        for task in slow:
            task.cancel()
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert perf_counter() - started < 5

        assert [asyncio.CancelledError] * 2 == [type(result) for result in results]
        await asyncio.gather(*(database.ping() for _ in range(10)))
        assert 0 == database.pool_state()["checked_out"]


async def test_a_cancelled_transaction_leaves_nothing_and_frees_the_writer(database: Database) -> None:
    async def hang() -> None:
        async with database.transaction() as session:
            await session.execute(text(INSERT))
            await asyncio.sleep(30)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 0 == await value(database, "SELECT count(*) FROM items")
    await write(database, INSERT)


async def test_the_pool_counts_its_connections(database: Database) -> None:
    async with database.reading():
        assert {"checked_out": 1, "idle": 0, "overflow": 0} == database.pool_state()
    assert {"checked_out": 0, "idle": 1, "overflow": 0} == database.pool_state()


async def test_a_wrong_statement_is_not_mistaken_for_a_lost_database(database: Database) -> None:
    with pytest.raises(exc.SQLAlchemyError):
        await value(database, "SELECT nothing FROM nowhere")
    with pytest.raises(exc.IntegrityError):
        await write(database, f"{INSERT}, {INSERT.partition('VALUES ')[2]}")


async def test_no_error_repeats_the_values_of_its_statement(database: Database) -> None:
    statement = text("UPDATE items SET nothing = :password_hash")
    with pytest.raises(exc.SQLAlchemyError) as raised:
        async with database.transaction() as session:
            await session.execute(statement, {"password_hash": "hunter2"})

    assert "hunter2" not in str(raised.value)


async def test_closing_ends_every_thread(sqlite_url: str) -> None:
    before = set(threading.enumerate())
    async with opened(sqlite_url) as database:
        await asyncio.gather(*(database.ping() for _ in range(5)), write(database, INSERT))
        ours = set(threading.enumerate()) - before
    for _ in range(100):
        if not any(thread.is_alive() for thread in ours):
            break
        await asyncio.sleep(0.01)

    assert ours
    assert not [thread for thread in ours if thread.is_alive()]


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@localhost/db", "sqlite://", "sqlite:///:memory:", "hunter2"], ids=lambda url: url[:9]
)
async def test_an_address_of_no_supported_database_is_rejected_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"support|memory|address") as raised:
        Database(url)

    assert "hunter2" not in str(raised.value)


async def test_an_sqlite_file_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(f"sqlite:///{tmp_path}/test.db") as database:
            await write(database, "CREATE TABLE one (id TEXT)")
            modes = {entry.name: entry.stat().st_mode & 0o777 for entry in os.scandir(tmp_path)}
    finally:
        os.umask(before)

    assert dict.fromkeys(["test.db", "test.db-wal", "test.db-shm"], 0o600) == modes


async def test_the_folder_of_an_sqlite_file_is_made(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/new/folder/test.db") as database:
        await database.ping()

    assert (tmp_path / "new" / "folder" / "test.db").exists()


@pytest.mark.parametrize(("pragma", "expected"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
async def test_sqlite_writes_safely(sqlite_url: str, pragma: str, expected: object) -> None:
    async with opened(sqlite_url) as database, database.transaction() as session:
        assert expected == (await session.execute(text(f"PRAGMA {pragma}"))).scalar_one()


async def test_the_reading_path_of_sqlite_cannot_write(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database:
        with pytest.raises((exc.SQLAlchemyError, DatabaseUnavailable)):
            async with database.reading() as connection:
                await connection.execute(text(INSERT))

        assert 0 == await value(database, "SELECT count(*) FROM items")


async def test_a_locked_sqlite_file_is_unavailable_after_the_timeout(sqlite_url: str) -> None:
    async with opened(sqlite_url) as holder, opened(sqlite_url, pool_timeout_seconds=0.2) as database:
        async with holder.transaction():
            started = perf_counter()
            with pytest.raises(DatabaseUnavailable):
                await write(database, INSERT)
            assert 0.1 < perf_counter() - started < 2
        await write(database, INSERT)


async def test_a_full_disk_is_unavailable_for_writing_and_readable(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database:
        async with database.transaction() as session:
            await session.execute(text("PRAGMA max_page_count = 1"))
        with pytest.raises(DatabaseUnavailable):
            await write(database, INSERT.replace("'0'", "zeroblob(1000000)"))
        assert "ok" == await value(database, "PRAGMA integrity_check")

        async with database.transaction() as session:
            await session.execute(text("PRAGMA max_page_count = 100000"))
        await write(database, INSERT)


async def test_a_deleted_sqlite_file_is_unavailable_and_not_made_anew_until_it_is_put_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with opened(sqlite_url) as database:
        await write(database, INSERT)
        (tmp_path / "test.db").rename(tmp_path / "aside")
        for use in (database.ping(), value(database, "SELECT 1"), write(database, INSERT)):
            with pytest.raises(DatabaseUnavailable):
                await use
        assert not (tmp_path / "test.db").exists()

        (tmp_path / "aside").rename(tmp_path / "test.db")
        assert 1 == await value(database, "SELECT count(*) FROM items")
        await write(database, INSERT.replace("'1'", "'2'").replace("'a'", "'b'"))


async def test_another_sqlite_file_in_the_same_place_is_the_database_from_then_on(
    sqlite_url: str, sqlite_template: Path, tmp_path: Path
) -> None:
    async with opened(sqlite_url) as database:
        await write(database, INSERT)
        for path in (tmp_path / "test.db", tmp_path / "test.db-wal", tmp_path / "test.db-shm"):
            path.unlink()
        shutil.copy(sqlite_template, tmp_path / "test.db")

        assert 0 == await value(database, "SELECT count(*) FROM items")
        await write(database, INSERT)
        assert 1 == await value(database, "SELECT count(*) FROM items")


async def test_sqlite_loads_neither_asyncpg_nor_alembic(sqlite_url: str) -> None:
    program = (
        "import sys, asyncio, pathlib; from acme_service.chassis.database.schema import is_current;"
        "from acme_service.chassis.database import Database;"
        "import acme_service.chassis.application;"
        f"database = Database({sqlite_url!r});"
        f"assert asyncio.run(is_current(database, pathlib.Path({str(SCHEMA.versions)!r})));"
        "print(sorted({'asyncpg', 'alembic'} & set(sys.modules)))"
    )
    output = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert "[]\n" == output.stdout


async def test_a_server_that_rejects_is_unavailable_at_once(tmp_path: Path) -> None:
    async with opened(f"postgresql://postgres@/test?host={tmp_path}") as database:
        started = perf_counter()
        for use in (database.ping(), write(database, INSERT)):
            with pytest.raises(DatabaseUnavailable):
                await use
        assert perf_counter() - started < 5


async def test_a_wrong_database_name_is_unavailable(postgresql_url: str) -> None:
    missing = make_url(postgresql_url).set(database="missing").render_as_string(hide_password=False)
    async with opened(missing) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()


async def test_every_loss_is_unavailable_and_the_first_try_after_the_return_succeeds(proxy: Proxy) -> None:
    async with opened(proxy.address, pool_size=5) as database:
        during = [asyncio.create_task(value(database, SLOW["postgresql"])) for _ in range(3)]
        writing = asyncio.create_task(write(database, "SELECT pg_sleep(1)"))
        await asyncio.sleep(0.3)
        await proxy.cut()
        lost = await asyncio.gather(*during, writing, return_exceptions=True)
        lost += await asyncio.gather(*(database.ping() for _ in range(10)), return_exceptions=True)
        assert [DatabaseUnavailable] * 14 == [type(result) for result in lost]

        await proxy.start()
        await asyncio.gather(*(database.ping() for _ in range(10)))


async def test_connections_lost_while_idle_are_replaced_without_an_error(postgresql_url: str, proxy: Proxy) -> None:
    async with opened(proxy.address, pool_size=5) as database, opened(postgresql_url) as other:
        await asyncio.gather(*(database.ping() for _ in range(5)))
        await value(
            other,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await asyncio.gather(*(database.ping() for _ in range(10)))
        await write(database, INSERT)


async def frozen_while_reading(database: Database, proxy: Proxy) -> None:
    async with database.reading() as connection:
        proxy.freeze()
        await connection.execute(text("SELECT 1"))


async def test_a_frozen_server_is_left_after_the_statement_timeout(proxy: Proxy) -> None:
    async with opened(proxy.address, statement_timeout_seconds=0.2) as database:
        started = perf_counter()
        with pytest.raises(DatabaseUnavailable):
            await frozen_while_reading(database, proxy)
        assert perf_counter() - started < 5


async def test_a_statement_ends_at_its_limit_and_its_connection_is_used_again(database_url: str) -> None:
    async with opened(database_url, statement_timeout_seconds=0.5, pool_size=1, max_overflow=0) as database:
        started = perf_counter()
        with pytest.raises(DatabaseUnavailable):
            await value(database, SLOW[database.kind])
        assert perf_counter() - started < 5
        await database.ping()


async def test_the_server_itself_ends_a_statement_at_its_limit(postgresql_url: str) -> None:
    async with opened(postgresql_url, statement_timeout_seconds=0.5) as database:
        assert "500ms" == await value(database, "SHOW statement_timeout")
        with pytest.raises(DatabaseUnavailable):
            await value(database, "SELECT count(*) FROM pg_sleep(5)")
        await database.ping()


async def test_the_short_spelling_of_the_scheme_is_accepted(postgresql_url: str) -> None:
    async with opened(postgresql_url.replace("postgresql://", "postgres://")) as database:
        await database.ping()
