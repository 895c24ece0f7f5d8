"""What is measured of an assistant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from .provider import FailureKind

if TYPE_CHECKING:
    from ..metrics import Metrics

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class AssistantMetrics:
    """Of one process."""

    def __init__(self, metrics: Metrics, *, running: Callable[[], float]) -> None:
        registry = metrics.registry
        self.requests = Counter(
            "ai_requests",
            "Completions that were asked for, by outcome: done, failed, cancelled, or rejected before the provider.",
            ("outcome",),
            registry=registry,
        )
        self.tokens = Counter("ai_tokens", "Tokens, by direction: input, output.", ("direction",), registry=registry)
        self.errors = Counter(
            "ai_provider_errors", "Failures of the provider, each attempt, by kind.", ("kind",), registry=registry
        )
        # A rate counts nothing of a series that begins with 1.
        for outcome in ("done", "failed", "cancelled", "rejected"):
            self.requests.labels(outcome)
        for direction in ("input", "output"):
            self.tokens.labels(direction)
        for kind in FailureKind:
            self.errors.labels(kind.value)
        self.first_token = Histogram(
            "ai_first_token_seconds",
            "Time from a request to the first token of its completion.",
            buckets=SECONDS,
            registry=registry,
        )
        self.duration = Histogram(
            "ai_completion_seconds",
            "Time from a request to the end of its completion, whole or not.",
            buckets=SECONDS,
            registry=registry,
        )
        metrics.read_gauge("ai_completions_running", "Completions that are being made.", running)
