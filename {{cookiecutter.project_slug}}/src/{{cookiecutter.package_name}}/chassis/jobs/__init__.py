"""Mechanism of background jobs: a table of them is the truth, and this process or another one runs them."""

from __future__ import annotations

from .columns import JobColumns
from .declarations import Job, JobId, JobRun, LeaseLost, NonRetryable
from .jobs import JobOptions, Jobs

__all__ = ["Job", "JobColumns", "JobId", "JobOptions", "JobRun", "Jobs", "LeaseLost", "NonRetryable"]
