"""kill -9 under writes, over and over."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from ..story import BrokenPromise, Story, patient_scenario
from ..world import SECONDS, Running, Store, World, new_client

ROUNDS = 20
RENAMING, CREATING = 3, 2
PASSWORD = "correct horse battery"
Ask = Callable[[str], list[str]]
"""Gives the first column of what a statement selects."""


class Writer:
    """Writes its numbers one after the other; the one that was in flight at a kill is written again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 1
        self.acknowledged: set[int] = set()
        self.failure = ""

    def run(self, url: str, token: str) -> None:
        """Write until the connection breaks."""
        with contextlib.suppress(httpx2.TransportError), new_client(url, token) as client:
            while not self.failure:
                self.sent += self.sent in self.acknowledged
                response = self.write(client)
                if response.is_success:
                    self.acknowledged.add(self.sent)
                else:
                    self.failure = f"{response.status_code}: {response.text}"

    def write(self, client: httpx2.Client) -> httpx2.Response:
        raise NotImplementedError

    def check(self, ask: Ask) -> None:
        """Raise BrokenPromise if what is stored is not what was acknowledged."""
        raise NotImplementedError


class Renaming(Writer):
    """Gives one user one name after the other."""

    user_id = ""

    def write(self, client: httpx2.Client) -> httpx2.Response:
        return client.patch(f"/api/users/{self.user_id}", json={"name": f"name {self.sent}"})

    def check(self, ask: Ask) -> None:
        (name,) = ask(f"SELECT name FROM users WHERE id = '{self.user_id}'")  # noqa: S608 - an id of the service's
        last = max(self.acknowledged, default=0)
        if int(name.removeprefix("name ")) not in range(last, self.sent + 1):
            raise BrokenPromise(f"number {last} was acknowledged, {self.sent} was in flight, and {name!r} is stored")


class Creating(Writer):
    """Creates one user after the other; their Idempotency-Key lets a creation be sent again."""

    def write(self, client: httpx2.Client) -> httpx2.Response:
        key = {"Idempotency-Key": f"key of {self._name(self.sent)}"}
        return client.post("/api/users", json=_user(self._name(self.sent)), headers=key)

    def check(self, ask: Ask) -> None:
        found = ask(f"SELECT name FROM users WHERE name LIKE '{self._name('%')}'")  # noqa: S608 - a name of ours
        stored = {int(name.rpartition("n")[2]) for name in found}
        if len(found) != len(stored) or not self.acknowledged <= stored <= set(range(1, self.sent + 1)):
            raise BrokenPromise(f"acknowledged were {sorted(self.acknowledged)}, stored are {sorted(found)}")

    def _name(self, number: int | str) -> str:
        return f"w{self.number}n{number}"


def _user(name: str) -> dict[str, str]:
    return {"name": name, "email": f"{name}@example.com", "password": PASSWORD}


@patient_scenario
def killed_under_writes_on_sqlite(world: World, story: Story) -> None:
    """Kill -9 under writes, 20 times, on SQLite: what was acknowledged is stored, and nothing but what was in
    flight.
    """
    store = world.sqlite()
    _kill_often(world, store, story, lambda sql: _ask_sqlite(world.folder / "service.db", sql))
    whole = _ask_sqlite(world.folder / "service.db", "PRAGMA integrity_check")
    story.holds(whole == ["ok"], "the file is whole")


@patient_scenario
def killed_under_writes_on_postgresql(world: World, story: Story) -> None:
    """Kill -9 under writes, 20 times, on PostgreSQL: what was acknowledged is stored, and nothing but what was in
    flight.
    """
    cluster, store = world.postgresql()
    _kill_often(world, store, story, lambda sql: cluster.rows(sql, store.url))


def _ask_sqlite(path: Path, statement: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return [str(row[0]) for row in database.execute(statement)]


def _kill_often(world: World, store: Store, story: Story, ask: Ask) -> None:
    renaming, creating = (
        [Renaming(number) for number in range(RENAMING)],
        [Creating(number) for number in range(CREATING)],
    )
    with world.serve(store.url) as service, service.client(store.token) as client:
        for each in renaming:
            created = client.post("/api/users", json=_user("name 0") | {"email": f"r{each.number}@example.com"})
            each.user_id = created.raise_for_status().json()["id"]
    writers: list[Writer] = [*renaming, *creating]
    for _ in range(ROUNDS):
        with world.serve(store.url) as service:
            _kill_under(service, writers, store.token)
        for writer in writers:
            if writer.failure:
                raise BrokenPromise(f"a write failed before the kill: {writer.failure}")
            writer.check(ask)
    story.did(
        f"killed the service {ROUNDS} times under {RENAMING} clients that rename and {CREATING} that create users"
    )
    acknowledged = _acknowledged(writers)
    story.holds(acknowledged > 2 * ROUNDS, f"after each kill, all of {acknowledged} acknowledged writes were stored")
    with world.serve(store.url) as service, service.client() as client:
        story.holds(client.get("/health/ready").status_code == 200, "it starts again without help")


def _kill_under(service: Running, writers: list[Writer], token: str) -> None:
    threads = [threading.Thread(target=writer.run, args=[service.url, token], daemon=True) for writer in writers]
    enough = _acknowledged(writers) + random.randint(3, 12)  # noqa: S311 - a moment
    for thread in threads:
        thread.start()
    ends = time.monotonic() + SECONDS
    while _acknowledged(writers) < enough and time.monotonic() < ends:
        time.sleep(0.001)
    os.kill(service.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(SECONDS)


def _acknowledged(writers: list[Writer]) -> int:
    return sum(len(writer.acknowledged) for writer in writers)
