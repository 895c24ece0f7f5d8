"""Imports of real processes: over HTTP and by the command, killed, stopped, cancelled, and fed what is no CSV."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import io
import json
import random
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ..nats_server import NatsServer
from .command import Command, run

SERVICE = "chassis.process.imports_application"
CSV = {"Content-Type": "text/csv"}
LEASE_SECONDS = 1.0
KILLS = 10
"""For each database, so that together they are 20."""


class Server(Command):
    service = SERVICE


class Worker(Command):
    service = SERVICE
    command = "worker"


def options(database_url: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "JOBS_LEASE_SECONDS": str(LEASE_SECONDS), **more}


@pytest.fixture
def server(folder: Path, database_url: str) -> Iterator[Server]:
    with Server(folder, **options(database_url, IMPORT_MAX_BYTES="2000000", MAX_BODY_BYTES="1000")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx2.Client]:
    with server.client() as opened:
        yield opened


def file_of(count: int, *, first: int = 0) -> str:
    """A file of so many users; each hundredth record has no e-mail, and each thousandth has the one before it."""
    lines = ["name,email,joined_at"]
    for number in range(first, first + count):
        email = "nothing" if number % 100 == 50 else f"u{number - (number % 1000 == 999)}@example.com"
        lines.append(f"User {number},{email},2024-05-31")
    return "\n".join(lines) + "\n"


def expected(count: int) -> dict[str, int]:
    """What becomes of the records of `file_of` in an empty table."""
    rejected = sum(number % 100 == 50 or number % 1000 == 999 for number in range(count))
    return {"records": count, "inserted": count - rejected, "updated": 0, "skipped": 0, "rejected": rejected}


def counts(shown: dict[str, Any]) -> dict[str, int]:
    return {name: shown[name] for name in ("records", "inserted", "updated", "skipped", "rejected")}


def upload(client: httpx2.Client, content: str | bytes, **query: str) -> dict[str, Any]:
    response = client.post("/api/imports", content=content, params=query, headers=CSV)
    assert response.status_code in {200, 202}, response.text
    return dict(response.json())


def ended(client: httpx2.Client, import_id: str, seconds: float = 20.0) -> dict[str, Any]:
    ends = time.monotonic() + seconds
    while True:
        shown = dict(client.get(f"/api/imports/{import_id}").json())
        if shown["state"] in {"done", "failed", "cancelled"}:
            return shown
        assert time.monotonic() < ends, shown
        time.sleep(0.05)


def rows(database_url: str, statement: str) -> list[tuple[Any, ...]]:
    """What *statement* returns, past the service."""
    if database_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()

    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - not on SQLite

    async def fetched() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database_url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetched())


def require_exactly(database_url: str, count: int) -> None:
    """Every record of `file_of` is stored once, or is a reject once."""
    assert [(expected(count)["inserted"],)] == rows(database_url, "SELECT count(*) FROM users")
    rejected = [line for (line,) in rows(database_url, "SELECT line FROM import_rejects ORDER BY line")]
    assert [number + 2 for number in range(count) if number % 100 == 50 or number % 1000 == 999] == rejected


# Over HTTP.


def test_a_file_is_imported_followed_and_its_rejects_are_given_back(client: httpx2.Client, database_url: str) -> None:
    content = file_of(2500).replace("User 50,nothing", "=1+1,nothing")
    response = client.post("/api/imports", content=content, headers=CSV)
    import_id = response.json()["id"]
    assert (202, f"/api/imports/{import_id}") == (response.status_code, response.headers["location"])

    followed = client.get(f"{response.headers['location']}/events").text
    *_, last = followed.strip().split("\n\n")
    assert "\nevent: end\ndata: " in last
    shown = json.loads(last.partition("data: ")[2])
    assert shown == client.get(response.headers["location"]).json()
    assert ("done", 100.0, None) == (shown["state"], shown["percent"], shown["failure"])
    assert expected(2500) == counts(shown)
    require_exactly(database_url, 2500)

    answer = client.get(f"{response.headers['location']}/rejects")
    header, first, *_ = csv.reader(io.StringIO(answer.text))
    assert "text/csv; charset=utf-8" == answer.headers["content-type"]
    assert ["line", "reasons", "text"] == header
    assert ["52", "'=1+1,nothing,2024-05-31"] == [first[0], first[2]]
    assert "999,email is a duplicate of line 1000" not in answer.text
    assert "1001,email is a duplicate of line 1000," in answer.text


def test_the_columns_become_those_of_a_user_without_a_password(client: httpx2.Client, database_url: str) -> None:
    content = "E-Mail;Full Name;joined_at\n ADA@Example.com ; Ada ;2020-02-29T23:30:00-01:00\nbob@example.com;Bob;\n"
    assert "done" == ended(client, upload(client, content)["id"])["state"]

    found = {user["email"]: user for user in client.get("/api/users").json()["items"]}
    assert ("Ada", "2020-03-01T00:30:00Z", 1) == tuple(
        found["ada@example.com"][name] for name in ("name", "created_at", "version")
    )
    assert "Bob" == found["bob@example.com"]["name"]
    assert [("!",)] == rows(database_url, "SELECT DISTINCT password_hash FROM users")


def test_the_same_file_is_recognised_and_imported_again_only_if_that_is_asked(client: httpx2.Client) -> None:
    first = upload(client, file_of(10))
    assert 10 == ended(client, first["id"])["inserted"]

    response = client.post("/api/imports", content=file_of(10), headers=CSV)
    assert (200, first["id"]) == (response.status_code, response.json()["id"])

    again = upload(client, file_of(10), again="true")
    assert first["id"] != again["id"]
    assert {"records": 10, "inserted": 0, "updated": 0, "skipped": 10, "rejected": 0} == counts(
        ended(client, again["id"])
    )


def test_update_changes_the_name_alone_also_of_a_cached_user(client: httpx2.Client, database_url: str) -> None:
    made = client.post("/api/users", json={"name": "Ada", "email": "a@b.cc", "password": "correct horse"}).json()
    assert "Ada" == client.get(f"/api/users/{made['id']}").json()["name"]
    before = rows(database_url, "SELECT password_hash, created_at FROM users")

    content = "name,email,joined_at\nCountess,A@b.cc,2000-01-01\nBob,bob@b.cc,\n"
    done = ended(client, upload(client, content, on_conflict="update")["id"])
    assert {"records": 2, "inserted": 1, "updated": 1, "skipped": 0, "rejected": 0} == counts(done)

    shown = client.get(f"/api/users/{made['id']}").json()
    assert ("Countess", 2, made["created_at"]) == (shown["name"], shown["version"], shown["created_at"])
    assert shown["updated_at"] > made["updated_at"]
    assert before == rows(database_url, "SELECT password_hash, created_at FROM users WHERE email = 'a@b.cc'")

    same = ended(client, upload(client, content, on_conflict="update", again="true")["id"])
    assert {"records": 2, "inserted": 0, "updated": 0, "skipped": 2, "rejected": 0} == counts(same)


def test_fail_stops_at_the_first_conflict_and_keeps_the_batches_before(
    client: httpx2.Client, database_url: str
) -> None:
    client.post("/api/users", json={"name": "Ada", "email": "u1500@example.com", "password": "correct horse"})

    failed = ended(client, upload(client, file_of(3000), on_conflict="fail")["id"])

    assert ("failed", 1000) == (failed["state"], failed["records"])
    assert "line 1502: the email is taken: it was in the database before" == failed["failure"]
    assert [(expected(1000)["inserted"] + 1,)] == rows(database_url, "SELECT count(*) FROM users")


@pytest.mark.parametrize(
    ("content", "headers", "rejected"),
    [
        (b"", CSV, (422, "The body is wrong.")),
        (gzip.compress(b"name,email\n", mtime=0), CSV, (415, "compressed with gzip")),
        (b"PK\x03\x04" + b"x" * 100, CSV, (415, "a zip archive")),
        (b"name,email\nA,a@b.cc\n", {"Content-Type": "application/json"}, (415, "text/csv")),
        (b"name,email\nA,a@b.cc\n", CSV | {"Content-Encoding": "gzip"}, (415, "must not be compressed")),
        (b"name,email\n" + b"A,a@b.cc\n" * 300_000, CSV, (413, "2000000 bytes")),
    ],
    ids=["empty", "gzip", "zip", "of another type", "encoded", "too large"],
)
def test_what_is_no_upload_is_rejected_at_once(
    client: httpx2.Client, database_url: str, content: bytes, headers: dict[str, str], rejected: tuple[int, str]
) -> None:
    status, detail = rejected
    for body in (content, iter([content])):  # with a declared length, and without
        response = client.post("/api/imports", content=body, headers=headers)
        assert (status, True) == (response.status_code, detail in response.json()["detail"]), response.text

    assert [(0, 0)] == rows(database_url, "SELECT (SELECT count(*) FROM imports), (SELECT count(*) FROM import_chunks)")


def test_a_client_that_leaves_in_mid_upload_leaves_nothing(
    server: Server, client: httpx2.Client, database_url: str
) -> None:
    content = file_of(20_000).encode()
    with server.connect() as connection:
        head = (
            f"POST /api/imports HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        connection.sendall(head.encode() + content[:600_000])
        until(lambda: rows(database_url, "SELECT count(*) FROM import_chunks") == [(2,)])
        connection.shutdown(socket.SHUT_RDWR)
    until(lambda: rows(database_url, "SELECT count(*) FROM imports") == [(0,)])

    assert [(0,)] == rows(database_url, "SELECT count(*) FROM import_chunks")
    assert 200 == client.get("/health/ready").status_code
    assert "done" == ended(client, upload(client, file_of(10))["id"])["state"]


def test_a_slow_upload_outlives_the_time_limit_of_requests(folder: Path) -> None:
    content = file_of(50).encode()

    def slowly() -> Iterator[bytes]:
        for begin in range(0, len(content), 400):
            time.sleep(0.2)
            yield content[begin : begin + 400]

    with Server(folder, REQUEST_TIMEOUT_SECONDS="0.5") as server, server.client() as client:
        started = time.monotonic()
        response = client.post("/api/imports", content=slowly(), headers=CSV)
        assert 202 == response.status_code
        assert time.monotonic() - started > 0.8


def test_a_cancelled_import_stores_nothing_more(client: httpx2.Client, database_url: str) -> None:
    import_id = upload(client, file_of(40_000))["id"]
    wait_for_a_batch(client, import_id)

    cancelled = client.delete(f"/api/imports/{import_id}").json()

    assert "cancelled" == cancelled["state"]
    assert 0 < cancelled["records"] < 40_000
    time.sleep(0.5)
    assert (
        cancelled == client.get(f"/api/imports/{import_id}").json() == client.delete(f"/api/imports/{import_id}").json()
    )
    require_exactly(database_url, cancelled["records"])


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)


def is_beyond(begun: int, now: Callable[[], int]) -> bool:
    return now() > begun


def wait_for_a_batch(client: httpx2.Client, import_id: str) -> None:
    """Return when one more is committed; while the database is lost, none is."""

    def now() -> int:
        return int(client.get(f"/api/imports/{import_id}").json().get("records", 0))

    until(partial(is_beyond, now(), now), 20)


def records(database_url: str) -> int:
    return int(rows(database_url, "SELECT coalesce(max(records), 0) FROM imports")[0][0])


# Crashes.


def test_kill_9_at_random_moments_loses_and_doubles_nothing(folder: Path, database_url: str) -> None:
    count, chance = 40_000, random.Random(7)  # noqa: S311 - no secret
    variables, import_id, kills, halts = options(database_url), "", 0, set()
    while kills < KILLS:
        with Server(folder, **variables) as server, server.client() as client:
            if not import_id:
                import_id = upload(client, file_of(count))["id"]
            wait_for_a_batch(client, import_id)
            time.sleep(chance.uniform(0, 0.06))
            server.signal(signal.SIGKILL)
        kills += 1
        halts.add(rows(database_url, "SELECT records FROM imports")[0][0])
        assert halts != {count}
    with Server(folder, **variables) as server, server.client() as client:
        done = ended(client, import_id, 30)

    assert ("done", expected(count)) == (done["state"], counts(done))
    assert len(halts) > KILLS / 2
    require_exactly(database_url, count)


def test_an_import_in_the_middle_of_a_shutdown_is_given_back(folder: Path, database_url: str) -> None:
    variables = options(database_url, JOBS_LEASE_SECONDS="600")
    with Server(folder, **variables) as server, server.client() as client:
        import_id = upload(client, file_of(40_000))["id"]
        wait_for_a_batch(client, import_id)
        server.signal()
        assert 0 == server.exit_code(within_seconds=5)
    assert rows(database_url, "SELECT records FROM imports")[0][0] < 40_000

    with Server(folder, **variables) as server, server.client() as client:
        assert expected(40_000) == counts(ended(client, import_id))
    require_exactly(database_url, 40_000)


def test_an_import_goes_on_after_its_database_was_lost(folder: Path, postgresql_url: str) -> None:
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    of_database = f"{cut} AND datname = current_database()"
    with Server(folder, **options(postgresql_url)) as server, server.client() as client:
        import_id = upload(client, file_of(40_000))["id"]
        for _ in range(3):
            wait_for_a_batch(client, import_id)
            rows(postgresql_url, of_database)
        assert expected(40_000) == counts(ended(client, import_id, 40))

    require_exactly(postgresql_url, 40_000)


def test_an_import_goes_on_after_the_disk_of_postgresql_was_full(folder: Path, postgresql_url: str) -> None:
    """A trigger stands for the disk: it raises what the server does, at the second batch."""
    full = "IF NEW.email = 'u1500@example.com' THEN RAISE EXCEPTION USING ERRCODE = '53100'; END IF; RETURN NEW;"
    with Server(folder, **options(postgresql_url)) as server, server.client() as client:
        rows(postgresql_url, f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {full} END $$")
        trigger = "CREATE TRIGGER full_disk BEFORE INSERT ON users FOR EACH ROW"
        rows(postgresql_url, f"{trigger} EXECUTE FUNCTION full_disk()")
        import_id = upload(client, file_of(3500))["id"]
        until(lambda: rows(postgresql_url, "SELECT 1 FROM jobs WHERE error IS NOT NULL"), 20)
        assert 1000 == client.get(f"/api/imports/{import_id}").json()["records"]
        rows(postgresql_url, "DROP FUNCTION full_disk CASCADE")
        done = ended(client, import_id)

    assert ("done", None, expected(3500)) == (done["state"], done["failure"], counts(done))
    require_exactly(postgresql_url, 3500)


def test_a_job_whose_upload_was_removed_ends(folder: Path, postgresql_url: str) -> None:
    """As when its client left just when it was queued."""
    with Server(folder, **options(postgresql_url, JOBS_IN_SERVE="false")) as server, server.client() as client:
        upload(client, file_of(10))
    rows(postgresql_url, "DELETE FROM import_chunks")
    rows(postgresql_url, "DELETE FROM imports")

    with Server(folder, **options(postgresql_url)) as server:
        server.line("job done", job="csv_import")


# Where the database or the worker is another one.


def test_a_file_is_imported_through_pgbouncer(folder: Path, postgresql_url: str, pgbouncer_url: str) -> None:
    """In transaction mode: what a session holds, such as a temporary table, ends with each transaction."""
    variables = options(pgbouncer_url, DATABASE_DIRECT_URL=postgresql_url)
    with Server(folder, **variables) as server, server.client() as client:
        assert expected(3500) == counts(ended(client, upload(client, file_of(3500))["id"]))

    require_exactly(postgresql_url, 3500)


def test_a_worker_imports_over_nats_what_another_process_received(
    folder: Path, postgresql_url: str, nats_server: NatsServer
) -> None:
    variables = options(postgresql_url, JOBS_URL=nats_server.url)
    with Server(folder, JOBS_IN_SERVE="false", **variables) as server, server.client() as client:
        import_id = upload(client, file_of(3500))["id"]
        assert "queued" == client.get(f"/api/imports/{import_id}").json()["state"]
        with Worker(folder, **variables) as worker:
            assert expected(3500) == counts(ended(client, import_id))
            worker.line("job done", job="csv_import")

    require_exactly(postgresql_url, 3500)


# By the command.


def imported(folder: Path, database_url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the result of `users import`."""
    result = run(folder, "users", "import", *arguments, "--format", "json", service=SERVICE, DATABASE_URL=database_url)
    assert result.stdout, result.stderr
    return result.returncode, dict(json.loads(result.stdout))


