"""The figures of requests, as they are exported."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import Host, Route, Router

from acme_service.chassis.metrics import Metrics

LABELS = {"method": "GET", "route": "/", "status_code": "200"}


def _counts(metrics: Metrics) -> list[float | None]:
    read = metrics.registry.get_sample_value
    return [read("http_request_duration_seconds_bucket", LABELS | {"le": bound}) for bound in ("0.025", "0.05", "+Inf")]


def test_a_duration_on_a_bound_belongs_to_its_bucket_and_to_all_above() -> None:
    metrics = Metrics()
    metrics.requests.observe("GET", "/", 200, 0.025)
    metrics.requests.observe("GET", "/", 200, 0.026)
    metrics.requests.observe("GET", "/", 200, 60)

    assert [1, 2, 3] == _counts(metrics)
    assert 60.051 == metrics.registry.get_sample_value("http_request_duration_seconds_sum", LABELS)
    assert 3 == metrics.registry.get_sample_value("http_requests_total", LABELS)


def test_a_rejection_before_the_path_was_known_is_unmatched() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.requests.observe_rejection("BREW", 501)

    labels = {"method": "other", "route": "unmatched", "status_code": "501"}
    assert 2 == metrics.registry.get_sample_value("http_requests_total", labels)


@pytest.mark.parametrize(
    ("scope", "route"),
    [
        ({}, "unmatched"),
        ({"route": "/users/{name}"}, "/users/{name}"),
        ({"route": Route("/users/{name}", print)}, "/users/{name}"),
        ({"route": Host("users.example.org", Router())}, "unmatched"),
        ({"route": None}, "unmatched"),
    ],
)
def test_an_exception_is_counted_under_the_template_whoever_wrote_the_route(scope: dict[str, Any], route: str) -> None:
    metrics = Metrics()
    metrics.count_exception(ValueError(), scope)

    assert 1 == metrics.registry.get_sample_value("http_exceptions_total", {"route": route, "type": "ValueError"})


def test_no_series_tells_when_it_was_created() -> None:
    assert b"_created" not in Metrics().exposition()


def test_what_a_gauge_says_is_read_by_its_name() -> None:
    metrics = Metrics()
    metrics.read_gauges("open_things", "Things.", "kind", lambda: {"old": 2, "new": 3})

    assert 5 == metrics.reading("open_things")
    assert metrics.reading("unknown") is None


def test_the_build_is_a_sample_with_labels() -> None:
    metrics = Metrics()
    metrics.set_build_info(version="1.2.3", python="3.11.7")

    assert b'build_info{python="3.11.7",version="1.2.3"} 1.0' in metrics.exposition()


def test_durations_fall_into_the_bucket_of_their_bound() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.002, 60):
        metrics.database_waits.observe(seconds)

    read = metrics.registry.get_sample_value
    assert [1, 2, 2, 3] == [
        read("db_connection_wait_seconds_bucket", {"le": bound}) for bound in ("0.0005", "0.0025", "10.0", "+Inf")
    ]
    assert 60.0025 == read("db_connection_wait_seconds_sum")
