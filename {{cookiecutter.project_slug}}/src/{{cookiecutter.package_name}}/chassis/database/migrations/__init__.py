"""The schema's revisions, and the way to the newest. Alembic is loaded only to migrate: it is 20 MB in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path


class MigrationFailed(Exception):
    """The schema was left as it was; the message says why, in one line without a password."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Where a service declares its tables, and keeps the revisions that lead to them."""

    models: str
    """The import name of the package of the models; every module of it is imported, and `base` has `Base`."""
    versions: Path
    """The folder of the revisions."""


def migrate(database_url: str, schema: Schema, revision: str = "head") -> None:
    """Bring the database to *revision*, up or down: all of the way or, after a failure, not a step.

    Concurrent callers wait for each other, and find the work done. Raises MigrationFailed.
    """
    from .runner import migrated  # noqa: PLC0415 - see the module's docstring

    asyncio.run(migrated(database_url, schema, revision))


def write_revision(schema: Schema, message: str, *, empty: bool = False) -> bool:
    """Write the next revision into the schema's folder, from what the models say; *message* says what it does.

    The models are compared with a scratch database at the newest revision, so no database of yours is needed or
    touched. Read what it wrote: a renamed column looks to it like one dropped and one added. Nothing is written, and
    the result is False, where nothing differs, unless *empty* asks for a revision to fill in. Raises MigrationFailed.
    """
    from .revision import write  # noqa: PLC0415 - see the module's docstring

    return asyncio.run(write(schema, message, empty=empty))


def unwritten_changes(schema: Schema) -> list[str]:
    """Name what the models say and no revision makes; no database of yours is needed. Raises MigrationFailed."""
    from .unwritten import unwritten  # noqa: PLC0415 - see the module's docstring

    return asyncio.run(unwritten(schema))
