"""What the bare driver needs for the rows that an import prepares: rows a second, as one JSON object.

Runs in the environment of a rendered project that has the feature `csv_import`, takes its package name, a file and the
address of a database with an empty table of users. `batches` commits each 1,000 rows, as an import does; `at once` is
one transaction; `copy` is COPY straight into the table, on PostgreSQL. The table is emptied before each and at the end.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIECE_BYTES = 262_144
Rows = list[tuple[Any, ...]]


def prepared(package: str, path: Path) -> Iterator[Rows]:
    """Yield the rows of each batch of the file, as the import makes them."""
    csv_import = importlib.import_module(f"{package}.chassis.csv_import")
    service = importlib.import_module(f"{package}.services.csv_import")
    parser = csv_import.Parser(service.COLUMNS)
    with path.open("rb") as file:
        while True:
            piece = file.read(PIECE_BYTES)
            yield from map(service.users_of, parser.feed(piece, final=not piece))
            if not piece:
                return


def columns(package: str) -> tuple[str, ...]:
    """Name those of a row."""
    row: tuple[str, ...] = importlib.import_module(f"{package}.services.csv_import").ROW
    return row


def sqlite(path: str, names: tuple[str, ...], batches: list[Rows]) -> dict[str, float]:
    """Insert by executemany, with the safety settings of the service."""
    form = "%Y-%m-%d %H:%M:%S.%f"
    written = [[(*row[:4], row[4].strftime(form), row[5].strftime(form)) for row in rows] for rows in batches]
    places = ", ".join("?" * len(names))
    insert = f"INSERT INTO users ({', '.join(names)}) VALUES ({places}) ON CONFLICT (email) DO NOTHING"  # noqa: S608
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    figures = {}
    for name, groups in (("batches", written), ("at once", [[row for rows in written for row in rows]])):
        connection.execute("DELETE FROM users")
        started = time.perf_counter()
        for rows in groups:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows)
            connection.execute("COMMIT")
        figures[name] = sum(map(len, groups)) / (time.perf_counter() - started)
    connection.execute("DELETE FROM users")
    connection.close()
    return figures


async def postgresql(url: str, names: tuple[str, ...], batches: list[Rows]) -> dict[str, float]:
    """Insert by COPY into a temporary table and INSERT ... ON CONFLICT from it, and by COPY alone."""
    import asyncpg  # type: ignore[import-not-found]  # noqa: PLC0415 - not on SQLite

    listed = ", ".join(names)
    connection = await asyncpg.connect(url)

    async def merge(rows: Rows) -> None:
        async with connection.transaction():
            select = f"SELECT {listed} FROM users WITH NO DATA"  # noqa: S608
            await connection.execute(f"CREATE TEMP TABLE new ON COMMIT DROP AS {select}")
            await connection.copy_records_to_table("new", records=rows, columns=names)
            insert = f"INSERT INTO users ({listed}) SELECT {listed} FROM new"  # noqa: S608
            await connection.execute(f"{insert} ON CONFLICT (email) DO NOTHING")

    async def copy(rows: Rows) -> None:
        await connection.copy_records_to_table("users", records=rows, columns=names)

    everything = [[row for rows in batches for row in rows]]
    figures = {}
    ways = {"batches": (merge, batches), "at once": (merge, everything), "copy": (copy, everything)}
    for name, (store, groups) in ways.items():
        await connection.execute("TRUNCATE users CASCADE")
        started = time.perf_counter()
        for rows in groups:
            await store(rows)
        figures[name] = sum(map(len, groups)) / (time.perf_counter() - started)
    await connection.execute("TRUNCATE users CASCADE")
    await connection.close()
    return figures


def main() -> None:
    """Print the rows a second of each way."""
    package, path, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    names, batches = columns(package), list(prepared(package, path))
    if url.startswith("sqlite:"):
        print(json.dumps(sqlite(url.removeprefix("sqlite:///"), names, batches)))
    else:
        print(json.dumps(asyncio.run(postgresql(url, names, batches))))


if __name__ == "__main__":
    main()
