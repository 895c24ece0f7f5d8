"""Writes the next revision: the difference between the models and a scratch database at the newest revision."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from sqlalchemy import make_url

from ...errors import ConfigurationError
from ..engines import Limits, sqlite_writer
from ..revisions import revisions
from . import MigrationFailed
from .runner import alembic_config, comparison, failure_of, migrated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.operations.ops import MigrationScript
    from sqlalchemy import Connection

    from . import Schema


LAST_NUMBER = 9999


async def write(schema: Schema, message: str, *, empty: bool = False) -> bool:
    """As `write_revision`, for callers with an event loop."""
    words = " ".join(message.replace("\\", "/").replace('"', "'").split())  # it stands in a docstring
    if not re.search(r"\w", words):
        raise MigrationFailed(f'{message!r} does not say what the migration does: write makemigration "create orders"')
    try:
        return await _written(schema, words, empty=empty)
    except MigrationFailed:
        raise
    except (Exception, SystemExit) as error:
        raise MigrationFailed(failure_of(error, schema)) from error


async def _written(schema: Schema, message: str, *, empty: bool) -> bool:
    known = revisions(schema.versions)
    number = int(known[-1].number) + 1 if known else 1
    if number > LAST_NUMBER:
        raise ConfigurationError(f"{known[-1].name} has the last number; make one revision of the old ones")
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder) / 'scratch.db'}"
        if known:
            await migrated(address, schema)
        limits = Limits(pool_size=1, max_overflow=0, pool_timeout_seconds=5.0, statement_timeout_seconds=0.0)
        engine = sqlite_writer(make_url(address), limits)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(partial(_compare, schema, message, f"{number:04}", empty))
        finally:
            await engine.dispose()


def _compare(schema: Schema, message: str, number: str, empty: bool, connection: Connection) -> bool:  # noqa: FBT001
    written: list[MigrationScript] = []

    def leave_out_if_empty(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
        if not empty and all(_is_empty(directive) for directive in directives):
            directives.clear()
        written.extend(directives)

    config = alembic_config(schema, configure=comparison(connection, schema))
    command.revision(config, message, autogenerate=True, rev_id=number, process_revision_directives=leave_out_if_empty)
    return bool(written)


def _is_empty(directive: MigrationScript) -> bool:
    operations: Iterable[object] = directive.upgrade_ops_list
    return all(each is None or each.is_empty() for each in operations)  # type: ignore[attr-defined]
