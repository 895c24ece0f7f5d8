"""The version of a row, which its resource's ETag shows and If-Match compares."""

from __future__ import annotations

from sqlalchemy import ColumnElement, literal_column, true
from sqlalchemy.orm import Mapped, mapped_column

from .required import REQUIRED

Versions = frozenset[int] | None
"""Those that a change applies to; None for any."""


class Versioned:
    """Adds a version to a table, which each UPDATE of SQLAlchemy raises, whatever else it writes."""

    version: Mapped[int] = mapped_column(
        default=1, server_default="1", onupdate=literal_column("version") + 1, info=REQUIRED
    )


def in_versions(table: type[Versioned], versions: Versions) -> ColumnElement[bool]:
    """The condition that a row of *table* has one of *versions*, for the statement that changes it."""
    return true() if versions is None else table.version.in_(versions)
