"""The tables of imports: every change is one transaction, and a batch is stored with what it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..database import DatabaseNow
from ..errors import NotFound
from ..shapes import new_id
from .batches import Batch, Reject
from .sink import OnConflict, Stored
from .tables import ENDED, ImportChunkColumns, ImportColumns, ImportRejectColumns, ImportState

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import AnyRow, Database

CHUNK_BYTES = 262_144
KEPT_AFTER_END = timedelta(days=1)
PAGE = 100
"""Rejects that are read and written without a break for other requests: at most a megabyte of text."""
_COUNTERS = ("records", "inserted", "updated", "skipped", "rejected", "read_bytes")


class ImportTaken(Exception):
    """The import was cancelled, or another process has committed its next batch; this one has stored nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTables:
    """The service's tables."""

    imports: type[ImportColumns]
    rejects: type[ImportRejectColumns]
    chunks: type[ImportChunkColumns]
    jobs: Any
    """The table of jobs: an import whose job is a dead letter has failed."""


@dataclass(slots=True)
class Progress:
    """How far an import has come, as its next batch will store it."""

    records: int = 0
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    read_bytes: int = 0

    def after(self, batch: Batch, stored: Stored, read_bytes: int) -> Progress:
        """The same with *batch*."""
        return Progress(
            batch.records,
            self.inserted + stored.inserted,
            self.updated + stored.updated,
            self.skipped + stored.skipped,
            self.rejected + len(batch.rejects),
            read_bytes,
        )

    def values(self) -> dict[str, int]:
        """By column."""
        return {name: getattr(self, name) for name in _COUNTERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImport:
    """How a file is to be imported."""

    caller: str
    encoding: str | None
    delimiter: str | None
    on_conflict: OnConflict


class ImportStore:
    """Raises DatabaseUnavailable."""

    def __init__(self, database: Database, tables: ImportTables) -> None:
        self.database = database
        self._imports = _table(tables.imports)
        self._rejects = _table(tables.rejects)
        self._chunks = _table(tables.chunks)
        jobs = _table(tables.jobs)
        job = [jobs.c.state.label("job_state"), jobs.c.error.label("job_error")]
        self._select = select(self._imports, *job).outerjoin_from(
            self._imports, jobs, self._imports.c.job_id == jobs.c.id
        )

    async def create(self, new: NewImport, state: ImportState = ImportState.UPLOADING, **values: Any) -> str:
        """Store the beginning of an import and return its id; IntegrityError if its content_key is taken."""
        import_id = new_id()
        row = {
            "id": import_id,
            "state": state,
            "caller": new.caller,
            "encoding": new.encoding,
            "delimiter": new.delimiter,
            "on_conflict": new.on_conflict,
            "size_bytes": 0,
            "created_at": DatabaseNow(),
            **Progress().values(),
            **values,
        }
        async with self.database.transaction() as session:
            await session.execute(insert(self._imports).values(**row))
        return import_id

    async def add_chunk(self, import_id: str, number: int, data: bytes) -> None:
        """Store one piece of the file."""
        async with self.database.transaction() as session:
            values = {"import_id": import_id, "number": number, "data": data}
            await session.execute(insert(self._chunks).values(**values))

    async def chunks(self, import_id: str) -> AsyncIterator[bytes]:
        """The pieces of the file, one query each."""
        number = 0
        column = self._chunks.c
        while True:
            found = select(column.data).where(column.import_id == import_id, column.number == number)
            data = await self.database.fetch_value(found)
            if data is None:
                return
            yield data
            number += 1

    async def queue(self, session: AsyncSession, import_id: str, **values: Any) -> None:
        """The file is whole, and waits for its job; IntegrityError if its content_key is taken."""
        await session.execute(self._change(import_id).values(state=ImportState.QUEUED, **values))

    async def get(self, import_id: str) -> AnyRow:
        """The row, with `job_state` and `job_error`; raises NotFound."""
        row = await self.database.fetch_one(self._select.where(self._imports.c.id == import_id))
        if row is None:
            raise NotFound(f"Import {import_id} not found.")
        return row

    async def find(self, content_key: str) -> AnyRow | None:
        """The import that a file of this content is taken for."""
        return await self.database.fetch_one(self._select.where(self._imports.c.content_key == content_key))

    async def advance(
        self, session: AsyncSession, import_id: str, before: Progress, after: Progress, rejects: Sequence[Reject]
    ) -> None:
        """Store *rejects* and *after*; raises ImportTaken unless the import stands at *before*."""
        going_on = self._change(import_id).where(
            self._imports.c.records == before.records, self._imports.c.state.not_in(ENDED)
        )
        found = await session.execute(going_on.values(state=ImportState.RUNNING, **after.values()))
        if _rows(found) != 1:
            raise ImportTaken
        if rejects:
            rows = [
                {"import_id": import_id, "line": each.line, "text": each.text, "reasons": "\n".join(each.reasons)}
                for each in rejects
            ]
            await session.execute(insert(self._rejects), rows)

    async def end(
        self, session: AsyncSession, import_id: str, state: ImportState, failure: str | None = None, **values: Any
    ) -> bool:
        """Make *state*, a final one, that of the import; False if it has ended already."""
        going_on = self._change(import_id).where(self._imports.c.state.not_in(ENDED))
        found = await session.execute(going_on.values(state=state, failure=failure, ended_at=DatabaseNow(), **values))
        return _rows(found) == 1

    async def release(self, import_id: str) -> None:
        """Let the same file sent again be another import."""
        async with self.database.transaction() as session:
            await session.execute(self._change(import_id).values(content_key=None))

    async def discard(self, import_id: str) -> None:
        """Remove an import whose file did not arrive whole, or did before."""
        async with self.database.transaction() as session:
            await session.execute(delete(self._chunks).where(self._chunks.c.import_id == import_id))
            await session.execute(delete(self._imports).where(self._imports.c.id == import_id))

    async def rejects(self, import_id: str) -> AsyncIterator[list[Reject]]:
        """The rejects in the order of their lines, page by page."""
        column, line = self._rejects.c, 0
        while True:
            page = select(column.line, column.text, column.reasons).order_by(column.line).limit(PAGE)
            rows = await self.database.fetch_all(page.where(column.import_id == import_id, column.line > line))
            if not rows:
                return
            yield [Reject(row.line, row.text, tuple(row.reasons.split("\n"))) for row in rows]
            line = rows[-1].line

    async def tidy(self) -> None:
        """Remove the pieces of what ended a day ago, and what was begun to be uploaded a day ago."""
        imports, chunks = self._imports.c, self._chunks.c
        before = datetime.now(UTC) - KEPT_AFTER_END
        over = select(imports.id).where(imports.ended_at < before)
        over = over.where(exists().where(chunks.import_id == imports.id))
        begun = select(imports.id).where(imports.state == ImportState.UPLOADING, imports.created_at < before)
        for row in await self.database.fetch_all(over):
            async with self.database.transaction() as session:
                await session.execute(delete(self._chunks).where(chunks.import_id == row.id))
        for row in await self.database.fetch_all(begun):
            await self.discard(row.id)

    def _change(self, import_id: str) -> Any:
        return update(self._imports).where(self._imports.c.id == import_id)


def progress_of(row: AnyRow) -> Progress:
    """How far the import of *row* has come."""
    return Progress(**{name: getattr(row, name) for name in _COUNTERS})


def is_content_taken(error: IntegrityError) -> bool:
    """Whether the same file was sent before."""
    return "content_key" in str(error.orig)


def _table(table: Any) -> Table:
    found: Table = table.__table__
    return found


def _rows(found: Any) -> int:
    count: int = found.rowcount
    return count
