"""Imports of uploaded files: received, queued with a job in one transaction, run by it, cancelled."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from ..cancellation import to_its_end
from ..errors import DatabaseUnavailable, FieldError, Invalid, NotFound, UnsupportedMediaType
from ..jobs import Job, JobRun, Returned
from ..jobs.declarations import State
from ..lifecycle import Phase
from .decoding import reject_magic
from .errors import CsvRejected
from .importer import Importer, Target
from .pace import Pace, quick_switches
from .shapes import ImportOut
from .store import CHUNK_BYTES, ImportStore, ImportTables, ImportTaken, NewImport, is_content_taken
from .tables import ENDED, ImportState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import AnyRow
    from ..jobs import Jobs
    from ..service import Core

TIME_LIMIT_SECONDS = 86_400.0
ATTEMPTS = 10
"""In a row without a batch: a disk that is full is waited for, for some minutes."""

_log = structlog.get_logger("chassis.csv_import")


class ImportPayload(BaseModel):
    """Which import a job runs."""

    import_id: str


class Imports:
    """The imports of a service into one *target*; its methods raise DatabaseUnavailable."""

    def __init__(self, core: Core, jobs: Jobs, tables: ImportTables, target: Target) -> None:
        self.store = ImportStore(core.database, tables)
        self.importer = Importer(self.store, target, Pace(lambda: core.metrics.requests.begun))
        self.lifecycle = core.lifecycle
        self.problems = core.problems
        self._jobs = jobs
        self._job = Job(
            name="csv_import",
            payload=ImportPayload,
            run=self._run,
            attempts=ATTEMPTS,
            time_limit_seconds=TIME_LIMIT_SECONDS,
        )
        jobs.add(self._job)

    async def receive(self, pieces: AsyncIterator[bytes], new: NewImport, *, again: bool) -> tuple[ImportOut, bool]:
        """Store a file piece by piece and queue its import; an earlier one of the same content, and whether it is new.

        With *again* every file is a new one. Raises UnsupportedMediaType, Invalid, and what *pieces* raise.
        """
        import_id, digest, size = "", hashlib.sha256(), 0
        try:
            async for number, chunk in _enumerated(_chunks(pieces)):
                if not import_id:
                    _reject_other_files(chunk)
                    import_id = await self.store.create(new)
                await self.store.add_chunk(import_id, number, chunk)
                digest.update(chunk)
                size += len(chunk)
            _require_content(size)
            sha256 = digest.hexdigest()
            content_key = None if again else f"{sha256}:{new.caller}"
            first = await self._queue(import_id, content_key, sha256=sha256, size_bytes=size)
        except BaseException:
            # Also when the client has gone, and its request is being cancelled.
            if import_id:
                await to_its_end(self._discard(import_id))
            raise
        if first is not None:
            await self._discard(import_id)
            return first, False
        return await self.get(import_id), True

    async def _queue(self, import_id: str, content_key: str | None, **values: Any) -> ImportOut | None:
        """Queue it with its job, or the import that has *content_key* already."""
        found = None if content_key is None else await self.store.find(content_key)
        if found is not None:
            return shown(found)
        try:
            async with self.store.database.transaction() as session:
                job_id = await self._jobs.send(self._job, ImportPayload(import_id=import_id), session=session)
                await self.store.queue(session, import_id, content_key=content_key, job_id=job_id, **values)
        except IntegrityError as error:
            if content_key is None or not is_content_taken(error):
                raise
            found = await self.store.find(content_key)
        return None if found is None else shown(found)

    async def _discard(self, import_id: str) -> None:
        """What cannot be removed now is removed by `tidy` a day later."""
        try:
            await self.store.discard(import_id)
        except DatabaseUnavailable as error:
            _log.warning("upload not removed", import_id=import_id, reason=str(error))

    async def get(self, import_id: str) -> ImportOut:
        """The import as it is now; raises NotFound."""
        return shown(await self.store.get(import_id))

    async def cancel(self, import_id: str) -> ImportOut:
        """The import as it then is: cancelled, unless it had ended. Raises NotFound.

        What was committed stays; a batch that is being stored is not.
        """
        row = await self.store.get(import_id)
        async with self.store.database.transaction() as session:
            if row.job_id is not None:
                await self._jobs.cancel(row.job_id, session=session)
            await self.store.end(session, import_id, ImportState.CANCELLED)
        return await self.get(import_id)

    async def tidy(self) -> None:
        """Remove uploads that are not needed any more; for a task that repeats it."""
        await self.store.tidy()

    async def _run(self, run: JobRun[ImportPayload]) -> None:
        import_id = run.payload.import_id
        try:
            row = await self.store.get(import_id)
        except NotFound:
            return  # its client left while it was queued, and nothing of the upload stays
        if row.state in ENDED:
            return

        async def commit(work: Callable[[AsyncSession], Awaitable[None]]) -> None:
            if self.lifecycle.phase >= Phase.DRAINING:
                raise Returned
            await run.commit(work)

        try:
            with quick_switches():
                await self.importer.run(row, self.store.chunks(import_id), commit)
        except ImportTaken:
            _log.info("import taken", import_id=import_id)


def shown(row: AnyRow) -> ImportOut:
    """*row* as it is shown: failed, also if only its job says so."""
    state, failure = ImportState(row.state), row.failure
    if state not in ENDED and row.job_state == State.FAILED:
        state, failure = ImportState.FAILED, f"its job failed: {row.job_error}"
    return ImportOut(
        id=row.id,
        state=state,
        on_conflict=row.on_conflict,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        percent=round(100 * row.read_bytes / row.size_bytes, 1) if row.size_bytes else 0.0,
        records=row.records,
        inserted=row.inserted,
        updated=row.updated,
        skipped=row.skipped,
        rejected=row.rejected,
        failure=failure,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _reject_other_files(first: bytes) -> None:
    try:
        reject_magic(first)
    except CsvRejected as error:
        raise UnsupportedMediaType(f"The body is no CSV: {error}.") from None


def _require_content(size: int) -> None:
    if not size:
        raise Invalid("The body is wrong.", (FieldError("", "is empty: a file begins with a header"),))


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*pieces* in chunks of CHUNK_BYTES; the last one may be shorter."""
    waiting = bytearray()
    async for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


async def _enumerated(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for chunk in chunks:
        yield number, chunk
        number += 1
