"""Wires background jobs: the table, and what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis import Feature, Parts, Restart, Task
from ..chassis.jobs import COMMANDS
from ..config.jobs import JobsSettings

if TYPE_CHECKING:
    from ..chassis import Core


def build(core: Core) -> Parts:
    """Build the objects of the feature, bottom up; later features add their jobs."""
    from ..chassis.jobs import JobOptions, Jobs
    from ..models.jobs import JobRow

    settings = core.settings.group(JobsSettings)
    options = JobOptions(
        url=settings.url,
        concurrency=settings.concurrency,
        lease_seconds=settings.lease_seconds,
        keep_seconds=settings.keep_seconds,
    )
    jobs = Jobs(core, JobRow, options)
    tasks = {"jobs": jobs.work} if settings.in_serve else jobs.relaying()
    return Parts(provides=[jobs], tasks={name: Task(work, restart=Restart()) for name, work in tasks.items()})


JOBS = Feature(name="jobs", build=build, settings=(JobsSettings,), commands=COMMANDS)
