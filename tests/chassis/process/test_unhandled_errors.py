"""An exception that nothing handled: fatal in a task that starts with the service, never in what a client began."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from acme_service.chassis import exit_codes

from .command import Command, wait_until_ready

SLACK_SECONDS = 4
PLACES = {
    "task": "loop",
    "exit": "loop",
    "callback": "loop",
    "exit-callback": "loop",
    "supervised": "background task",
    "critical": "background task",
    "thread": "thread",
    "finaliser": "finaliser",
}


class Leftovers(Command):
    service = "chassis.process.leftovers"


@pytest.fixture
def served(folder: Path) -> Iterator[Leftovers]:
    with Leftovers(folder) as service:
        yield service


def _counted(client: httpx2.Client, where: str) -> float:
    found = re.search(
        rf'^unhandled_exceptions_total{{where="{where}"}} (\S+)$', client.get("/metrics").text, re.MULTILINE
    )
    return float(found[1]) if found else 0


def _counts_in_time(client: httpx2.Client, where: str, expected: float) -> float:
    ends = time.monotonic() + 5
    while (counted := _counted(client, where)) < expected and time.monotonic() < ends:
        time.sleep(0.05)
    return counted


def test_a_thousand_requests_and_messages_that_leave_a_failed_task_leave_the_process_as_it_was(
    served: Leftovers,
) -> None:
    with served.client() as client:
        for _ in range(1000):
            assert 204 == client.post("/leave/task").status_code
        with connect(f"ws://127.0.0.1:{served.port()}/leave", proxy=None) as socket:
            for _ in range(1000):
                socket.send("task")
                assert "task" == socket.recv(timeout=10)

        assert 2000 == _counts_in_time(client, "loop", 2000)
        wait_until_ready(client)
    assert served.process.exitcode is None  # type: ignore[union-attr] # it is a fork


@pytest.mark.parametrize("what", PLACES)
def test_what_a_request_or_a_message_left_behind_is_counted_once_and_ends_nothing(served: Leftovers, what: str) -> None:
    with served.client() as client:
        assert 204 == client.post(f"/leave/{what}").status_code
        assert 1 == _counts_in_time(client, PLACES[what], 1)
        with connect(f"ws://127.0.0.1:{served.port()}/leave", proxy=None) as socket:
            socket.send(what)
            assert what == socket.recv(timeout=10)
            assert 2 == _counts_in_time(client, PLACES[what], 2)
            time.sleep(0.1)

            assert 2 == _counted(client, PLACES[what])
            wait_until_ready(client)


def test_a_failed_task_that_something_keeps_and_an_ended_thread_end_nothing(served: Leftovers) -> None:
    with served.client() as client:
        for what in ("kept", "exit-thread"):
            assert 204 == client.post(f"/leave/{what}").status_code
        wait_until_ready(client)


def test_what_is_left_behind_is_logged_with_its_stack(folder: Path) -> None:
    with Leftovers(folder) as service, service.client() as client:
        client.post("/leave/task")
        client.post("/leave/critical")

        line = service.line("unhandled exception", place="loop")
        assert "fail" == line["exception"]["frames"][-1]["function"]
        assert "Parts(tasks=...)" in service.line("task is not critical")["hint"]
        assert service.line("background task failed", critical=False)["exception"]["frames"]


def test_a_declared_task_that_fails_is_logged_and_ends_the_process_with_70(folder: Path) -> None:
    with Leftovers(folder, TASK="critical") as service:
        service.line("draining")
        service.signalled_at = time.monotonic()

        assert exit_codes.CRASHED == service.exit_code(SLACK_SECONDS)
        line = service.line("background task failed", task="critical", critical=True)
        assert "the disk is gone" == line["exception"]["message"]
        assert "torn down" in service.events()


@pytest.mark.parametrize(
    ("task", "variables"), [("critical", {"UNHANDLED_ERRORS": "log"}), ("optional", {}), ("restarted", {})]
)
def test_a_declared_task_may_fail_where_the_settings_or_it_says_so(
    folder: Path, task: str, variables: dict[str, str]
) -> None:
    with Leftovers(folder, TASK=task, **variables) as service, service.client() as client:
        service.line("background task failed", task=task)
        time.sleep(0.2)

        wait_until_ready(client)
        assert (1 if task != "restarted" else 2) <= _counts_in_time(
            client, "background task", 2 - (task != "restarted")
        )


def test_a_declared_task_may_return(folder: Path) -> None:
    with Leftovers(folder, TASK="short") as service, service.client() as client:
        wait_until_ready(client)
        assert 0 == _counted(client, "background task")


@pytest.mark.parametrize("variables", [{}, {"UNHANDLED_ERRORS": "log"}])
def test_a_thread_of_the_chassis_that_dies_ends_the_process_unless_the_settings_say_otherwise(
    folder: Path, variables: dict[str, str]
) -> None:
    with Leftovers(folder, **variables) as service, service.client() as client:
        assert 204 == client.post("/leave/chassis-thread").status_code
        service.line("unhandled exception", place="thread", thread="of-the-test")
        if variables:
            wait_until_ready(client)
            return
        service.line("draining")
        service.signalled_at = time.monotonic()

        assert exit_codes.CRASHED == service.exit_code(SLACK_SECONDS)
        assert "of-the-test" in service.line("a critical task died")["reason"]


def test_memory_is_told_at_debug(folder: Path) -> None:
    with Leftovers(folder, LOG_LEVEL="debug") as service:
        line = service.line("memory", level="debug")

    assert 10_000_000 < line["heap_bytes"] < line["resident_bytes"] < 1_000_000_000
    assert line["python_blocks"] > 10_000
