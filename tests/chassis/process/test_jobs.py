"""Background jobs of real processes: killed, paused, stopped, and several at a time."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ..nats_server import NatsServer
from .command import Command, run

SERVICE = "chassis.process.jobs_application"
LEASE_SECONDS = 2.0
RUNS_AGAIN_SECONDS = LEASE_SECONDS + 2.0
"""After a kill: the lease, the poll, and what the machine takes."""


class Server(Command):
    service = SERVICE


class Worker(Command):
    service = SERVICE
    command = "worker"


def options(database_url: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "JOBS_LEASE_SECONDS": str(LEASE_SECONDS), **more}


@contextmanager
def only_sending(folder: Path, **variables: str) -> Iterator[httpx2.Client]:
    """A process that serves and runs no job."""
    with Server(folder, JOBS_IN_SERVE="false", **variables) as server, server.client() as client:
        yield client


def send(client: httpx2.Client, **work: object) -> str:
    response = client.post("/work", json=work, headers={"X-Request-ID": "r-1"})
    assert 202 == response.status_code
    return str(response.json())


def runs(folder: Path) -> list[int]:
    """The processes that began one, in that order."""
    path = folder / "runs"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(condition: Callable[[], object], seconds: float) -> float:
    """Wait for *condition*, at most *seconds*; how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come"
        time.sleep(0.02)
    return time.monotonic() - started


def listed(folder: Path, *arguments: str, **variables: str) -> list[dict[str, Any]]:
    lines = command(folder, "jobs", "list", "--format", "json", *arguments, **variables).splitlines()
    return [json.loads(line) for line in lines]


def command(folder: Path, *arguments: str, **variables: str) -> str:
    result = run(folder, *arguments, service=SERVICE, **variables)
    assert 0 == result.returncode, result.stderr
    return result.stdout


def test_a_job_runs_beside_requests_and_its_lines_name_the_request(folder: Path, database_url: str) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with Server(folder, **options(database_url)) as server, server.client() as client:
        headers = {"X-Request-ID": "r-9", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        sent = client.post("/work", json={}, headers=headers).json()
        for event in ("job started", "job done"):
            line = server.line(event, job_id=sent)
            assert ("r-9", trace) == (line["request_id"], line["trace_id"])

        metrics = client.get("/metrics").text
        assert 'job_runs_total{outcome="done"} 1.0' in metrics
        assert 'job_duration_seconds_count{job="work"} 1.0' in metrics
        assert 'jobs{state="queued"}' in metrics
        assert "job_oldest_seconds" in metrics


def test_after_kill_9_a_job_goes_on_from_its_last_commit(folder: Path, database_url: str) -> None:
    variables = options(database_url)
    with only_sending(folder, **variables) as client:
        with Worker(folder, **variables) as killed:
            killed.line("listening")
            send(client, rows=20, seconds=2)
            until(lambda: client.get("/work").json() >= 5, 10)
            killed.signal(signal.SIGKILL)
        stored = client.get("/work").json()
        assert 5 <= stored < 20
        with Worker(folder, **variables) as other:
            took = until(lambda: len(runs(folder)) == 2, RUNS_AGAIN_SECONDS + 3)
            line = other.line("job done")
            assert 20 == client.get("/work").json()

    assert took < RUNS_AGAIN_SECONDS + 3
    assert 2 == line["attempt"]


def test_a_stopped_worker_finishes_its_job_and_ends_clean(folder: Path, database_url: str) -> None:
    variables = options(database_url)
    with only_sending(folder, **variables) as client, Worker(folder, **variables) as worker:
        worker.line("listening")
        send(client, seconds=1.5)
        send(client)
        worker.line("job started")
        worker.signal(signal.SIGTERM)
        worker.line("job done")
        assert 0 == worker.exit_code(15)

    assert ["done", "queued"] == [row["state"] for row in reversed(listed(folder, **variables))]


def test_a_job_that_outlives_the_deadline_is_given_back_and_another_worker_runs_it_at_once(
    folder: Path, database_url: str
) -> None:
    variables = options(database_url, SHUTDOWN_DEADLINE_SECONDS="1")
    with only_sending(folder, **variables) as client:
        with Worker(folder, **variables) as worker:
            worker.line("listening")
            send(client, seconds=60)
            worker.line("job started")
            worker.signal(signal.SIGTERM)
            worker.line("job returned")
            assert 0 == worker.exit_code(15)
        [row] = listed(folder, **variables)
        assert ("queued", 0) == (row["state"], row["attempt"])
        with Worker(folder, **variables) as other:
            other.line("job started", attempt=1)


def test_a_serving_process_that_is_stopped_finishes_its_job(folder: Path, database_url: str) -> None:
    with Server(folder, **options(database_url)) as server, server.client() as client:
        send(client, seconds=1.5)
        server.line("job started")
        server.signal(signal.SIGTERM)
        server.line("job done")
        assert 0 == server.exit_code(15)


def test_a_worker_that_was_paused_stores_nothing_after_another_one_took_its_job(
    folder: Path, database_url: str
) -> None:
    variables = options(database_url)
    with only_sending(folder, **variables) as client, Worker(folder, **variables) as paused:
        paused.line("listening")
        send(client, rows=10, seconds=4)
        until(lambda: client.get("/work").json() >= 2, 10)
        pid = paused.process.pid or 0
        os.kill(pid, signal.SIGSTOP)
        try:
            with Worker(folder, **variables) as other:
                other.line("job started")
                os.kill(pid, signal.SIGCONT)
                line = paused.line("job lost")
                other.line("job done")
        finally:
            os.kill(pid, signal.SIGCONT)

        assert "error" not in line
        assert 10 == client.get("/work").json()
        assert [pid, other.process.pid] == runs(folder)


def test_two_workers_share_the_jobs(folder: Path, database_url: str) -> None:
    variables = options(database_url)
    with (
        only_sending(folder, **variables) as client,
        Worker(folder, **variables) as first,
        Worker(folder, **variables) as second,
    ):
        first.line("listening")
        second.line("listening")
        for _ in range(8):
            send(client, seconds=0.3)
        until(lambda: len(runs(folder)) == 8, 15)

    assert {first.process.pid, second.process.pid} == set(runs(folder))


def test_dead_letters_are_listed_and_sent_again(folder: Path, database_url: str) -> None:
    variables = options(database_url)
    with Server(folder, **variables) as server, server.client() as client:
        sent, other = (send(client, fails=True) for _ in range(2))
        server.line("job failed", job_id=sent)
        server.line("job failed", job_id=other)
        dead = listed(folder, "--state", "failed", **variables)
        assert [other, sent] == [each["id"] for each in dead]
        assert ("work", 5, "ValueError: as was wished", "r-1") == (
            dead[0]["name"],
            dead[0]["attempt"],
            dead[0]["error"],
            dead[0]["request_id"],
        )
        assert [] == listed(folder, "--state", "done", **variables)
        assert [other] == [each["id"] for each in listed(folder, "--limit", "1", **variables)]
        assert f"{sent}\n" == command(folder, "jobs", "retry", sent, **variables)
        until(lambda: len(runs(folder)) == 15, 10)
        until(lambda: len(listed(folder, "--state", "failed", **variables)) == 2, 10)
        assert {sent, other} == set(command(folder, "jobs", "retry", "--all", **variables).split())
        unknown = run(folder, "jobs", "retry", "unknown", service=SERVICE, **variables)
        assert (2, "") == (unknown.returncode, unknown.stdout)
        assert "no dead letter has the id 'unknown'" in unknown.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "x", "100001"])
