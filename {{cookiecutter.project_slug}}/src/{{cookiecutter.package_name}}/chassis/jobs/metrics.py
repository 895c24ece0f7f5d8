"""What the jobs of a process count; the table's figures are read from it every few seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import Histogram

from ..errors import DatabaseUnavailable

if TYPE_CHECKING:
    from ..metrics import Metrics
    from .store import JobStore

MEASURE_SECONDS = 10.0
_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0)


class JobMetrics:
    """The figures, and their names."""

    def __init__(self, metrics: Metrics, *, degraded: Callable[[], bool] | None = None) -> None:
        """*degraded* is None without a broker."""
        self._ended: Counter[str] = Counter(dict.fromkeys(("done", "retried", "failed", "lost", "returned"), 0))
        self._states: dict[str, int] = {}
        self._oldest_seconds = 0.0
        self._duration = Histogram(
            "job_duration_seconds", "Time of one run of a job.", ("job",), buckets=_BUCKETS, registry=metrics.registry
        )
        metrics.read_counters("job_runs", "Runs that ended, by outcome.", "outcome", self._ended.copy)
        metrics.read_gauges("jobs", "Jobs in the table; `failed` are dead letters.", "state", self._states.copy)
        metrics.read_gauge(
            "job_oldest_seconds", "For how long the oldest job that is due has waited.", lambda: self._oldest_seconds
        )
        if degraded is not None:
            metrics.read_gauge(
                "jobs_degraded",
                "1 while the broker is lost and the table is polled.",
                lambda: float(degraded()),
            )

    def ended(self, job: str, outcome: str, seconds: float) -> None:
        """Count one run of *job* that took *seconds*."""
        self._ended[outcome] += 1
        self._duration.labels(job).observe(seconds)

    async def measure(self, store: JobStore) -> None:
        """Read the table's figures every few seconds, for ever; while the database is lost, the last ones stay."""
        while True:
            try:
                self._states.update(await store.counts())
                self._oldest_seconds = await store.oldest_seconds()
            except DatabaseUnavailable:
                pass
            await asyncio.sleep(MEASURE_SECONDS)
