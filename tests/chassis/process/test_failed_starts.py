"""What an operator reads when the database cannot be used: its address, the driver's reason, and what to check."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from acme_service.chassis.settings import SecretUrl

from tests.databases import PostgreSQL

from .command import run
from .service import in_thread

PRODUCTION = {"APP_ENV": "production", "ALLOWED_HOSTS": "127.0.0.1", "DRAIN_DELAY_SECONDS": "0"}
SECRET = "Fq7vK2mZx9LtR4wB"


def free_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port: int = closed.getsockname()[1]
        return port


def text_file(folder: Path) -> str:
    (folder / "notes.db").write_text("This is no database at all, but a text of more than a hundred bytes. " * 3)
    return f"sqlite:///{folder}/notes.db"


def wide_database(folder: Path) -> str:
    with contextlib.closing(sqlite3.connect(folder / "wide.db")) as database, database:
        database.execute("PRAGMA encoding = 'UTF-16le'")
        database.execute("CREATE TABLE one (id TEXT)")
    return f"sqlite:///{folder}/wide.db"


def folder_below_a_file(folder: Path) -> str:
    (folder / "file").touch()
    return f"sqlite:///{folder}/file/below/service.db"


def folder_in_its_place(folder: Path) -> str:
    (folder / "place.db").mkdir()
    return f"sqlite:///{folder}/place.db"


CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "refused": (
        lambda _: f"postgresql://service:{SECRET}@127.0.0.1:{free_port()}/service",
        "Connection refused",
    ),
    "two addresses refused": (
        lambda _: f"postgresql://service:{SECRET}@localhost:{free_port()}/service",
        "Connection refused",
    ),
    "no socket": (lambda folder: f"postgresql://service:{SECRET}@/service?host={folder}", "No such file or directory"),
    "no such host": (
        lambda _: f"postgresql://service:{SECRET}@db.invalid/service",
        "ame or service not known|resolution",
    ),
    "no database": (text_file, "file is not a database"),
    "wrong encoding": (wide_database, "its encoding is UTF-16le, not UTF-8"),
    "no folder": (folder_below_a_file, "Not a directory"),
    "a folder": (folder_in_its_place, "unable to open database file|[Ii]s a directory"),
    "unwritable": (lambda _: "sqlite:////proc/service.db", "No such file or directory|Permission denied|not permitted"),
}


def told(folder: Path, command: str, url: str) -> str:
    """The cause that *command* tells, of a database that cannot be used; in one line of the log, and no other."""
    result = run(folder, command, DATABASE_URL=url, **PRODUCTION)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    [line] = [line for line in lines if line["level"] in {"error", "critical"}]

    assert (3, "") == (result.returncode, result.stderr)
    assert SECRET not in result.stdout
    assert "exception" not in line
    cause: str = line.get("cause") or line["reason"]
    assert cause.startswith(f"{SecretUrl(url).masked()}: ")
    return cause


@pytest.mark.parametrize(
    ("command", "case"), [*(("serve", case) for case in CASES), ("migrate", "refused"), ("migrate", "no database")]
)
def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path, case: str, command: str) -> None:
    url, reason = CASES[case]

    assert re.search(reason, told(tmp_path, command, url(tmp_path)))


class RejectingServer:
    """Speaks as much of PostgreSQL's protocol as it takes to reject a client with *code* and *message*."""

    def __init__(self, code: str, message: str) -> None:
        fields = f"SFATAL\0C{code}\0M{message}\0\0".encode()
        self._rejection = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    while client.recv(4096)[4:8] == (80877103).to_bytes(4, "big"):  # it asks for TLS
                        client.sendall(b"N")
                    client.sendall(self._rejection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.mark.parametrize(
    ("code", "message"),
    [("28P01", 'password authentication failed for user "service"'), ("53300", "sorry, too many clients already")],
)
def test_a_server_that_rejects_is_quoted(tmp_path: Path, code: str, message: str) -> None:
    with contextlib.closing(RejectingServer(code, message)) as server:
        url = f"postgresql://service:{SECRET}@127.0.0.1:{server.port}/service"

        assert message in told(tmp_path, "serve", url)


def test_a_server_that_is_silent_is_left_at_the_seconds_of_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waits = in_thread(lambda: seconds_until_it_leaves(listener))
        url = f"postgresql://service:{SECRET}@127.0.0.1:{listener.getsockname()[1]}/service"
        result = run(tmp_path, "serve", DATABASE_URL=url, DB_CONNECT_TIMEOUT_SECONDS="0.3", **PRODUCTION)

    assert 3 == result.returncode
    assert "no reply in time" in result.stdout
    assert waits() < 2.5, "the default is 3 s"


def seconds_until_it_leaves(listener: socket.socket) -> float:
    client, _ = listener.accept()
    started = time.monotonic()
    with client:
        while client.recv(4096):
            pass
    return time.monotonic() - started


@pytest.fixture
def other_encoding(postgresql_server: PostgreSQL) -> Iterator[str]:
    address = make_url(postgresql_server.create()).set(database="latin")
    postgresql_server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    yield address.render_as_string(hide_password=False)
    postgresql_server.drop(address.render_as_string(hide_password=False))


def test_a_database_of_another_encoding_is_refused(other_encoding: str, tmp_path: Path) -> None:
    assert "its encoding is LATIN1, not UTF-8" in told(tmp_path, "serve", other_encoding)


def test_an_unknown_database_is_told_by_the_server(postgresql_url: str, tmp_path: Path) -> None:
    missing = make_url(postgresql_url).set(database="missing").render_as_string(hide_password=False)

    assert 'database "missing" does not exist' in told(tmp_path, "serve", missing)
