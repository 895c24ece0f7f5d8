"""A file into a table: batch by batch, each with its counters in one transaction, and from any batch on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .batches import Batch, Parser
from .columns import Column
from .errors import CsvRejected
from .pace import Pace, give_way
from .sink import OnConflict, Stored, TableSink
from .store import ImportStore, Progress, progress_of
from .tables import ImportState

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import AnyRow

SLICE_BYTES = 65_536
"""Taken apart without a break for other threads: a millisecond."""

Rows = list[tuple[Any, ...]]
Commit = Callable[[Callable[["AsyncSession"], Awaitable[None]]], Awaitable[None]]
"""Commits what a function does in a transaction of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the records of a file become: rows of a table."""

    columns: Sequence[Column]
    """Of the file."""
    row_columns: Sequence[str]
    """Of the table, `id` among them."""
    rows: Callable[[Batch], Rows]
    """The rows of a batch's clean records, in their order; called in a thread."""
    sink: TableSink
    forget: Callable[[Sequence[str]], Awaitable[None]]
    """Forgets what is cached of the rows with these ids; called before and after they are updated."""


@dataclass(frozen=True, slots=True)
class _Step:
    batch: Batch
    rows: Rows
    bound: Sequence[tuple[Any, ...]]
    """The rows as the driver takes them."""
    read_bytes: int


class Importer:
    """Imports files into *target*, at *pace*."""

    def __init__(self, store: ImportStore, target: Target, pace: Pace | None = None) -> None:
        self.store = store
        self._target = target
        self.pace = pace or Pace()

    async def run(
        self,
        row: AnyRow,
        source: AsyncIterator[bytes],
        commit: Commit,
        *,
        on_progress: Callable[[Progress], object] = lambda _progress: None,
    ) -> None:
        """Import the rest of the file that *row* stands for; *source* is all of it, from its first byte.

        Raises ImportTaken if it was cancelled or another process imports it, what *commit* raises, and
        DatabaseUnavailable: what is committed stands, and a later run goes on behind it.
        """
        progress, on_conflict = progress_of(row), OnConflict(row.on_conflict)
        state, failure = ImportState.DONE, None
        try:
            async with aclosing(self._steps(self._parser(row.encoding, row.delimiter), source, progress)) as steps:
                following = _Following(steps)
                try:
                    while (step := await following.get()) is not None:
                        begun = perf_counter()
                        progress = await self._commit(row.id, step, progress, on_conflict, commit, following)
                        await self.pace.rest_after(perf_counter() - begun)
                        on_progress(progress)
                finally:
                    await following.close()
        except CsvRejected as error:
            state, failure = ImportState.FAILED, str(error)

        async def end(session: AsyncSession) -> None:
            done = {"read_bytes": row.size_bytes} if failure is None else {}
            await self.store.end(session, row.id, state, failure, **done)

        await commit(end)

    async def preview(
        self,
        source: AsyncIterator[bytes],
        *,
        encoding: str | None,
        delimiter: str | None,
        on_conflict: OnConflict,
        on_batch: Callable[[Batch, Progress], object],
    ) -> Progress:
        """What `run` would count; nothing is stored. Raises CsvRejected and DatabaseUnavailable."""
        progress, target = Progress(), self._target
        async with aclosing(self._steps(self._parser(encoding, delimiter), source, progress)) as steps:
            async for step in steps:
                async with self.store.database.transaction() as session:
                    stored = await target.sink.preview(
                        session, target.row_columns, step.rows, step.batch.lines, on_conflict=on_conflict
                    )
                progress = progress.after(step.batch, stored, step.read_bytes)
                on_batch(step.batch, progress)
        return progress

    def _parser(self, encoding: str | None, delimiter: str | None) -> Parser:
        return Parser(self._target.columns, encoding=encoding, delimiter=delimiter, rest=self.pace.rest)

    async def _commit(  # noqa: PLR0913, PLR0917 - one value for each thing that a batch is committed with
        self,
        import_id: str,
        step: _Step,
        before: Progress,
        on_conflict: OnConflict,
        commit: Commit,
        following: _Following,
    ) -> Progress:
        target, batch, after = self._target, step.batch, before
        changed: list[str] = []

        async def forget(ids: Sequence[str]) -> None:
            changed.extend(ids)
            await target.forget(ids)

        async def work(session: AsyncSession) -> None:
            nonlocal after
            stored = Stored(0)
            if step.rows:
                stored = await target.sink.store(
                    session,
                    target.row_columns,
                    step.rows,
                    batch.lines,
                    bound=step.bound,
                    on_conflict=on_conflict,
                    forget=forget,
                )
            after = before.after(batch, stored, step.read_bytes)
            await self.store.advance(session, import_id, before, after, batch.rejects)
            # The next batch is read while this one is committed: during statements, two threads would only take the
            # interpreter from each other.
            following.start()

        try:
            await commit(work)
        finally:
            if changed:
                await target.forget(changed)
        return after

    async def _steps(self, parser: Parser, source: AsyncIterator[bytes], done: Progress) -> AsyncGenerator[_Step, None]:
        """Each batch behind *done*, read in a thread; the ones before it are read too, to know what they hold."""
        read_bytes, begin, target = 0, done.records, self._target
        dialect = self.store.database.engines[0].dialect

        def following(batches: Iterator[Batch]) -> _Step | None:
            for batch in batches:
                if batch.records > begin:
                    rows = target.rows(batch)
                    self.pace.rest()
                    return _Step(batch, rows, target.sink.bound(dialect, target.row_columns, rows), read_bytes)
            return None

        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="csv import", initializer=give_way)
        try:
            async for piece in _slices(source):
                read_bytes += len(piece)
                batches = parser.feed(piece, final=not piece)
                while (step := await loop.run_in_executor(thread, following, batches)) is not None:
                    yield step
        finally:
            thread.shutdown(wait=False, cancel_futures=True)


class _Following:
    """The next step, which may be made in the background once the one before it is out."""

    def __init__(self, steps: AsyncIterator[_Step]) -> None:
        self._steps = steps
        self._task: asyncio.Task[_Step | None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._next())

    async def get(self) -> _Step | None:
        self.start()
        task, self._task = self._task, None
        return None if task is None else await task

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _next(self) -> _Step | None:
        return await anext(self._steps, None)


async def _slices(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*source* in slices of SLICE_BYTES at most, and an empty one behind them."""
    async for piece in source:
        for begin in range(0, len(piece), SLICE_BYTES):
            yield piece[begin : begin + SLICE_BYTES]
    yield b""
