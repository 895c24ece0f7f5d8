"""An SQLite file that another process holds, and a disk that is full."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time

from ..disks import fill, small_disk
from ..story import Story, scenario
from ..world import World
from .database import ready, rename


@scenario
def sqlite_locked(world: World, story: Story) -> None:
    """Another process holds the write lock: reads go on, writes are 503 with Retry-After, and heal with it."""
    store = world.sqlite()
    with world.serve(store.url, DB_STATEMENT_TIMEOUT_SECONDS="2") as service, service.client(store.token) as client:
        story.holds(rename(client).status_code == 200, "a write succeeds")
        with contextlib.closing(sqlite3.connect(world.folder / "service.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            story.did("began a write transaction in another process, and let it lie")
            story.holds(client.get("/api/users").status_code == 200, "a read succeeds")
            started = time.monotonic()
            rejected = rename(client)
            took = time.monotonic() - started
            story.holds(rejected.status_code == 503, f"a write is 503: {rejected.status_code}")
            story.holds("retry-after" in rejected.headers, "with Retry-After")
            story.holds(took < 8, f"after {took:.1f} s")
            other.execute("ROLLBACK")
        story.until(lambda: rename(client).status_code == 200, 2, "the first write after the lock succeeds")


@scenario
def sqlite_disk_full(world: World, story: Story) -> None:
    """The disk under SQLite is full: writes are 503 or 507, reads go on, not ready; it heals with room."""
    store = world.sqlite()
    with small_disk(world.folder, 8) as disk:
        file = shutil.copy(world.folder / "service.db", disk / "service.db")
        with world.serve(f"sqlite:///{file}") as service, service.client(store.token) as client:
            story.holds(rename(client).status_code == 200, "a write succeeds")
            fill(disk / "ballast")
            story.did("filled the disk to its last byte")
            answers = [rename(client) for _ in range(200)]
            statuses = {answer.status_code for answer in answers}
            story.holds(statuses <= {200, 503, 507}, f"no write is a 500: {sorted(statuses)}")
            story.holds(statuses & {503, 507}, "and some were rejected, when the log had no room left")
            story.holds(client.get("/api/users").status_code == 200, "a read succeeds")
            story.until(lambda: not ready(client), 3, "readiness fails")
            story.holds(client.get("/health/live").status_code == 200, "liveness stays 200")
            (disk / "ballast").unlink()
            story.did("made room")
            story.until(lambda: rename(client).status_code == 200, 2, "the first write succeeds")
            story.until(lambda: ready(client), 3, "ready again")
            service.signal()
            story.holds(service.exit_code(30) == 0, "a clean end")
        with contextlib.closing(sqlite3.connect(file)) as database:
            story.holds(database.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the file is whole")


@scenario
def sqlite_file_deleted(world: World, story: Story) -> None:
    """The SQLite file is deleted: not ready and 503, no new file appears, and it is used again when it is back."""
    store = world.sqlite()
    file, aside = world.folder / "service.db", world.folder / "aside.db"
    with world.serve(store.url) as service, service.client(store.token) as client:
        file.rename(aside)
        story.did("moved the file away")
        story.until(lambda: not ready(client), 2, "readiness fails")
        story.holds(rename(client).status_code == 503, "a write is 503")
        story.holds(not file.exists(), "no file was made in its place")
        aside.rename(file)
        story.until(lambda: ready(client), 2, "ready again when it is back")
        story.until(lambda: rename(client).status_code == 200, 2, "and a write succeeds")
