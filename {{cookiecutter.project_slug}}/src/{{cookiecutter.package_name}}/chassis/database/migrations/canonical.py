"""Brings stored texts to the spelling that the rule of their column gives them now.

A column has such a rule in its `info`, as `{"canonical": function}`: the function returns the one spelling of a text,
or an empty one if it accepts the text no more. A rule changes with the code, of which no revision knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select, update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column, Connection, MetaData

ROWS_AT_ONCE = 1000

_log = structlog.get_logger("chassis.database.migrations.canonical")


def rewrite(connection: Connection, metadata: MetaData) -> None:
    """Rewrite every column of *metadata* that has a rule; a row that cannot be rewritten stays, and the log names it.

    Its text is taken by another row, or accepted no more. It costs a read of each such table.
    """
    for table in metadata.sorted_tables:
        for column in table.columns:
            if "canonical" in column.info:
                _rewrite(connection, column, column.info["canonical"])


def _rewrite(connection: Connection, column: Column[Any], canonical: Callable[[str], str]) -> None:
    key = next(iter(column.table.primary_key))
    rewritten = 0
    for row_id, text in _rows(connection, key, column):
        wanted = canonical(text)
        if wanted == text:
            continue
        fields = {"table": column.table.name, "column": column.name, "row": str(row_id)}
        other = connection.execute(select(key).where(column == wanted)).scalars().first()
        if not wanted:
            _log.warning("stored value is accepted no more", **fields)
        elif other is not None and column.unique:
            _log.warning("stored value collides with another", other=str(other), **fields)
        else:
            connection.execute(update(column.table).where(key == row_id).values({column: wanted}))
            rewritten += 1
    if rewritten:
        _log.info("stored values rewritten", table=column.table.name, column=column.name, rows=rewritten)


def _rows(connection: Connection, key: Column[Any], column: Column[Any]) -> Iterator[tuple[Any, str]]:
    """Yield the key and the text of each row, in the order of the keys; few are in memory at once."""
    page = select(key, column).where(column.is_not(None)).order_by(key).limit(ROWS_AT_ONCE)
    rows = connection.execute(page).all()
    while rows:
        yield from ((row[0], row[1]) for row in rows)
        rows = connection.execute(page.where(key > rows[-1][0])).all()
