"""The database: connections, transactions and reads; its migrations stand apart, because they load Alembic."""

from __future__ import annotations

from .database import AnyRow, Database
from .lists import Listing
from .types import NAMING_CONVENTION, TYPE_ANNOTATION_MAP, DatabaseNow, UTCDateTime
from .versions import Versioned, Versions, in_versions

__all__ = [
    "NAMING_CONVENTION",
    "TYPE_ANNOTATION_MAP",
    "AnyRow",
    "Database",
    "DatabaseNow",
    "Listing",
    "UTCDateTime",
    "Versioned",
    "Versions",
    "in_versions",
]
