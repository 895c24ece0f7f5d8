"""The table of background jobs."""

from __future__ import annotations

from ..chassis.jobs import JobColumns
from .base import Base


class JobRow(JobColumns, Base):
    """A job that was sent, until a day after its end; a dead letter until it is sent again."""

    __tablename__ = "jobs"
