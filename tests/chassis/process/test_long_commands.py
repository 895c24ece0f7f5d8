"""A command that goes on until a signal: its health and metrics, its drain, and its exit code."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .command import Command

SLACK_SECONDS = 4


class Long(Command):
    service = "chassis.process.long_commands"

    def __init__(self, folder: Path, command: str, **variables: str) -> None:
        self.command = command
        super().__init__(folder, **variables)


def test_it_has_health_and_metrics_and_no_other_route(folder: Path) -> None:
    with Long(folder, "patient") as process, process.client() as client:
        statuses = [client.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics", "/")]

    assert [200, 200, 200, 404] == statuses


def test_its_end_waits_for_what_it_has_to_finish_and_for_no_balancer(folder: Path) -> None:
    with Long(folder, "patient", DRAIN_DELAY_SECONDS="20") as process:
        process.line("listening")
        process.signal(signal.SIGTERM)
        assert 0 == process.exit_code(SLACK_SECONDS)
        assert time.monotonic() - process.signalled_at >= 0.5


@pytest.mark.parametrize(("command", "reason"), [("failing", "ZeroDivisionError"), ("giving-up", "returned 4")])
def test_its_failure_ends_the_process(folder: Path, command: str, reason: str) -> None:
    with Long(folder, command) as process:
        line = process.line("background task failed", task="command")
        process.signalled_at = time.monotonic()

        assert 70 == process.exit_code(SLACK_SECONDS)
        assert reason in str(line)


def test_one_that_does_not_end_is_cut_off(folder: Path) -> None:
    with Long(folder, "deaf", SHUTDOWN_DEADLINE_SECONDS="1") as process:
        process.line("listening")
        process.signal(signal.SIGTERM)

        assert 75 == process.exit_code(1 + 5 + 1 + SLACK_SECONDS)  # deadline, teardown, the last threads


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with Long(folder, "deaf") as process:
        process.line("listening")
        process.signal(signal.SIGTERM)
        process.line("draining")
        process.signal(signal.SIGINT)

        assert 128 + signal.SIGINT == process.exit_code(SLACK_SECONDS)
