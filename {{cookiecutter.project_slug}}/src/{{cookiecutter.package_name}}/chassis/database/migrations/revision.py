"""`python -m PACKAGE.migrations "add phone to users"` writes the next revision from what the models say.

It compares the models with a scratch database at the newest revision, so no database of yours is needed or touched.
Read what it wrote: a renamed column looks to it like one dropped and one added.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from alembic import command

from ..engines import Limits, parse_url, sqlite_writer
from ..schema import newest_revision
from .runner import alembic_config, comparison, migrated

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def _write(message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{Path(folder) / 'scratch.db'}"
        await migrated(address)
        limits = Limits(pool_size=1, max_overflow=0, pool_timeout_seconds=5.0, statement_timeout_seconds=0.0)
        engine = sqlite_writer(parse_url(address), limits)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(_compare, message)
        finally:
            await engine.dispose()


def _compare(connection: Connection, message: str) -> None:
    config = alembic_config(configure=comparison(connection))
    command.revision(config, message, autogenerate=True, rev_id=f"{int(newest_revision()) + 1:04}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.exit(__doc__)
    # That the scratch database was migrated is no news, and would read as if yours were.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(_write(sys.argv[1]))
