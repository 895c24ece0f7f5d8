"""Whether the database's schema is the one that this version needs, told without Alembic.

Revisions are numbered: the file `0002_add_phone.py` of `migrations/versions` holds revision `0002`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from .database import Database


def newest_revision(versions: Path) -> str:
    """The revision that `migrate` leads to, of those in the folder *versions*."""
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))


async def is_current(database: Database, versions: Path) -> bool:
    """Whether the schema has every revision in *versions*, those that this version of the service knows.

    A newer schema counts as current: during a rolling update the old version runs on it for a while. Raises
    DatabaseUnavailable.
    """
    try:
        revision: str | None = await database.fetch_value(text("SELECT version_num FROM alembic_version"))
    except DBAPIError:
        return False  # the table is not there yet
    return revision is not None and revision >= newest_revision(versions)
