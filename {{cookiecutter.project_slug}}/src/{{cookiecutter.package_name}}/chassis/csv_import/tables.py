"""The columns of a service's tables of imports: a class of the service that derives from one, and its base, is one."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import UTCDateTime
from ..database.required import REQUIRED


class ImportState(StrEnum):
    """What an import may be; the last three are final."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (ImportState.DONE, ImportState.FAILED, ImportState.CANCELLED)


class ImportColumns:
    """One file, and how far its import has come; the counters are stored with the rows that they count."""

    id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    state: Mapped[str] = mapped_column(info=REQUIRED)
    """One of `ImportState`."""
    caller: Mapped[str] = mapped_column(info=REQUIRED)
    """The id of the user who sent the file; empty for an anonymous one."""
    sha256: Mapped[str | None] = mapped_column(info=REQUIRED)
    content_key: Mapped[str | None] = mapped_column(unique=True, info=REQUIRED)
    """The file's content and its caller, for the one import that the same file sent again is taken for."""
    job_id: Mapped[str | None] = mapped_column(info=REQUIRED)
    size_bytes: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    read_bytes: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    """How much of the file the committed batches have read, to within a piece."""
    encoding: Mapped[str | None] = mapped_column(info=REQUIRED)
    delimiter: Mapped[str | None] = mapped_column(info=REQUIRED)
    on_conflict: Mapped[str] = mapped_column(info=REQUIRED)
    records: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    """How many records of the file are done with: the next batch begins behind them."""
    inserted: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    updated: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    skipped: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    rejected: Mapped[int] = mapped_column(BigInteger, info=REQUIRED)
    failure: Mapped[str | None] = mapped_column(Text, info=REQUIRED)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, info=REQUIRED)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True, info=REQUIRED)


class ImportRejectColumns:
    """A record that was not imported."""

    import_id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    line: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, info=REQUIRED)
    text: Mapped[str] = mapped_column(Text, info=REQUIRED)
    reasons: Mapped[str] = mapped_column(Text, info=REQUIRED)
    """Separated by line ends."""


class ImportChunkColumns:
    """A piece of an uploaded file."""

    import_id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, info=REQUIRED)
    """From 0."""
    data: Mapped[bytes] = mapped_column(LargeBinary, info=REQUIRED)
