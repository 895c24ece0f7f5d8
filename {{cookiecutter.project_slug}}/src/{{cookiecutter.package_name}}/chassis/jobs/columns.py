"""The columns of a service's table of jobs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import UTCDateTime
from ..database.required import REQUIRED


class JobColumns:
    """One job that was sent; the row is the truth about it, whatever else carries its id.

    A class of the service that derives from this and from its own base, and has a name, is the table.
    """

    id: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    name: Mapped[str] = mapped_column(info=REQUIRED)
    payload: Mapped[str] = mapped_column(Text, info=REQUIRED)
    """As JSON."""
    state: Mapped[str] = mapped_column(index=True, info=REQUIRED)
    """One of `State`."""
    attempt: Mapped[int] = mapped_column(info=REQUIRED)
    """How many runs have begun since the job last made progress."""
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True, info=REQUIRED)
    """From when on it may be claimed: when a queued one is due, when a running one's lease ends; None once it ended."""
    lease_token: Mapped[str | None] = mapped_column(info=REQUIRED)
    """Of the run that may store something, changed by the next one."""
    unique_key: Mapped[str | None] = mapped_column(unique=True, info=REQUIRED)
    """No other row has it: the name and the due time of a job that cron sends."""
    published_at: Mapped[datetime | None] = mapped_column(UTCDateTime, info=REQUIRED)
    """When its id was handed to the broker for what it is due for now."""
    request_id: Mapped[str] = mapped_column(info=REQUIRED)
    trace_id: Mapped[str] = mapped_column(info=REQUIRED)
    error: Mapped[str | None] = mapped_column(Text, info=REQUIRED)
    """Of the last run that failed."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, info=REQUIRED)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True, info=REQUIRED)
