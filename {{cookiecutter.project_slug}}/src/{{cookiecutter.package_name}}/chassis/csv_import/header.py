"""The first record of a file: which delimiter it was written with, and which field holds which column."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from .columns import Column
from .errors import CsvRejected, quoted

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
MAX_COLUMNS = 1_000
_SHOWN = 10
_SEPARATORS = re.compile(r"[\s._-]+")


def canonical_name(name: str) -> str:
    """*name* as columns are compared: in lower case, and what separates its words is one underscore."""
    return _SEPARATORS.sub("_", name.strip().casefold())


class Header:
    """Where the fields of each record lie: *fields* of the header's record, mapped to *columns*.

    Raises CsvRejected if a column is missing or stands twice.
    """

    def __init__(self, fields: Sequence[str], columns: Sequence[Column], *, line: int) -> None:
        if len(fields) > MAX_COLUMNS:
            raise CsvRejected(f"the header has {len(fields):,} columns; at most {MAX_COLUMNS:,} are read", line=line)
        self.width = len(fields)
        self.line = line
        self.positions: dict[str, int] = {}
        self.ignored: list[str] = []
        """The columns that nothing is done with."""
        names = {alias: column.name for column in columns for alias in column.accepted_names()}
        for position, field in enumerate(fields):
            name = names.get(canonical_name(field))
            if name is None:
                self.ignored.append(field)
            elif name in self.positions:
                twice = f"the column {name!r} stands twice: as fields {self.positions[name] + 1} and {position + 1}"
                raise CsvRejected(f"{twice} of the header", line=line)
            else:
                self.positions[name] = position
        missing = [column.name for column in columns if column.required and column.name not in self.positions]
        if missing:
            shown = ", ".join(quoted(field) for field in fields[:_SHOWN])
            more = f" and {len(fields) - _SHOWN:,} more" if len(fields) > _SHOWN else ""
            known = ", ".join(column.name if column.required else f"[{column.name}]" for column in columns)
            raise CsvRejected(
                f"the header has no column {' and no column '.join(missing)}: it has {shown}{more}. "
                f"A file begins with a header, of the columns {known}",
                line=line,
            )


def delimiter_of(record: str, columns: Sequence[Column]) -> str:
    """The one of DELIMITERS that finds the most of *columns* in the header's *record*, then the most fields."""
    names = {alias for column in columns for alias in column.accepted_names()}

    def found(delimiter: str) -> tuple[int, int]:
        try:
            fields = next(csv.reader(record.splitlines(keepends=True), delimiter=delimiter), [])
        except csv.Error:
            return 0, 0
        return len(names & {canonical_name(field) for field in fields}), len(fields)

    return max(DELIMITERS, key=found)
