"""Whether the database's schema is the one that this version needs, found without Alembic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from .revisions import newest_revision

if TYPE_CHECKING:
    from pathlib import Path

    from .database import Database


async def is_current(database: Database, versions: Path) -> bool:
    """Whether the schema has every revision in *versions*, those that this version of the service knows.

    A newer schema counts as current: during a rolling update the old version runs on it for a while. Raises
    ConfigurationError for revisions that are not one line, and DatabaseUnavailable.
    """
    newest = newest_revision(versions)
    try:
        revision: str | None = await database.fetch_value(text("SELECT version_num FROM alembic_version"))
    except DBAPIError:
        return False  # the table is not there yet
    return revision is not None and revision >= newest
