"""Each command, as an operator runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from acme_service import SERVICE_NAME, __version__

from .command import PACKAGE, Command, TypedCommand, environment, run, wait_until_ready

PRODUCTION = {"APP_ENV": "production", "ALLOWED_HOSTS": "127.0.0.1", "DRAIN_DELAY_SECONDS": "0"}
COMMANDS = ["serve", "migrate", "makemigration", "config", "routes", "healthcheck"]


class Installed(Command):
    """The service of the project, by its console command."""

    def serve(self, folder: Path) -> None:
        console_command = str(Path(sys.executable).with_name(SERVICE_NAME))
        self.start([console_command, "serve"], cwd=folder, env=self.environment)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command, "--help")

    assert result.returncode == 0
    assert "example: " in result.stdout


def test_the_program_lists_its_commands_and_names_its_version(tmp_path: Path) -> None:
    listed, version = run(tmp_path, "--help"), run(tmp_path, "--version")

    assert set(COMMANDS) <= {line.split()[0] for line in listed.stdout.splitlines() if line.startswith("    ")}
    assert (0, f"{SERVICE_NAME} {__version__}\n") == (version.returncode, version.stdout)


def test_bad_settings_are_told_all_at_once_before_a_port_opens(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "serve",
        APP_ENV="production",
        PORT="eighty",
        DEBUG="true",
        DATABASE_URL="postgresql://app:hunter2@db/app?sslmode=nonsense&port=eighty",
        REDIS_URL="http://hunter2@cache",
    )

    assert result.returncode == 78
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert {"ALLOWED_HOSTS", "DEBUG", "PORT", "REDIS_URL"} <= {line.split(":")[0].split()[0] for line in lines}
    assert "hunter2" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_log_file_that_cannot_be_opened_is_a_bad_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, "serve", LOG_FILE=str(tmp_path / "file" / "service.log"))

    assert (78, "") == (result.returncode, result.stdout)
    assert 1 == len(result.stderr.splitlines())
    assert result.stderr.startswith("LOG_FILE: ")


@pytest.mark.parametrize("module", ["pydantic", "dotenv", "orjson", "structlog"])
def test_a_module_that_cannot_be_imported_before_there_is_a_log_is_one_line(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise RuntimeError('broken\\non purpose')")
    result = run(tmp_path, "serve", PYTHONPATH=str(tmp_path))

    assert (3, "") == (result.returncode, result.stdout)
    assert f"start-up failed: RuntimeError: broken on purpose ({tmp_path / module}.py:1)\n" == result.stderr


def test_a_module_that_cannot_be_imported_is_a_failed_start(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise RuntimeError('broken on purpose')")
    result = run(tmp_path, "serve", PYTHONPATH=str(tmp_path))
    (line,) = map(json.loads, result.stdout.splitlines())

    assert (3, "") == (result.returncode, result.stderr)
    assert ("start-up failed", "broken on purpose") == (line["event"], line["cause"])


PRINTS = "print('from a library'); raise RuntimeError('broken on purpose')"


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_what_a_library_prints_is_a_log_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "sqlalchemy.py").write_text(PRINTS)
    result = run(tmp_path, command, PYTHONPATH=str(tmp_path))
    printed, _ = map(json.loads, result.stdout.splitlines())

    assert ("from a library", "stdout", "info") == (printed["event"], printed["logger"], printed["level"])
    assert "" == result.stderr


def test_what_is_printed_at_a_terminal_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text(PRINTS)
    _, shown = run_at_a_terminal(tmp_path, "serve", PYTHONPATH=str(tmp_path))

    assert "from a library" in shown.splitlines()


def test_config_prints_the_settings_with_secrets_masked(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ALLOWED_HOST=api.example.org\n")
    result = run(tmp_path, "config", DATABASE_URL="postgresql://app:hunter2hunter2@db/app")

    assert result.returncode == 0
    assert "ALLOWED_HOSTS" in result.stderr
    assert "APP_ENV=development" in result.stdout.splitlines()
    assert "hunter2hunter2" not in result.stdout + result.stderr


def test_config_check_prints_nothing_and_judges(tmp_path: Path) -> None:
    good, bad = run(tmp_path, "config", "--check"), run(tmp_path, "config", "--check", PORT="eighty")

    assert (0, "") == (good.returncode, good.stdout)
    assert (78, "") == (bad.returncode, bad.stdout)


def test_routes_lists_methods_paths_names_and_who_may_call(tmp_path: Path) -> None:
    lines = [line.split() for line in run(tmp_path, "routes", OPERATIONS_PORT="9000").stdout.splitlines()]

    assert ["POST", "/api/users", "users", "public"] in lines
    assert ["DELETE", "/api/users/{user_id}", "user", "public"] in lines
    assert ["GET", "/metrics", "metrics", "public"] in lines


def test_production_rejects_an_old_schema_and_names_the_remedy(tmp_path: Path) -> None:
    rejected = run(tmp_path, "serve", **PRODUCTION, LOG_FORMAT="console")

    assert rejected.returncode == 3
    assert " migrate`" in rejected.stdout
    assert "then start again" in rejected.stdout
    assert "lifespan.py" not in rejected.stdout
    assert not rejected.stdout.startswith("{")
    assert rejected.stderr == ""

    migrated = run(tmp_path, "migrate", **PRODUCTION, LOG_LEVEL="error")
    assert (0, "") == (migrated.returncode, migrated.stdout)
    with TypedCommand(tmp_path, **PRODUCTION) as service:
        service.port()
        service.signal()
        assert service.exit_code(within_seconds=5) == 0


def test_a_migration_that_fails_ends_the_start(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "service.db")) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('0000')")
    rejected = run(tmp_path, "serve")

    assert rejected.returncode == 3
    assert '"migration failed"' in rejected.stdout
    assert "Can't locate revision identified by '0000'" in rejected.stdout
    assert "the migration ended with exit code 3" in rejected.stdout
    assert [] == [line for line in map(json.loads, rejected.stdout.splitlines()) if "exception" in line]
    assert rejected.stderr == ""


def test_a_migration_without_a_database_says_why_and_hides_the_password(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = f"postgresql://app:hunter2hunter2@127.0.0.1:{port}/app"
        code, shown = run_at_a_terminal(tmp_path, "migrate", DATABASE_URL=url)

    assert code == 3
    assert "migration failed" in shown
    assert "hunter2" not in shown
    assert "Traceback" not in shown
    assert "{" not in shown


def run_at_a_terminal(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """The exit code, and all that a person sees; in development that is text for people, not JSON."""
    screen, terminal = os.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", PACKAGE, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        # Linux ends the reading with EIO, others with nothing.
        with os.fdopen(screen, "rb", buffering=0) as lines, contextlib.suppress(OSError):
            while piece := lines.read(65536):
                shown += piece
    return process.returncode, shown.decode()


def test_healthcheck_follows_the_service(folder: Path) -> None:
    with Command(folder) as service:
        port = str(service.port())
        assert run(folder, "healthcheck", PORT=port).returncode == 0
        service.signal(signal.SIGTERM)
        service.exit_code(within_seconds=5)

    gone = run(folder, "healthcheck", PORT=port)

    assert gone.returncode == 1
    assert f"nothing listens on 127.0.0.1:{port}" in gone.stderr


def test_healthcheck_takes_no_for_an_answer(tmp_path: Path) -> None:
    class Unwell(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503 if self.path == "/health/live" else 200)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Unwell) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = run(tmp_path, "healthcheck", PORT=str(server.server_port))
        thread.join()

    assert result.returncode == 1
    assert result.stderr == f"127.0.0.1:{server.server_port} responded with 503\n"


def test_healthcheck_asks_the_operations_listener_where_there_is_one(folder: Path) -> None:
    with Command(folder, OPERATIONS_PORT="0") as service:
        operations = str(service.port("operations"))
        main = str(service.port())

        assert run(folder, "healthcheck", PORT=main, OPERATIONS_PORT=operations).returncode == 0
        assert run(folder, "healthcheck", PORT=main).returncode == 1


def test_nothing_in_the_working_directory_stands_for_a_library_of_the_migration(tmp_path: Path) -> None:
    """The console command looks for none there either; `python -m` would."""
    for name in ("alembic/__init__.py", "token.py", "sqlalchemy/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise ImportError('a file of the working directory')\n")
    with Installed(tmp_path) as service, service.client() as client:
        assert service.line("schema migrated")["to_revision"]
        wait_until_ready(client)
