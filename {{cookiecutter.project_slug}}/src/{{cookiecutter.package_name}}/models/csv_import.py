"""The tables of the feature `csv_import`."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint

from ..chassis.csv_import import ImportChunkColumns, ImportColumns, ImportRejectColumns
from .base import Base


class Import(ImportColumns, Base):
    """A file of users, and what has become of it."""

    __tablename__ = "imports"


class ImportReject(ImportRejectColumns, Base):
    """A record of a file that was not imported."""

    __tablename__ = "import_rejects"
    __table_args__ = (ForeignKeyConstraint(["import_id"], ["imports.id"], ondelete="CASCADE"),)


class ImportChunk(ImportChunkColumns, Base):
    """A piece of an uploaded file, until a day after the end of its import."""

    __tablename__ = "import_chunks"
    __table_args__ = (ForeignKeyConstraint(["import_id"], ["imports.id"], ondelete="CASCADE"),)
