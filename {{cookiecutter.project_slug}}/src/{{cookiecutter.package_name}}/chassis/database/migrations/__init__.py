"""The schema's revisions, and the way to the newest. Alembic is loaded only to migrate: it is 20 MB in memory."""

from __future__ import annotations

import asyncio


class MigrationFailed(Exception):
    """The schema was left as it was; the message says why, without the database's address."""


def migrate(database_url: str, revision: str = "head") -> None:
    """Bring the schema to *revision*, up or down: all of the way or, after a failure, not a step.

    Concurrent callers wait for each other, and find the work done. Raises MigrationFailed.
    """
    from .runner import migrated  # noqa: PLC0415 - see the module's docstring

    asyncio.run(migrated(database_url, revision))
