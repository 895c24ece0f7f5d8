"""Files, and what a parser makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from acme_service.chassis.csv_import import EMAIL, NAME, Batch, Column, Moments, Parser

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COLUMNS = (
    Column("name", NAME, aliases=("full_name",)),
    Column("email", EMAIL, aliases=("e_mail", "mail"), unique=True),
    Column("joined_at", Moments(latest=lambda: NOW), required=False),
)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def batches(data: bytes | str, *, size: int = 262_144, **options: Any) -> Iterator[Batch]:
    """The batches of a file that comes in pieces of *size* bytes."""
    parser = Parser(COLUMNS, **options)
    for piece in pieces(data.encode() if isinstance(data, str) else data, size):
        yield from parser.feed(piece)
    yield from parser.feed(b"", final=True)


def rows(data: bytes | str, **options: Any) -> list[tuple[object, ...]]:
    """The clean rows: line, name, e-mail and what else there is."""
    return [row for batch in batches(data, **options) for row in zip(batch.lines, *batch.columns.values(), strict=True)]


def rejects(data: bytes | str, **options: Any) -> list[tuple[int, str, tuple[str, ...]]]:
    found = [reject for batch in batches(data, **options) for reject in batch.rejects]
    return [(reject.line, reject.text, reject.reasons) for reject in found]
