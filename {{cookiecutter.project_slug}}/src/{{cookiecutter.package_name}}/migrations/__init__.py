"""The schema's revisions, and the way to the newest. Alembic is loaded only to migrate: it is 20 MB in memory.

Revisions are numbered: the file `0002_add_phone.py` holds revision `0002`. So the newest is known without Alembic, and
so is whether a database stands before or after it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from ..services.database import Database

VERSIONS = Path(__file__).with_name("versions")


class MigrationFailed(Exception):
    """The schema was left as it was; the message says why, without the database's address."""


def head() -> str:
    """The newest revision."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


async def is_current(database: Database) -> bool:
    """Whether the schema has every revision that this version of the service knows.

    A newer schema counts as current: during a rolling update the old version runs on it for a while. Raises
    DatabaseUnavailable.
    """
    try:
        async with database.reading() as connection:
            revision = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except DBAPIError:
        return False  # the table is not there yet
    return revision is not None and revision >= head()


def migrate(database_url: str, revision: str = "head") -> None:
    """Bring the schema to *revision*, up or down: all of the way or, after a failure, not a step.

    Concurrent callers wait for each other, and find the work done. Raises MigrationFailed.
    """
    from .runner import migrated  # noqa: PLC0415 - see the module's docstring

    asyncio.run(migrated(database_url, revision))
