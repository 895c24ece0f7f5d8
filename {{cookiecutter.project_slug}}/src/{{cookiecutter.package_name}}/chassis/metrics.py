"""Everything this service measures of itself, in one registry of its own.

The figures of requests are kept as plain numbers that only the event loop's thread changes, and become Prometheus
families when they are scraped: a locked counter and histogram of the client library cost 3 us a request more.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from time import monotonic, thread_time
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STATEMENT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
LABELS = ("method", "route", "status_code")


def route_of(scope: Mapping[str, Any]) -> str:
    """The template of the path that *scope* matched; below a mount it begins with the mount's own.

    There are no more of them than the service, and what it mounts, have routes.
    """
    if "mounted" in scope:
        template: str = scope["mounted"].template(scope)
        return template
    route = scope.get("route", UNMATCHED)
    path = getattr(route, "path", route)
    return path if isinstance(path, str) else UNMATCHED


class _Series:
    """Requests of one (method, route, status): how many fell into each bucket, and their seconds together."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(DURATION_BUCKETS) + 1)
        self.seconds = 0.0


class RequestMetrics(Collector):
    """`http_requests_total`, `http_request_duration_seconds`, `http_requests_in_progress`, and those of websockets.

    `observe`, `begun` and `ended` belong to the event loop's thread; they may be read in any.
    """

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.websockets = WebSocketMetrics()
        self._series: dict[tuple[str, str, int], _Series] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request and its response; *route* is a template or `unmatched`, so the labels stay bounded."""
        series = self._series.get((method, route, status)) or self._bounded_series(method, route, status)
        series.counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        series.seconds += seconds

    def observe_rejection(self, method: str, status: int) -> None:
        """Count a request that the server rejected before it had a path."""
        self.observe(method, UNMATCHED, status, 0.0)

    def _bounded_series(self, method: str, route: str, status: int) -> _Series:
        return self._series.setdefault((method if method in METHODS else "other", route, status), _Series())

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("http_requests", "Requests served.", labels=LABELS)
        duration = HistogramMetricFamily(
            "http_request_duration_seconds", "Time from the request's head to the end of its response.", labels=LABELS
        )
        for (method, route, status), series in list(self._series.items()):
            labels = (method, route, str(status))
            buckets, total = _cumulated(DURATION_BUCKETS, list(series.counts))
            requests.add_metric(labels, total)
            duration.add_metric(labels, buckets, series.seconds)
        yield requests
        yield duration
        yield GaugeMetricFamily("http_requests_in_progress", "Requests being served.", value=self.begun - self.ended)
        yield from self.websockets.collect()


class Durations(Collector):
    """One histogram of seconds without labels; changed and collected as `RequestMetrics` is."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._counts = [0] * (len(STATEMENT_BUCKETS) + 1)
        self._seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took *seconds*."""
        self._counts[bisect_left(STATEMENT_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        buckets, _ = _cumulated(STATEMENT_BUCKETS, list(self._counts))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._seconds)


class WebSocketSeries:
    """Websockets of one route: how many are open, and the messages of those and of former ones."""

    __slots__ = ("connections", "received", "sent")

    def __init__(self) -> None:
        self.connections = self.received = self.sent = 0


class WebSocketMetrics(Collector):
    """`websocket_connections` and `websocket_messages_total`; changed and collected as `RequestMetrics` is."""

    def __init__(self) -> None:
        self._series: dict[str, WebSocketSeries] = {}

    def of(self, route: str) -> WebSocketSeries:
        """The figures of *route*, a path template or `unmatched`."""
        return self._series.setdefault(route, WebSocketSeries())

    def collect(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily("websocket_connections", "Websockets that are open.", labels=("route",))
        messages = CounterMetricFamily(
            "websocket_messages", "Messages of accepted websockets.", labels=("route", "direction")
        )
        for route, series in list(self._series.items()):
            connections.add_metric((route,), series.connections)
            messages.add_metric((route, "in"), series.received)
            messages.add_metric((route, "out"), series.sent)
        yield connections
        yield messages


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> tuple[list[tuple[str, float]], int]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets, total


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric((label,), value)
    return family


class _Readings(Collector):
    """Figures that others keep, read when they are scraped."""

    def __init__(self) -> None:
        self._families: list[Callable[[], Metric]] = []

    def add(self, family: Callable[[], Metric]) -> None:
        self._families.append(family)

    def total(self, name: str) -> float | None:
        """All samples of the family *name* together; None without such a family."""
        found = [sample.value for metric in self.collect() if metric.name == name for sample in metric.samples]
        return sum(found) if found else None

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield family()


class Metrics:
    """The process's metrics; build one per application, so that tests never share figures."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self._readings = _Readings()
        self.database_statements = Durations(
            "db_statement_duration_seconds", "Time that a statement took, or failed in."
        )
        self.database_waits = Durations("db_connection_wait_seconds", "Time until a connection was there, or was not.")
        for collected in (self.requests, self.database_statements, self.database_waits):
            self.registry.register(collected)
        self.registry.register(self._readings)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.exceptions = Counter(
            "http_exceptions",
            "Unexpected exceptions of requests, by route template and exception type.",
            ("route", "type"),
            registry=self.registry,
        )
        self.unhandled_exceptions = Counter(
            "unhandled_exceptions",
            "Exceptions that reached a last-resort handler, by where: main, thread, finaliser, loop, background task.",
            ("where",),
            registry=self.registry,
        )
        self.event_loop_lag = Histogram(
            "event_loop_lag_seconds",
            "How much later than asked the event loop resumed a sleeping task.",
            buckets=LAG_BUCKETS,
            registry=self.registry,
        )
        self.read_gauge("python_allocated_blocks", "Memory blocks held by Python's allocator.", sys.getallocatedblocks)

    def count_exception(self, error: BaseException, scope: Mapping[str, Any]) -> None:
        """Count an unexpected exception under the template of the route that it came from."""
        self.exceptions.labels(route_of(scope), type(error).__name__).inc()

    def set_build_info(self, **labels: str) -> None:
        """Export what runs as the labels of `build_info`, whose value is 1."""
        Info("build", "What runs: the service's version and those of its platform.", registry=self.registry).info(
            labels
        )

    def reading(self, name: str) -> float | None:
        """What the gauge *name* of `read_gauge` or `read_gauges` says now, its labels together; None without it."""
        return self._readings.total(name)

    def read_counter(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Export as a counter what *read* returns; *name* is without `_total`."""
        self._readings.add(lambda: CounterMetricFamily(name, documentation, value=read()))

    def read_gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Export as a gauge what *read* returns."""
        self._readings.add(lambda: GaugeMetricFamily(name, documentation, value=read()))

    def read_gauges(self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Export one gauge per entry of what *read* returns, its key as *label*."""
        self._readings.add(lambda: _labelled(GaugeMetricFamily(name, documentation, labels=(label,)), read()))

    def read_counters(self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Export one counter per entry of what *read* returns, its key as *label*; *name* is without `_total`."""
        self._readings.add(lambda: _labelled(CounterMetricFamily(name, documentation, labels=(label,)), read()))

    def exposition(self) -> bytes:
        """The text format 0.0.4; takes milliseconds, so call it in a thread."""
        return generate_latest(self.registry)


class SharedExposition:
    """Makes one exposition at a time: all requests that wait get the next one, so none is older than its request.

    It shares the interpreter with the event loop. So it rests as long as its thread ran before the next, and however
    many scrape take at most half of the time. By the wall clock a process that was stopped meanwhile, or a machine that
    slept, would rest for as long.
    """

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        self._exposition = exposition
        self._free_at = 0.0
        self._next: asyncio.Task[bytes] | None = None
        """Has not begun, so that it can be joined."""
        self._turn = asyncio.Lock()

    async def __call__(self) -> bytes:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._make(), name="exposition")
        return await asyncio.shield(self._next)  # a scraper that leaves takes it from no other

    async def _make(self) -> bytes:
        async with self._turn:
            await asyncio.sleep(self._free_at - monotonic())
            self._next = None
            return await asyncio.to_thread(self._make_timed)

    def _make_timed(self) -> bytes:
        started = thread_time()
        try:
            return self._exposition()
        finally:
            self._free_at = monotonic() + thread_time() - started
