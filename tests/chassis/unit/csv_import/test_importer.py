"""Files into a real table: failures in the middle, two runs at once, and what is removed later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
from sqlalchemy import Table, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from acme_service.chassis.csv_import import Importer, ImportTables, OnConflict, TableSink, Target
from acme_service.chassis.csv_import.pace import Pace
from acme_service.chassis.csv_import.store import ImportStore, ImportTaken, NewImport
from acme_service.chassis.csv_import.tables import ImportState
from acme_service.chassis.database import Database
from acme_service.chassis.errors import DatabaseUnavailable
from acme_service.models.csv_import import Import, ImportChunk, ImportReject
from acme_service.models.jobs import JobRow
from acme_service.models.user import User
from acme_service.services.csv_import import COLUMNS, ROW, users_of

pytestmark = pytest.mark.anyio

Work = Callable[[AsyncSession], Awaitable[None]]
TABLES = ImportTables(imports=Import, rejects=ImportReject, chunks=ImportChunk, jobs=JobRow)


class Imported:
    """One import of *content*, and who was forgotten for it."""

    def __init__(
        self, database: Database, content: str, on_conflict: OnConflict = OnConflict.SKIP, pace: Pace | None = None
    ) -> None:
        self.database = database
        self.content = content.encode()
        self.on_conflict = on_conflict
        self.forgotten: list[str] = []
        sink = TableSink(cast("Table", User.__table__), key="email", changes=["name"], touch=["updated_at"])
        target = Target(columns=COLUMNS, row_columns=ROW, rows=users_of, sink=sink, forget=self.forget)
        self.importer = Importer(ImportStore(database, TABLES), target, pace)
        self.import_id = ""

    async def forget(self, ids: Sequence[str]) -> None:
        self.forgotten += ids

    async def commit(self, work: Work) -> None:
        async with self.database.transaction() as session:
            await work(session)

    async def pieces(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self.content), 40_000):
            yield self.content[begin : begin + 40_000]

    async def run(self, commit: Callable[[Work], Awaitable[None]] | None = None) -> Any:
        """Run it, or the rest of it; its row."""
        store = self.importer.store
        if not self.import_id:
            new = NewImport(caller="", encoding=None, delimiter=None, on_conflict=self.on_conflict)
            self.import_id = await store.create(new, ImportState.QUEUED, size_bytes=len(self.content))
        await self.importer.run(await store.get(self.import_id), self.pieces(), commit or self.commit)
        return await store.get(self.import_id)


def lines(count: int, bad: frozenset[int] = frozenset()) -> str:
    records = [f"User {number},{'nothing' if number in bad else f'u{number}@b.cc'}" for number in range(count)]
    return "\n".join(["name,email", *records, ""])


async def users(database: Database) -> int:
    return int(await database.fetch_value(select(func.count()).select_from(User)))


def counted(row: Any) -> tuple[int, ...]:
    return row.records, row.inserted, row.updated, row.skipped, row.rejected


async def test_a_thousand_bad_records_among_good_ones_are_named_and_the_counts_add_up(database: Database) -> None:
    bad = frozenset(random.Random(1).sample(range(5000), 1000))  # noqa: S311 - no secret
    done = await Imported(database, lines(5000, bad)).run()

    assert ("done", (5000, 4000, 0, 0, 1000)) == (done.state, counted(done))
    assert 4000 == await users(database)
    found = await database.fetch_all(select(ImportReject.line).order_by(ImportReject.line))
    assert [number + 2 for number in sorted(bad)] == [row.line for row in found]


async def test_a_full_disk_keeps_the_batches_before_and_the_import_goes_on(
    sqlite_url: str,
) -> None:
    database = Database(sqlite_url)
    imported = Imported(database, lines(20_000))
    try:
        async with database.transaction() as session:
            pages = (await session.execute(text("PRAGMA page_count"))).scalar_one()
            await session.execute(text(f"PRAGMA max_page_count = {pages + 400}"))
        with pytest.raises(DatabaseUnavailable):
            await imported.run()
        row = await imported.importer.store.get(imported.import_id)
        assert 0 < row.records < 20_000
        assert row.inserted == await users(database)

        async with database.transaction() as session:
            await session.execute(text("PRAGMA max_page_count = 1000000"))
        assert (20_000, 20_000, 0, 0, 0) == counted(await imported.run())
        assert 20_000 == await users(database)
    finally:
        await database.close()


async def test_a_commit_whose_reply_is_lost_is_not_repeated(database: Database) -> None:
    imported, commits = Imported(database, lines(5000)), 0

    async def commit(work: Work) -> None:
        nonlocal commits
        await imported.commit(work)
        commits += 1
        if commits == 2:
            raise DatabaseUnavailable("The database cannot be reached.")

    with pytest.raises(DatabaseUnavailable):
        await imported.run(commit)

    assert (5000, 5000, 0, 0, 0) == counted(await imported.run())
    assert 5000 == await users(database)


async def test_of_two_runs_at_once_one_gives_up_and_nothing_is_doubled(database: Database) -> None:
    imported = Imported(database, lines(5000, frozenset({7, 1007})))
    await imported.importer.store.database.ping()
    new = NewImport(caller="", encoding=None, delimiter=None, on_conflict=OnConflict.SKIP)
    imported.import_id = await imported.importer.store.create(new, ImportState.QUEUED)

    outcomes = await asyncio.gather(imported.run(), imported.run(), return_exceptions=True)

    assert [True] == [isinstance(outcome, ImportTaken) for outcome in outcomes if isinstance(outcome, Exception)]
    row = await imported.importer.store.get(imported.import_id)
    assert (5000, 4998, 0, 0, 2) == counted(row)
    assert 4998 == await users(database)


async def test_an_update_forgets_the_user_before_and_after_and_only_if_the_name_is_another(database: Database) -> None:
    await Imported(database, "name,email\nAda,a@b.cc\nBob,b@b.cc\n").run()
    renamed = Imported(database, "name,email\nCountess,a@b.cc\nBob,b@b.cc\nEve,e@b.cc\n", OnConflict.UPDATE)
    done = await renamed.run()

    ada = await database.fetch_one(select(User).where(User.email == "a@b.cc"))
    assert ada is not None
    assert [ada.id, ada.id] == renamed.forgotten
    assert ("Countess", 2, (3, 1, 1, 1, 0)) == (ada.name, ada.version, counted(done))


async def test_pieces_are_removed_a_day_after_the_end_and_what_never_came_whole_too(database: Database) -> None:
    store = ImportStore(database, TABLES)
    new = NewImport(caller="", encoding=None, delimiter=None, on_conflict=OnConflict.SKIP)
    ids = [await store.create(new) for _ in range(4)]
    for import_id in ids:
        await store.add_chunk(import_id, 0, b"x")
    old = func.datetime("now", "-25 hours") if database.kind == "sqlite" else text("now() - interval '25 hours'")
    async with database.transaction() as session:
        await store.end(session, ids[0], ImportState.DONE)
        await store.end(session, ids[1], ImportState.FAILED)
        await session.execute(update(Import).where(Import.id == ids[0]).values(ended_at=old))
        await session.execute(update(Import).where(Import.id.in_(ids[1:3])).values(created_at=old))

    await store.tidy()

    found = await database.fetch_all(select(Import.id).order_by(Import.id))
    left = await database.fetch_all(select(ImportChunk.import_id).order_by(ImportChunk.import_id))
    assert [ids[0], ids[1], ids[3]] == [row.id for row in found]
    assert [ids[1], ids[3]] == [row.import_id for row in left]


async def test_an_import_whose_job_is_a_dead_letter_has_failed(database: Database) -> None:
    from acme_service.chassis.csv_import.imports import shown  # noqa: PLC0415 - the jobs

    store = ImportStore(database, TABLES)
    new = NewImport(caller="", encoding=None, delimiter=None, on_conflict=OnConflict.SKIP)
    import_id = await store.create(new, ImportState.QUEUED, job_id="j")
    job = {"id": "j", "name": "csv_import", "payload": "{}", "state": "failed", "attempt": 5, "error": "no luck"}
    async with database.transaction() as session:
        await session.execute(
            insert(JobRow).values(request_id="", trace_id="", created_at=func.current_timestamp(), **job)
        )

    found = shown(await store.get(import_id))

    assert ("failed", "its job failed: no luck") == (found.state, found.failure)


async def test_a_connection_that_is_lost_amid_a_copy_is_a_lost_database(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - not on SQLite

    database = Database(postgresql_url)
    imported, copy = Imported(database, lines(10)), asyncpg.Connection.copy_records_to_table

    async def lost(connection: Any, *arguments: Any, **options: Any) -> None:
        connection.terminate()
        await copy(connection, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "copy_records_to_table", lost)
        with pytest.raises(DatabaseUnavailable):
            await imported.run()
    assert (10, 10, 0, 0, 0) == counted(await imported.run())
    await database.close()
