"""Metrics as lines of the log, in CloudWatch's embedded metric format: nothing can scrape an instance of a function.

One line for each invocation, and once a minute one with what the counters of the process have grown by. The format:
"Embedded metric format specification" of Amazon CloudWatch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from ..metrics import Metrics

COUNTERS_SECONDS = 60.0
MOST_METRICS = 100
"""In one line, as the specification says."""
_SERVER_ERROR = 500


class EmbeddedMetrics:
    """The lines of one process; *dimensions* are those of every metric, such as the service and its environment."""

    def __init__(self, namespace: str, dimensions: Mapping[str, str]) -> None:
        self._namespace = namespace
        self._dimensions = dict(dimensions)
        self._counters: dict[str, float] = {}
        self._due = time.monotonic() + COUNTERS_SECONDS

    def invocation(self, *, route: str, status: int, seconds: float, cold_start: bool) -> bytes:
        """The line of one request; *route* is a template, so that there are not more metrics than routes."""
        units = {"requests": "Count", "server_errors": "Count", "duration": "Milliseconds", "cold_starts": "Count"}
        values = {
            "requests": 1,
            "server_errors": int(status >= _SERVER_ERROR),
            "duration": round(seconds * 1000, 3),
            "cold_starts": int(cold_start),
        }
        own = list(self._dimensions)
        return self._line(units, [own, [*own, "route"]], {"route": route, "status_code": status, **values})

    def counters(self, metrics: Metrics) -> list[bytes]:
        """The lines of what has grown since the last ones, which are a minute old at least; else none."""
        if time.monotonic() < self._due:
            return []
        self._due = time.monotonic() + COUNTERS_SECONDS
        totals = _totals(metrics)
        grown = {name: total - self._counters.get(name, 0.0) for name, total in totals.items()}
        self._counters = totals
        more = sorted((name, by) for name, by in grown.items() if by > 0)
        parts = [dict(more[begin : begin + MOST_METRICS]) for begin in range(0, len(more), MOST_METRICS)]
        return [self._line(dict.fromkeys(part, "Count"), [list(self._dimensions)], part) for part in parts]

    def _line(self, units: Mapping[str, str], dimensions: list[list[str]], members: Mapping[str, Any]) -> bytes:
        directive = {
            "Namespace": self._namespace,
            "Dimensions": dimensions,
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        head = {"_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}}
        return orjson.dumps({**head, **self._dimensions, **members}) + b"\n"


def _totals(metrics: Metrics) -> dict[str, float]:
    """Each counter, its labels together; those of requests are in the lines of the invocations."""
    return {
        family.name: sum(sample.value for sample in family.samples if sample.name == f"{family.name}_total")
        for family in metrics.registry.collect()
        if family.type == "counter" and family.name != "http_requests"
    }
