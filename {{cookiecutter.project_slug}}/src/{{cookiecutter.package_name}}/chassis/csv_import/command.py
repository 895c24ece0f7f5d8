"""The command that imports a file of this machine, without a job; started again, it goes on where it stopped."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TextIO

from sqlalchemy.exc import IntegrityError

from .arguments import DELIMITER_NAMES
from .decoding import encoding_named
from .errors import CsvRejected
from .exports import REJECTS_HEADER, csv_of_rejects
from .progress import ProgressBar
from .sink import OnConflict
from .store import CHUNK_BYTES, ImportTaken, NewImport, Progress, is_content_taken
from .tables import ENDED, ImportState

if TYPE_CHECKING:
    import argparse

    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import AnyRow
    from .batches import Batch
    from .imports import Imports

CALLER = "command line"
DONE, FAILED, MISUSED = 0, 1, 2


async def run_import(imports: Imports, options: argparse.Namespace) -> int:
    """Import the file that *options* name; 0 if it was read to its end, 1 if not, 2 for a file that cannot be used."""
    started = perf_counter()
    try:
        _require_usable(options)
        with ExitStack() as stack:
            rejects = stack.enter_context(_written(options.rejects)) if options.rejects else None
            bar = ProgressBar(options.file.stat().st_size)
            stack.callback(bar.end)
            result = await (_preview if options.dry_run else _import)(imports, options, bar, rejects)
    except _Unusable as error:
        sys.stderr.write(f"{error}\n")
        return MISUSED
    except OSError as error:  # a full disk names no file, and only the rejects are written
        name = str(error.filename or options.rejects or options.file)
        sys.stderr.write(f"{name!r} cannot be used: {error.strerror}\n")
        return MISUSED
    except ImportTaken:
        sys.stderr.write("the import was cancelled, or another process imports this file\n")
        return FAILED
    result["seconds"] = round(perf_counter() - started, 3)
    sys.stdout.write(json.dumps(result) + "\n" if options.format == "json" else _text(result, options))
    return FAILED if result["failure"] else DONE


class _Unusable(Exception):
    """What the command line names cannot be used; the text says why."""


def _require_usable(options: argparse.Namespace) -> None:
    """Raise _Unusable or OSError before anything is written; the encoding is then one of ENCODINGS."""
    file, rejects = options.file, options.rejects
    try:
        options.encoding = encoding_named(options.encoding) if options.encoding else None
    except ValueError as error:
        raise _Unusable(str(error)) from None
    if file.exists() and not file.is_file():
        raise _Unusable(f"{str(file)!r} is no ordinary file; it is read twice, so save first what a pipe sends")
    file.open("rb").close()
    if rejects is not None and rejects.exists() and rejects.samefile(file):
        raise _Unusable(f"--rejects {str(rejects)!r} is the file that is imported: name another")


def _written(path: Path) -> TextIO:
    file = path.open("w", encoding="utf-8", newline="")
    file.write(REJECTS_HEADER)
    return file


async def _preview(
    imports: Imports, options: argparse.Namespace, bar: ProgressBar, rejects: TextIO | None
) -> dict[str, Any]:
    progress, failure = Progress(), None

    def on_batch(batch: Batch, now: Progress) -> None:
        nonlocal progress
        progress = now
        bar.show(now)
        if rejects is not None:
            rejects.write(csv_of_rejects(batch.rejects))

    try:
        await imports.importer.preview(
            _pieces(options.file),
            encoding=options.encoding,
            delimiter=DELIMITER_NAMES.get(options.delimiter or ""),
            on_conflict=OnConflict(options.on_conflict),
            on_batch=on_batch,
        )
    except CsvRejected as error:
        failure = str(error)
    return _result("", "dry run", failure, progress)


async def _import(
    imports: Imports, options: argparse.Namespace, bar: ProgressBar, rejects: TextIO | None
) -> dict[str, Any]:
    store = imports.store
    row = await _begun(imports, options)
    if row.state not in ENDED:
        await imports.importer.run(row, _pieces(options.file), _commits(imports), on_progress=bar.show)
        row = await store.get(row.id)
    if rejects is not None:
        async for page in store.rejects(row.id):
            rejects.write(csv_of_rejects(page))
    progress = Progress(row.records, row.inserted, row.updated, row.skipped, row.rejected, row.read_bytes)
    return _result(row.id, row.state, row.failure, progress)


async def _begun(imports: Imports, options: argparse.Namespace) -> AnyRow:
    """The import of this file: the one that was begun before, ended or not, or else a new one."""
    store = imports.store
    sha256 = await asyncio.to_thread(_sha256, options.file)
    content_key = f"{sha256}:{CALLER}"
    if (found := await store.find(content_key)) is not None:
        if found.state in ENDED and options.again:
            await store.release(found.id)
        else:
            again = "; --again imports it once more" if found.state in ENDED else ""
            done = f"{found.state}, {found.records:,} records are done"
            sys.stderr.write(f"this file was sent on {found.created_at:%Y-%m-%d %H:%M} UTC: {done}{again}\n")
            return found
    new = NewImport(
        caller=CALLER,
        encoding=options.encoding,
        delimiter=DELIMITER_NAMES.get(options.delimiter or ""),
        on_conflict=OnConflict(options.on_conflict),
    )
    size = options.file.stat().st_size
    values = {"sha256": sha256, "content_key": content_key, "size_bytes": size}
    try:
        import_id = await store.create(new, ImportState.QUEUED, **values)
    except IntegrityError as error:
        if is_content_taken(error):  # another process began it just now
            raise ImportTaken from None
        raise
    return await store.get(import_id)


def _commits(imports: Imports) -> Callable[[Callable[[AsyncSession], Awaitable[None]]], Awaitable[None]]:
    async def commit(work: Callable[[AsyncSession], Awaitable[None]]) -> None:
        async with imports.store.database.transaction() as session:
            await work(session)

    return commit


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece


def _result(import_id: str, state: str, failure: str | None, progress: Progress) -> dict[str, Any]:
    return {"id": import_id, "state": str(state), **progress.values(), "failure": failure}


def _text(result: dict[str, Any], options: argparse.Namespace) -> str:
    counts = ", ".join(f"{result[name]:,} {name}" for name in ("inserted", "updated", "skipped", "rejected"))
    lines = [f"{options.file}: {result['state']}, {result['records']:,} records in {result['seconds']:.1f} s: {counts}"]
    if result["failure"]:
        lines.append(f"{options.file}: {result['failure']}")
    if result["rejected"] and not options.rejects:
        lines.append("--rejects FILE writes the rejected records, with their lines and reasons")
    return "".join(f"{line}\n" for line in lines)
