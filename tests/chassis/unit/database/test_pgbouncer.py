"""Through a real PgBouncer in transaction mode, whose clients share two sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from sqlalchemy import bindparam, literal, select, text

from acme_service.chassis.database import Database
from acme_service.chassis.database.migrations import MigrationFailed
from acme_service.chassis.database.migrations.runner import migrated
from acme_service.chassis.errors import DatabaseUnavailable, StartupFailed

from .schema import SCHEMA

pytestmark = pytest.mark.anyio

INSERT = text("INSERT INTO items VALUES (:id, '0', :id, '2026-01-01')")
NUMBER = select(bindparam("number", type_=literal(1).type))


@asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[Database]:
    database = Database(url, application_name="service", pool_size=8, **options)  # type: ignore[arg-type]
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def test_everything_works_while_clients_share_sessions(pgbouncer_url: str) -> None:
    async def use(number: int) -> None:
        async with database.transaction() as session:
            await session.execute(INSERT, {"id": f"{number}"})
            kept = await session.scalar(text("SELECT name FROM items WHERE id = :id"), {"id": f"{number}"})
        assert "0" == kept
        assert number == await database.fetch_value(NUMBER, {"number": number})
        assert f"{number}" == await database.fetch_value(
            text("SELECT code FROM items WHERE id = :id"), {"id": f"{number}"}
        )

    async with opened(f"{pgbouncer_url}?pgbouncer=true") as database:
        await database.verify()
        await database.probe()
        await asyncio.gather(*(use(number) for number in range(80)))

        assert 80 == await database.fetch_value(text("SELECT count(*) FROM items"))
        assert {"a": 1} == await database.fetch_value(text("""SELECT '{"a": 1}'::jsonb"""))
        assert 0 == await database.fetch_value(text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"))


async def test_a_statement_still_ends_at_its_limit(pgbouncer_url: str) -> None:
    async with opened(f"{pgbouncer_url}?pgbouncer=true", statement_timeout_seconds=0.3) as database:
        started = perf_counter()
        with pytest.raises(DatabaseUnavailable):
            await database.fetch_value(text("SELECT count(*) FROM pg_sleep(20)"))
        assert perf_counter() - started < 5
        await database.ping()


async def test_without_the_setting_the_start_says_what_pgbouncer_rejects(pgbouncer_url: str) -> None:
    async with opened(pgbouncer_url) as database:
        with pytest.raises(StartupFailed, match="unsupported startup parameter"):
            await database.verify()


async def test_a_migration_asks_for_the_direct_address(pgbouncer_url: str) -> None:
    with pytest.raises(MigrationFailed, match="DATABASE_DIRECT_URL"):
        await migrated(f"{pgbouncer_url}?pgbouncer=true", SCHEMA)
