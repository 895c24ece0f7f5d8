"""Imports whose worker is killed, or whose database crashes, in the middle."""

from __future__ import annotations

import itertools
import time

import httpx2

from ..story import Story, scenario
from ..world import SERVE, Running, Store, World

RECORDS = 60_000
KILLS = 5
LEASE_SECONDS = 1
ENDED_SECONDS = 60.0
JOBS = {"JOBS_LEASE_SECONDS": str(LEASE_SECONDS), "IMPORT_MAX_BYTES": "100000000"}


@scenario
def import_whose_worker_is_killed(world: World, story: Story) -> None:
    """Kill -9 of the worker of an import, 5 times, on PostgreSQL: it goes on, each record is imported once."""
    _, store = world.postgresql()
    with world.serve(store.url, JOBS_IN_SERVE="false", **JOBS) as service, service.client(store.token) as client:
        path = _uploaded(client)
        for number in itertools.count(1):
            with _worker(world, store) as worker:
                before = _records(client, path)
                story.until(lambda: _records(client, path) > before, ENDED_SECONDS, f"worker {number} goes on")  # noqa: B023
                if number > KILLS:
                    _has_ended(client, path, story)
                    break
                worker.process.kill()
        story.did(f"killed {KILLS} workers after their first batches")
        _is_whole(client, path, story)


@scenario
def import_whose_database_crashes(world: World, story: Story) -> None:
    """PostgreSQL crashes amid an import: it goes on behind the last batch, each record is imported once."""
    with world.postgresql_to_break() as (cluster, store):
        with world.serve(store.url, **JOBS) as service, service.client(store.token) as client:
            path = _uploaded(client)
            story.until(lambda: _records(client, path) > 0, ENDED_SECONDS, "the import has begun")
            cluster.crash()
            time.sleep(1)
            cluster.start()
            story.did("crashed PostgreSQL (pg_ctl stop -m immediate) amid the import, and started it again")
            _has_ended(client, path, story)
            _is_whole(client, path, story)


def _worker(world: World, store: Store) -> Running:
    """A process that runs jobs; leave it with `with`."""
    return world.serve(store.url, command=[*SERVE[:-1], "worker"], **JOBS)


def _uploaded(client: httpx2.Client) -> str:
    """The path of a new import."""
    lines = ["name,email,joined_at", *(f"Name {number},u{number}@example.org,2024-05-31" for number in range(RECORDS))]
    content = "\n".join(lines)
    response = client.post("/api/imports", content=content, headers={"Content-Type": "text/csv"}).raise_for_status()
    return response.headers["location"]


def _records(client: httpx2.Client, path: str) -> int:
    """How many are done with; -1 while the database cannot be asked."""
    response = client.get(path)
    return int(response.json()["records"]) if response.is_success else -1


def _has_ended(client: httpx2.Client, path: str, story: Story) -> None:
    def ended() -> bool:
        response = client.get(path)
        return response.is_success and response.json()["state"] in {"done", "failed", "cancelled"}

    story.until(ended, ENDED_SECONDS, "the import has ended")


def _is_whole(client: httpx2.Client, path: str, story: Story) -> None:
    shown = client.get(path).raise_for_status().json()
    counts = [shown[name] for name in ("state", "records", "inserted", "updated", "skipped", "rejected")]
    story.holds(counts == ["done", RECORDS, RECORDS, 0, 0, 0], f"every record is counted once: {counts}")
    total = client.get("/api/users?limit=1").raise_for_status().json()["pagination"]["total_items"]
    story.holds(total == RECORDS + 1, f"every record is one user: {total - 1}")
