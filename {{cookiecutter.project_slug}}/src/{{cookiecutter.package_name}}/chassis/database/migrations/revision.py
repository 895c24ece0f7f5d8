"""Writes the next revision: the difference between the models and a scratch database at the newest revision."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command

from ..engines import Limits, parse_url, sqlite_writer
from ..schema import newest_revision
from .runner import alembic_config, comparison, migrated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from . import Schema


async def write(schema: Schema, message: str) -> None:
    """As `write_revision`, for callers with an event loop."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder) / 'scratch.db'}"
        await migrated(address, schema)
        limits = Limits(pool_size=1, max_overflow=0, pool_timeout_seconds=5.0, statement_timeout_seconds=0.0)
        engine = sqlite_writer(parse_url(address), limits)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(partial(_compare, schema, message))
        finally:
            await engine.dispose()


def _compare(schema: Schema, message: str, connection: Connection) -> None:
    config = alembic_config(schema, configure=comparison(connection, schema))
    command.revision(config, message, autogenerate=True, rev_id=f"{int(newest_revision(schema.versions)) + 1:04}")
