"""An import rests while requests come, and not otherwise."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from pathlib import Path

import pytest

from acme_service.app import SERVICE
from acme_service.chassis.cli import read_settings
from acme_service.chassis.csv_import import Imports
from acme_service.chassis.csv_import.pace import MAX_REST_SECONDS, REST_FACTOR, REST_SECONDS, Pace
from acme_service.chassis.database import Database
from acme_service.chassis.wiring import build_core, build_parts

from ...application import new_process
from .test_importer import Imported, lines

pytestmark = pytest.mark.anyio


class Sleeps:
    """What was slept, in threads and on the event loop, in place of sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_threads: list[float] = []
        self.on_the_loop: list[float] = []
        monkeypatch.setattr(time, "sleep", self.in_threads.append)
        monkeypatch.setattr(asyncio, "sleep", self._on_the_loop)

    async def _on_the_loop(self, seconds: float) -> None:
        self.on_the_loop.append(seconds)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    return Sleeps(monkeypatch)


def compute() -> None:
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass


async def test_without_a_request_nothing_rests(sleeps: Sleeps) -> None:
    pace = Pace(lambda: 0)
    compute()
    pace.rest()
    await pace.rest_after(0.01)
    assert sleeps.in_threads == sleeps.on_the_loop == []


async def test_after_many_requests_a_rest_is_as_long_as_the_work_was(sleeps: Sleeps) -> None:
    begun = 100
    pace = Pace(lambda: begun)
    pace.rest()
    compute()
    begun += 100
    pace.rest()
    assert sleeps.in_threads[1] >= REST_FACTOR * 0.002
    begun += 100
    await pace.rest_after(0.01)
    await pace.rest_after(0.01)
    assert sleeps.on_the_loop == [REST_FACTOR * 0.01]


async def test_each_thread_counts_its_own_time(sleeps: Sleeps) -> None:
    pace = Pace(itertools.count(100, 100).__next__)
    compute()
    pace.rest()
    for _ in range(3):  # as a pool of one: each has the number of the one before
        thread = threading.Thread(target=pace.rest)
        thread.start()
        thread.join()
    assert 4 == len(sleeps.in_threads)
    assert all(0 <= seconds < REST_FACTOR * 0.002 for seconds in sleeps.in_threads[1:])


async def test_after_few_requests_a_rest_is_as_long_as_they_take(sleeps: Sleeps) -> None:
    await Pace(lambda: 2).rest_after(0.1)
    assert sleeps.on_the_loop == [2 * REST_SECONDS]


async def test_no_rest_is_endless(sleeps: Sleeps) -> None:
    await Pace(lambda: 1_000_000).rest_after(3600)
    assert sleeps.on_the_loop == [MAX_REST_SECONDS]


async def test_an_import_rests_in_its_thread_and_behind_each_batch(database: Database, sleeps: Sleeps) -> None:
    imported = Imported(database, lines(3000), pace=Pace(itertools.count(1).__next__))
    assert (await imported.run()).inserted == 3000
    assert len(sleeps.in_threads) > 3 * 3  # for each batch: its text, its columns, its rows
    assert len(sleeps.on_the_loop) == 3


async def test_a_service_rests_for_its_own_requests(sleeps: Sleeps, tmp_path: Path) -> None:
    settings = read_settings(SERVICE, {"APP_ENV": "test", "DATABASE_URL": f"sqlite:///{tmp_path}/a.db"}, tmp_path)
    core = build_core(SERVICE, settings, new_process())
    build_parts(core)
    pace = core.get(Imports).importer.pace
    await pace.rest_after(0.01)
    assert sleeps.on_the_loop == []
    core.metrics.requests.begun += 1
    await pace.rest_after(0.01)
    assert sleeps.on_the_loop == [REST_SECONDS]
