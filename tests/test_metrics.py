"""The metrics of a served project, judged by Prometheus' own tool and under a flood of made-up requests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_generated_project import get, know_a_caller, running

FLOOD = 20_000
BATCH = 20
"""Requests sent at once on one connection; the server takes at most 32 unanswered ones."""


@pytest.fixture(scope="module")
def base(project: Path) -> Iterator[str]:
    with running(project, "acme-service") as (base, _):
        know_a_caller(base)
        get(f"{base}/nowhere", expected=404)
        yield base


def test_prometheus_finds_nothing_wrong_with_the_metrics(base: str) -> None:
    if shutil.which("promtool") is None:
        reason = "promtool is missing: install Debian's package prometheus, or Prometheus itself"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    judged = subprocess.run(
        ["promtool", "check", "metrics"],  # noqa: S607 (found above)
        input=get(f"{base}/metrics"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (judged.returncode, judged.stdout + judged.stderr)


def test_a_flood_of_paths_and_methods_adds_two_series(base: str) -> None:
    host, _, port = base.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        for first in range(0, FLOOD, BATCH):
            client.sendall(b"".join(_made_up(number) for number in range(first, first + BATCH)))
            _read_answers(client, BATCH)
    unmatched = [line for line in _counters(base) if 'route="unmatched"' in line]

    assert ['{method="GET"', '{method="other"'] == sorted(line.split(",")[0] for line in unmatched)
    assert FLOOD <= sum(float(line.split()[-1]) for line in unmatched)


def _made_up(number: int) -> bytes:
    method = "GET" if number % 2 else "PROPFIND"
    return f"{method} /made-up/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _read_answers(client: socket.socket, count: int) -> None:
    """Read until *count* answers have come; each has one body, which ends with its `instance`."""
    received = b""
    while received.count(b"HTTP/1.1 404") < count or not received.endswith(b"}"):
        piece = client.recv(1 << 16)
        assert piece, f"the connection ended after {received[-500:]!r}"
        received += piece


def _counters(base: str) -> list[str]:
    """Labels and value of every `http_requests_total`."""
    lines = get(f"{base}/metrics").splitlines()
    return [line.removeprefix("http_requests_total") for line in lines if line.startswith("http_requests_total{")]