def test_the_command_imports_and_writes_rejects_and_stores_nothing_in_a_dry_run(
    folder: Path, database_url: str
) -> None:
    path, rejects = folder / "users.csv", folder / "rejects.csv"
    path.write_text(file_of(2500))
    for state, more in (("dry run", ["--dry-run"]), ("done", [])):
        code, result = imported(folder, database_url, str(path), "--rejects", str(rejects), *more)

        assert (0, state, expected(2500)) == (code, result["state"], counts(result))
        written = list(csv.reader(rejects.read_text().splitlines()))
        assert expected(2500)["rejected"] == len(written) - 1
        assert [(0 if more else expected(2500)["inserted"],)] == rows(database_url, "SELECT count(*) FROM users")
    for on_conflict, updated in (("skip", 0), ("update", 0)):
        code, result = imported(folder, database_url, str(path), "--dry-run", "--on-conflict", on_conflict)
        assert (updated, expected(2500)["inserted"]) == (result["updated"], result["skipped"])
    code, result = imported(folder, database_url, str(path), "--dry-run", "--on-conflict", "fail")
    assert (1, "line 2: the email is taken: it was in the database before") == (code, result["failure"])


def test_the_command_says_what_is_no_file_and_what_is_no_csv(folder: Path, sqlite_url: str) -> None:
    gone = run(folder, "users", "import", "gone.csv", service=SERVICE, DATABASE_URL=sqlite_url)
    assert (2, "") == (gone.returncode, gone.stdout)
    assert "'gone.csv' cannot be used: No such file or directory" in gone.stderr.splitlines()
    wrong = run(folder, "users", "import", "gone.csv", "--encoding", "rot13", service=SERVICE, DATABASE_URL=sqlite_url)
    assert (2, True) == (wrong.returncode, "'rot13' is no encoding that is accepted: utf-8" in wrong.stderr)

    (folder / "open.csv").write_text('name,email\nA,a@b.cc\n"B,b@b.cc\n')
    code, result = imported(folder, sqlite_url, "open.csv")
    assert (1, "failed", 1) == (code, result["state"], result["inserted"])
    assert "line 3: a quote is opened and not closed before the end of the file" == result["failure"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["users.csv", "--rejects", "users.csv"], "--rejects 'users.csv' is the file that is imported: name another"),
        (["users.csv", "--rejects", "link.csv"], "--rejects 'link.csv' is the file that is imported: name another"),
        (["users.csv", "--rejects", "/dev/full"], "'/dev/full' cannot be used: No space left on device"),
        (["users.csv", "--rejects", "gone/a.csv"], "'gone/a.csv' cannot be used: No such file or directory"),
        (["."], "'.' is no ordinary file; it is read twice, so save first what a pipe sends"),
        (["/dev/null"], "'/dev/null' is no ordinary file; it is read twice, so save first what a pipe sends"),
    ],
)
def test_the_command_says_which_file_it_cannot_use_and_destroys_none(
    folder: Path, sqlite_url: str, arguments: list[str], reason: str
) -> None:
    (folder / "users.csv").write_text(file_of(100))
    (folder / "link.csv").symlink_to("users.csv")
    result = run(folder, "users", "import", *arguments, service=SERVICE, DATABASE_URL=sqlite_url)

    assert (2, "") == (result.returncode, result.stdout)
    assert reason in result.stderr.splitlines()
    assert "Traceback" not in result.stderr
    assert file_of(100) == (folder / "users.csv").read_text()


class Importing(Command):
    """`users import`, which is to be killed."""

    service = SERVICE
    command = "users import users.csv"


def test_a_killed_command_goes_on_when_it_is_started_again(folder: Path, database_url: str) -> None:
    (folder / "users.csv").write_text(file_of(40_000))
    for _ in range(3):
        with Importing(folder, DATABASE_URL=database_url) as command:
            begun = records(database_url)
            until(partial(is_beyond, begun, partial(records, database_url)))
            command.signal(signal.SIGKILL)
    code, result = imported(folder, database_url, "users.csv")

    assert (0, "done", expected(40_000)) == (code, result["state"], counts(result))
    assert [(1,)] == rows(database_url, "SELECT count(*) FROM imports")
    require_exactly(database_url, 40_000)
