"""What the composition root wires together: its life, its figures, its last resorts."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from acme_service.chassis.application import create_app
from acme_service.chassis.cli import read_settings
from acme_service.chassis.database.migrations.runner import migrated
from acme_service.chassis.errors import SchemaOutdated, StartupFailed
from acme_service.chassis.lifecycle import Phase
from acme_service.chassis.passwords import Passwords
from acme_service.chassis.wiring import build_core

from ..application import new_process, running
from ..databases import SCHEMA
from ..sample import SERVICE

pytestmark = pytest.mark.anyio

USER = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


class Opened:
    """The application between its start and its end, and what its process keeps."""

    def __init__(self, url: str, folder: Path, *, migrate: Callable[[], Awaitable[None]] | None = None) -> None:
        self.loop_failures: list[str] = []
        self.process = new_process(
            loop_exception_handler=lambda _loop, context: self.loop_failures.append(context["message"]),
            migrate=migrate,
        )
        settings = read_settings(SERVICE, {"APP_ENV": "test", "DATABASE_URL": url}, folder)
        self.app = create_app(SERVICE, settings, self.process)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(app=self.app)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            yield client

    def sample(self, name: str, **labels: str) -> float | None:
        return self.process.metrics.registry.get_sample_value(name, labels)


def closed(events: list[Any]) -> list[str]:
    return [event["resource"] for event in events if event["event"] == "resource closed"]


async def test_what_was_opened_is_closed_in_reverse(sqlite_url: str, tmp_path: Path) -> None:
    opened = Opened(sqlite_url, tmp_path)
    with capture_logs() as events:
        async with opened.client() as client:
            assert 201 == (await client.post("/api/users", json=USER)).status_code
            assert 1 == opened.sample("background_tasks")
            assert any(thread.name.startswith("passwords") for thread in threading.enumerate())

    assert ["background tasks", "cache", "database"] == closed(events)
    assert 0 == opened.sample("background_tasks")
    ends = asyncio.get_running_loop().time() + 5
    while any(thread.name.startswith("passwords") for thread in threading.enumerate()):
        assert asyncio.get_running_loop().time() < ends
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("parts", "cost"), [({}, "m=19456,t=2"), ({"passwords": lambda: Passwords(memory_kib=8, iterations=1)}, "m=8,t=1")]
)
async def test_passwords_are_hashed_as_the_process_says(tmp_path: Path, parts: dict[str, Any], cost: str) -> None:
    settings = read_settings(SERVICE, {"APP_ENV": "test", "DATABASE_URL": f"sqlite:///{tmp_path / 'a.db'}"}, tmp_path)
    passwords = build_core(SERVICE, settings, new_process(**parts)).passwords

    assert (await passwords.hash("correct horse")).startswith(f"$argon2id$v=19${cost},p=1$")
    passwords.close()


async def test_what_fails_to_start_is_closed_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with capture_logs() as events, pytest.raises(StartupFailed):
        async with Opened(f"sqlite:///{tmp_path / 'file' / 'never.db'}", tmp_path).client():
            pass

    assert ["database"] == closed(events)


async def test_an_old_schema_rejects_the_start_and_what_was_opened_is_closed(tmp_path: Path) -> None:
    with capture_logs() as events, pytest.raises(SchemaOutdated, match="migrate` before `serve`"):
        async with Opened(f"sqlite:///{tmp_path / 'old.db'}", tmp_path).client():
            pass

    assert ["database"] == closed(events)


async def test_an_old_schema_is_migrated_where_that_is_wished_and_a_current_one_never(
    sqlite_url: str, tmp_path: Path
) -> None:
    calls: list[str] = []
    old = f"sqlite:///{tmp_path / 'old.db'}"

    async def migrate() -> None:
        calls.append("migrate")
        await migrated(old, SCHEMA)

    async with Opened(sqlite_url, tmp_path, migrate=migrate).client():
        assert [] == calls
    async with Opened(old, tmp_path, migrate=migrate).client():
        assert ["migrate"] == calls


async def test_what_the_event_loop_reports_reaches_the_last_resort(sqlite_url: str, tmp_path: Path) -> None:
    opened = Opened(sqlite_url, tmp_path)
    async with opened.client():
        asyncio.get_running_loop().call_exception_handler({"message": "nobody awaited it"})

    assert ["nobody awaited it"] == opened.loop_failures


async def test_the_figures_of_cache_pool_and_loop_are_exported(sqlite_url: str, tmp_path: Path) -> None:
    opened = Opened(sqlite_url, tmp_path)
    async with opened.client() as client:
        place = (await client.post("/api/users", json=USER)).headers["location"]
        for _ in range(3):
            assert 200 == (await client.get(place)).status_code
        # The loop's lag is measured twice a second.
        await asyncio.sleep(0.55)

        assert (2, 1) == tuple(opened.sample("cache_requests_total", result=result) for result in ("hit", "miss"))
        assert 0 == opened.sample("cache_evictions_total")
        assert opened.sample("event_loop_lag_seconds_count")
        pool = {state: opened.sample("db_pool_connections", state=state) for state in ("checked_out", "idle")}
        assert 0 == pool["checked_out"]
        assert pool["idle"]
        blocks = opened.sample("python_allocated_blocks")
        assert blocks
        assert blocks > 1000


async def test_metrics_are_rendered_in_a_thread(sqlite_url: str, tmp_path: Path) -> None:
    threads: list[int] = []
    opened = Opened(sqlite_url, tmp_path)

    def read() -> float:
        threads.append(threading.get_ident())
        return 7

    opened.process.metrics.read_gauge("asked", "Asked.", read)
    async with opened.client() as client:
        assert "asked 7.0" in (await client.get("/metrics")).text

    assert threads
    assert threading.get_ident() not in threads


async def test_only_readiness_follows_the_phase_of_the_process(sqlite_url: str, tmp_path: Path) -> None:
    opened = Opened(sqlite_url, tmp_path)
    async with opened.client() as client:
        for phase, status in ((Phase.STARTING, 503), (Phase.READY, 200), (Phase.DRAINING, 503)):
            opened.process.lifecycle.advance(phase)
            assert status == (await client.get("/health/ready")).status_code
            assert 200 == (await client.get("/health/live")).status_code


async def test_a_slash_too_many_is_not_redirected(sqlite_url: str, tmp_path: Path) -> None:
    async with running(sqlite_url, tmp_path) as client:
        assert 404 == (await client.get("/api/users/")).status_code


async def test_the_service_names_itself(sqlite_url: str, tmp_path: Path) -> None:
    async with running(sqlite_url, tmp_path) as client:
        identity = (await client.get("/")).json()

    assert ("acme-service", "test") == (identity["service"], identity["environment"])
    assert identity["version"]


@pytest.mark.parametrize(("environment", "shown"), [("development", True), ("test", False)])
async def test_development_alone_shows_what_was_raised_and_where(
    sqlite_url: str, tmp_path: Path, environment: str, *, shown: bool
) -> None:
    # capture_logs, because structlog as it comes would draw the exception for seconds.
    async with running(sqlite_url, tmp_path, APP_ENV=environment) as client:
        with capture_logs(), closing(sqlite3.connect(tmp_path / "test.db")) as database, database:
            database.execute("DROP TABLE users")
            answer = await client.get("/api/users")

    assert 500 == answer.status_code
    assert shown == ("exception" in answer.json()) == ("OperationalError" in answer.text) == ("users.py" in answer.text)
