"""What the models say and the database's schema does not have, found without Alembic."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Inspector, MetaData, Table, UniqueConstraint, inspect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection


def metadata_of(models: str) -> MetaData:
    """Every table of the package *models*: a module that is not imported would look like tables to drop."""
    package = importlib.import_module(models)
    for module in pkgutil.walk_packages(package.__path__, f"{models}."):
        importlib.import_module(module.name)
    metadata: MetaData = importlib.import_module(f"{models}.base").Base.metadata
    return metadata


def differences(connection: Connection, metadata: MetaData) -> list[str]:
    """Name each table, column, index and constraint of *metadata* that the database lacks or has otherwise.

    Tables that no model knows are left alone: they may be another service's. Types are not compared, which takes
    Alembic and its rules for each database.
    """
    inspector: Inspector = inspect(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that SQLAlchemy does not know, in columns that are none of ours
        return [found for table in metadata.sorted_tables for found in _of_table(inspector, table)]


def _of_table(inspector: Inspector, table: Table) -> Iterator[str]:
    name, schema = table.name, table.schema
    if not inspector.has_table(name, schema=schema):
        yield f"table {table.fullname}"
        return
    stored = {column["name"]: column for column in inspector.get_columns(name, schema=schema)}
    for column in table.columns:
        there = stored.pop(column.name, None)
        if there is None:
            yield f"column {table.fullname}.{column.name}"
        elif there["nullable"] != column.nullable and not column.primary_key:
            yield f"column {table.fullname}.{column.name} that is {'' if column.nullable else 'not '}nullable"
    yield from (f"removal of column {table.fullname}.{column}" for column in stored)
    yield from _of_keys(inspector, table)


def _of_keys(inspector: Inspector, table: Table) -> Iterator[str]:
    name, schema = table.name, table.schema
    indexes = inspector.get_indexes(name, schema=schema)
    indexed: set[Sequence[str | None]] = {tuple(each["column_names"]) for each in indexes}
    unique: set[Sequence[str | None]] = {
        tuple(each["column_names"]) for each in inspector.get_unique_constraints(name, schema=schema)
    }
    unique |= {tuple(each["column_names"]) for each in indexes if each["unique"]}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        names = _names(index.expressions)
        if names and names not in (unique if index.unique else indexed):
            yield f"index {index.name}"
    constraints = (_names(each.columns) for each in table.constraints if isinstance(each, UniqueConstraint))
    for columns in sorted(constraints):
        if columns not in unique:
            yield f"unique constraint of {table.fullname} on {', '.join(columns)}"
    references = {
        (tuple(each["constrained_columns"]), each["referred_table"])
        for each in inspector.get_foreign_keys(name, schema=schema)
    }
    for key in sorted(table.foreign_key_constraints, key=lambda key: list(key.column_keys)):
        if (tuple(key.column_keys), key.referred_table.name) not in references:
            yield f"foreign key of {table.fullname} on {', '.join(key.column_keys)}"


def _names(expressions: Iterable[Any]) -> tuple[str, ...]:
    """The columns' names; none if one of them is an expression, which databases spell in ways of their own."""
    expressions = tuple(expressions)
    return tuple(each.name for each in expressions) if all(isinstance(each, Column) for each in expressions) else ()