def test_a_limit_that_is_none_is_refused(folder: Path, limit: str) -> None:
    result = run(folder, "jobs", "list", "--limit", limit, service=SERVICE)

    assert 2 == result.returncode
    assert f"'{limit}' is not a number from 1 to 100000" in result.stderr


def test_with_nats_a_worker_runs_what_another_process_sent_and_goes_on_without_it(
    folder: Path, nats_server: NatsServer, database_url: str
) -> None:
    variables = options(database_url, JOBS_URL=nats_server.url)
    with only_sending(folder, **variables) as client, Worker(folder, **variables) as worker, worker.client() as own:
        worker.line("broker connected")
        first = send(client, seconds=0.2)
        worker.line("job done", job_id=first)
        assert "jobs_degraded 0.0" in own.get("/metrics").text
        nats_server.kill()
        worker.line("broker lost, the table of jobs is polled")
        assert "jobs_degraded 1.0" in own.get("/metrics").text
        assert 200 == own.get("/health/ready").status_code
        second = send(client)
        worker.line("job done", job_id=second)
        nats_server.start()
        until(lambda: "jobs_degraded 0.0" in own.get("/metrics").text, 10)
        third = send(client)
        worker.line("job done", job_id=third)


def test_with_nats_a_job_of_a_killed_worker_runs_again(
    folder: Path, nats_server: NatsServer, database_url: str
) -> None:
    variables = options(database_url, JOBS_URL=nats_server.url)
    with only_sending(folder, **variables) as client:
        with Worker(folder, **variables) as killed:
            killed.line("broker connected")
            send(client, seconds=1.0)
            killed.line("job started")
        with Worker(folder, **variables) as other:
            other.line("job done", attempt=2)


def test_a_worker_without_nats_starts_all_the_same(folder: Path, nats_server: NatsServer, database_url: str) -> None:
    nats_server.kill()
    with Server(folder, **options(database_url, JOBS_URL=nats_server.url)) as server, server.client() as client:
        server.line("broker lost, the table of jobs is polled")
        server.line("job done", job_id=send(client))


@pytest.mark.parametrize("url", ["redis://h:1", "nats://", "nats://h:x", "h:4222"])
def test_an_address_that_is_none_of_nats_is_refused_without_its_text(tmp_path: Path, url: str) -> None:
    result = run(tmp_path, "config", service=SERVICE, JOBS_URL=f"{url}?hunter2")

    assert 78 == result.returncode
    assert "JOBS_URL: it is not the address of a NATS server; expected nats://" in result.stderr
    assert "hunter2" not in result.stderr
