"""The tables and columns without which the chassis cannot work: a service declares them with the chassis's mixins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

REQUIRED: Final = {"required by": "chassis"}
"""The `info` of such a column."""


def missing(connection: Connection, metadata: MetaData) -> list[str]:
    """Name each table or column of *metadata* that the chassis requires and the database lacks."""
    inspector, found = inspect(connection), []
    for table in metadata.sorted_tables:
        required = [column.name for column in table.columns if REQUIRED.items() <= column.info.items()]
        if not required:
            continue
        if not inspector.has_table(table.name, schema=table.schema):
            found.append(f"table {table.fullname}")
            continue
        stored = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
        found += [f"column {table.fullname}.{name}" for name in required if name not in stored]
    return found
