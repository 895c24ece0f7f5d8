"""What an owner ordinarily changes is done as docs/extending.md says, without touching the chassis, and works."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Self

import guide
import pytest
from conftest import GIT, Render, make, project_environment, run

PAGE = "docs/extending.md"
COMMAND = ".venv/bin/acme-service"
SECONDS = 20.0
ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery staple"}
ECHO = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1], additional_headers=dict(zip(*[iter(sys.argv[2:])] * 2))) as socket:
    socket.send("hello")
    print(socket.recv())
"""

Change = Callable[..., Path]


class Serving:
    """`serve` as a running process in *folder*, on the database *database*."""

    def __init__(self, folder: Path, database: Path, **variables: str) -> None:
        self.lines: list[dict[str, Any]] = []
        self._fresh: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = subprocess.Popen(
            [COMMAND, "serve"],
            cwd=folder,
            env=project_environment(PORT="0", DATABASE_URL=f"sqlite:///{database}", **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.port = self.line("listening")["port"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._fresh.put(json.loads(line))
        self._fresh.put(None)

    def line(self, event: str, after: int = 0, **fields: object) -> dict[str, Any]:
        """The first line, from *after* on, of *event* with these *fields*."""
        wanted = {"event": event, **fields}
        ends = time.monotonic() + SECONDS
        while True:
            for line in self.lines[after:]:
                if wanted.items() <= line.items():
                    return line
            fresh = self._fresh.get(timeout=max(0.01, ends - time.monotonic()))
            assert fresh is not None, f"the process ended without {wanted}: {self.lines}"
            self.lines.append(fresh)

    def ask(self, method: str, path: str, body: object = None, token: str = "", **more: str) -> tuple[int, Any, bytes]:
        """The status, headers and body of one response; *more* are fields of the request."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= more
        connection = HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def metrics(self) -> list[str]:
        return self.ask("GET", "/metrics")[2].decode().splitlines()

    def token(self) -> str:
        """An access token of a user, who is registered for it."""
        self.ask("POST", "/api/auth/register", ADA)
        credentials = {name: ADA[name] for name in ("email", "password")}
        token: str = json.loads(self.ask("POST", "/api/auth/login", credentials)[2])["access_token"]
        return token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Stop as an orchestrator does; the process has to end clean."""
        try:
            self._process.send_signal(signal.SIGTERM)
            code = self._process.wait(SECONDS)
            while (line := self._fresh.get(timeout=SECONDS)) is not None:
                self.lines.append(line)
        finally:
            self._process.kill()
        assert kind is not None or code == 0, self.lines


@pytest.fixture(scope="module")
def owned(render: Render, open_folder: Path) -> Path:
    """A project that is set up and committed, and beside it a database that is up to date."""
    folder = render(output=open_folder / "owned")
    make(folder, "setup")
    run([*GIT, "init", "--quiet"], folder)
    run([*GIT, "add", "--all"], folder)
    run([*GIT, "commit", "--quiet", "--message", "As rendered"], folder)
    run([COMMAND, "migrate"], folder, DATABASE_URL=f"sqlite:///{folder.parent}/new.db")
    return folder


@pytest.fixture
def change(owned: Path) -> Iterator[Change]:
    """Makes the changes of the page's sections, and checks them; they are undone at the end.

    Fails if a file of the chassis was touched.
    """

    def changed(*headings: str, check: bool = True) -> Path:
        page = {**guide.sections(owned / PAGE), **guide.sections(owned / "docs/architecture.md")}
        for heading in headings:
            guide.apply(owned, page[heading])
        if check:
            make(owned, "check")
        return owned

    try:
        yield changed
        assert "chassis/" not in run([*GIT, "status", "--porcelain", "--untracked-files=all"], owned)
    finally:
        run([*GIT, "reset", "--quiet", "--hard"], owned)
        run([*GIT, "clean", "--quiet", "-fd"], owned)


@pytest.fixture
def database(owned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(owned.parent / "new.db", tmp_path / "service.db"))


def _routes(folder: Path) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in run([COMMAND, "routes"], folder).splitlines()]


def test_a_resource(change: Change, database: Path) -> None:
    folder = change("Add a resource")
    run([COMMAND, "migrate"], folder, DATABASE_URL=f"sqlite:///{database}")

    assert ["POST", "/api/orders", "orders", "authenticated"] in _routes(folder)
    with Serving(folder, database) as service:
        token = service.token()
        status, headers, placed = service.ask("POST", "/api/orders", {"item": "tea"}, token)
        found = service.ask("GET", headers["Location"], token=token)[2]

        assert (201, placed) == (status, found)
        assert 401 == service.ask("POST", "/api/orders", {"item": "tea"})[0]


def test_a_setting(change: Change) -> None:
    folder = change("A setting")

    assert "PAYMENTS_HOST=pay.example:443\n" in run([COMMAND, "config"], folder, PAYMENTS_HOST="pay.example:443")
    environment = project_environment(PAYMENTS_HOST="not a host")
    command = [COMMAND, "config", "--check"]
    wrong = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (78, True) == (wrong.returncode, "PAYMENTS_HOST" in wrong.stderr)


def test_a_metric(change: Change, database: Path) -> None:
    with Serving(change("A metric"), database) as service:
        before = service.metrics()
        service.token()

        assert "users_created_total 0.0" in before
        assert "users_created_total 1.0" in service.metrics()


def test_a_middleware(change: Change, database: Path) -> None:
    with Serving(change("A middleware"), database) as service:
        replicas = {service.ask("GET", path)[1]["X-Replica"] for path in ("/", "/nowhere")}

    assert {os.uname().nodename} == replicas


def test_an_error_type(change: Change, database: Path) -> None:
    folder = change("An error type")
    with Serving(folder, database) as service:
        status, headers, body = service.ask("POST", "/api/auth/register", {**ADA, "email": "ada@blocked.example"})

    problem = json.loads(body)
    assert (409, "application/problem+json") == (status, headers["Content-Type"])
    assert ("urn:problem-type:acme-service:domain-blocked", "E-mail domain blocked") == (
        problem["type"],
        problem["title"],
    )
    slugs = "import acme_service.errors; from acme_service.chassis.errors import problem_types; print(*problem_types())"
    for slug in run([".venv/bin/python", "-c", slugs], folder).split():
        assert (folder / f"docs/problems/{slug}.md").is_file()
        assert f"]({slug}.md)" in (folder / "docs/problems/README.md").read_text("utf-8")


def test_a_command(change: Change, database: Path) -> None:
    folder = change("A command")
    with Serving(folder, database) as service:
        service.token()
    counted = subprocess.run(
        [COMMAND, "count-users"],
        cwd=folder,
        env=project_environment(DATABASE_URL=f"sqlite:///{database}"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "1\n") == (counted.returncode, counted.stdout)
    assert "count-users" in run([COMMAND, "--help"], folder)


def test_a_periodic_task(change: Change, database: Path) -> None:
    with Serving(change("A periodic task"), database) as service:
        assert 0 == service.line("users counted")["users"]


def test_a_periodic_task_that_fails_is_reported_and_goes_on(change: Change, database: Path) -> None:
    folder = change("A periodic task", "An error tracker", check=False)
    app = folder / "src/acme_service/app.py"
    app.write_text(app.read_text("utf-8").replace("tasks.every(60,", "tasks.every(0.1,"), "utf-8")

    with Serving(folder, database) as service:
        service.line("users counted")
        with _without_users(database):
            failed = service.line("periodic task failed", task="user report")
            service.line("error tracked", where="background task", transaction="user report")
            failures = [line for line in service.metrics() if line.startswith("unhandled_exceptions_total")]
        service.line("users counted", after=len(service.lines))

    assert "error" == failed["level"]
    assert "exception" in failed
    assert ['unhandled_exceptions_total{where="background task"}'] == [line.rpartition(" ")[0] for line in failures]


def test_callers_with_a_key(render: Render, open_folder: Path, tmp_path: Path) -> None:
    """Where nothing else identifies callers."""
    folder = render(output=open_folder / "without-auth", auth="no")
    make(folder, "setup")
    guide.apply(folder, guide.sections(folder / "docs/callers.md")["Callers with a key"])
    make(folder, "check")
    run([".venv/bin/pytest", "-q", "tests/test_service.py"], folder)

    key = secrets.token_urlsafe(32)
    with Serving(folder, tmp_path / "service.db", PARTNERS_KEY=key) as service:
        statuses = [service.ask("POST", "/api/users", ADA, **{"X-API-Key": given})[0] for given in ("", "x", key)]
        scheme = json.loads(service.ask("GET", "/openapi.json")[2])["components"]["securitySchemes"]
    with Serving(folder, tmp_path / "service.db") as service:
        unset = [service.ask("GET", "/api/users", **{"X-API-Key": given})[0] for given in ("", key)]

    assert ([401, 401, 201], [401, 401]) == (statuses, unset)
    assert ["X-API-Key"] == [each["name"] for each in scheme.values()]


def test_a_readiness_check(change: Change, database: Path) -> None:
    class Provider(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be silent."""

    folder = change("A setting", "A readiness check")
    with HTTPServer(("127.0.0.1", 0), Provider) as provider:
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        with Serving(folder, database, PAYMENTS_HOST=f"127.0.0.1:{provider.server_port}") as service:
            assert 200 == service.ask("GET", "/health/ready")[0]
            Provider.status = 500
            time.sleep(0.4)  # a verdict stands for 0.3 s
            assert 503 == service.ask("GET", "/health/ready")[0]
            assert {"payments": "ConnectionError: status 500"} == service.line("not ready")["failing"]
            Provider.status = 200
            time.sleep(0.4)
            assert 200 == service.ask("GET", "/health/ready")[0]
        provider.shutdown()


def test_a_start_and_stop_hook(change: Change, database: Path) -> None:
    with Serving(change("A start and stop hook"), database) as service:
        assert "prices 2.0" in service.metrics()

    assert "prices" in [line["resource"] for line in service.lines if line["event"] == "resource closed"]


def test_a_websocket(change: Change, database: Path) -> None:
    folder = change("A websocket")

    assert ["WEBSOCKET", "/api/echo", "echo", "authenticated"] in _routes(folder)
    with Serving(folder, database) as service:
        echo = [".venv/bin/python", "-c", ECHO, f"ws://127.0.0.1:{service.port}/api/echo"]
        assert "hello\n" == run([*echo, "Authorization", f"Bearer {service.token()}"], folder)
        stranger = subprocess.run(echo, cwd=folder, capture_output=True, text=True, check=False)
        assert "HTTP 401" in stranger.stderr


def test_a_mounted_fastapi_application(change: Change, database: Path) -> None:
    try:
        folder = change("A mounted application")
    except pytest.fail.Exception as failure:
        if "uv add" not in str(failure) or "CI" in os.environ:
            raise
        pytest.skip(f"FastAPI cannot be installed: {failure}")

    assert ["MOUNT", "/reports", "reports", "authenticated"] in _routes(folder)
    with Serving(folder, database) as service:
        token = service.token()
        assert (200, {"year": 2026}) == _json(service.ask("GET", "/reports/years/2026", token=token))
        assert 422 == service.ask("GET", "/reports/years/last", token=token)[0]
        assert 401 == service.ask("GET", "/reports/years/2026")[0]


def test_static_files(change: Change, database: Path) -> None:
    folder = change("Static files")

    assert ["MOUNT", "/static", "static", "public"] in _routes(folder)
    with Serving(folder, database) as service:
        status, headers, body = service.ask("GET", "/static/robots.txt")

    assert (200, "text/plain; charset=utf-8") == (status, headers["Content-Type"])
    assert (folder / "src/acme_service/static/robots.txt").read_bytes() == body


def test_a_web_page(change: Change, database: Path) -> None:
    folder = change("A web page")

    assert ["GET", "/status", "status.page", "public"] in _routes(folder)
    with Serving(folder, database) as service:
        found = [service.ask("GET", path)[:2] for path in ("/status", "/status/assets/status.css")]

    assert [200, 200] == [status for status, _ in found]
    assert ["text/html", "text/css"] == [headers["Content-Type"].partition(";")[0] for _, headers in found]
    assert "default-src 'self'" in found[0][1]["Content-Security-Policy"]


def test_a_log_field(change: Change, database: Path) -> None:
    with Serving(change("A log field"), database) as service:
        service.token()
        created = service.line("user created")
        access = service.line("request", path="/api/auth/register")
        other = service.line("request", path="/api/auth/login")

    assert {os.uname().nodename} == {line.get("replica") for line in service.lines}
    assert created["user_id"]
    assert access["request_id"] == created["request_id"]
    assert "user_id" not in other


def test_an_error_tracker(change: Change, database: Path) -> None:
    with Serving(change("An error tracker"), database) as service:
        with _without_users(database):
            status, headers, _ = service.ask("POST", "/api/auth/register", ADA)
        tracked = service.line("error tracked")

    assert 500 == status
    assert ("request", "POST /api/auth/register") == (tracked["where"], tracked["transaction"])
    assert headers["X-Request-ID"] == tracked["request_id"]


def test_every_section_of_the_page_has_its_test(owned: Path) -> None:
    here = Path(__file__).read_text("utf-8")

    for heading in guide.sections(owned / PAGE):
        assert f'change("{heading}"' in here or f', "{heading}")' in here, heading


def test_the_page_fits_a_project_without_features(render: Render) -> None:
    folder = render(profile="minimal")
    page = guide.sections(folder / PAGE)

    for heading, section in page.items():
        copy = Path(shutil.copytree(folder, folder.with_name(heading)))
        for needed in (page["A setting"],) if heading == "A readiness check" else ():
            guide.apply(copy, needed, commands=False)
        guide.apply(copy, section, commands=False)
        for source in copy.rglob("src/**/*.py"):
            compile(source.read_text("utf-8"), source, "exec")


def _json(answer: tuple[int, Any, bytes]) -> tuple[int, Any]:
    return answer[0], json.loads(answer[2])


@contextmanager
def _without_users(database: Path) -> Iterator[None]:
    """The table of users is gone meanwhile."""
    connection = sqlite3.connect(database, timeout=SECONDS)
    connection.execute("PRAGMA legacy_alter_table=ON")
    connection.execute("ALTER TABLE users RENAME TO elsewhere")
    connection.commit()
    try:
        yield
    finally:
        connection.execute("ALTER TABLE elsewhere RENAME TO users")
        connection.commit()
        connection.close()
