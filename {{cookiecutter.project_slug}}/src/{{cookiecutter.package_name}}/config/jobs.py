"""Settings of background jobs: who runs them, how many at a time, and how soon after a crash again."""

from __future__ import annotations

from pydantic import Field

from ..chassis.jobs import NatsUrl
from ..chassis.settings import SettingsGroup


class JobsSettings(SettingsGroup):
    """Background jobs."""

    url: NatsUrl | None = Field(
        default=None,
        validation_alias="JOBS_URL",
        description="NATS with JetStream, which carries jobs to workers on many machines; unset means that they ask "
        "the database.",
    )
    in_serve: bool = Field(
        default=True,
        validation_alias="JOBS_IN_SERVE",
        description="Whether `serve` runs jobs beside requests; without it, only the command `worker` runs them.",
    )
    concurrency: int = Field(
        default=1,
        ge=1,
        le=100,
        validation_alias="JOBS_CONCURRENCY",
        description="How many jobs one process runs at a time.",
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        validation_alias="JOBS_LEASE_SECONDS",
        description="How long after the loss of its process a job is run again; it is renewed every third of it.",
    )
    keep_seconds: float = Field(
        default=86_400.0,
        ge=3600,
        validation_alias="JOBS_KEEP_SECONDS",
        description="How long done and cancelled jobs stay in the table; dead letters stay until they are sent again.",
    )
