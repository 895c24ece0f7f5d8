from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from acme_service import SERVICE_NAME

from .command import PACKAGE, environment
from .service import Service

pytestmark = pytest.mark.together

COMMANDS = {
    "the module": [sys.executable, "-m", PACKAGE],
    "the console command": [str(Path(sys.executable).with_name(SERVICE_NAME))],
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_application_starts_ends_it_at_once_and_closes_what_was_opened(
    number: signal.Signals,
) -> None:
    with Service("hangs at the start") as service:
        service.line("starting")
        service.signal(number)

        assert service.exit_code(5) == 128 + number
        assert service.events() == ["starting", "resources closed", "stopped while starting"]
        assert service.stderr() == ""


@pytest.mark.parametrize("lifespan", ["blocks at the start", "is deaf at the start"])
def test_a_signal_ends_a_start_that_blocks_the_event_loop(lifespan: str) -> None:
    with Service(lifespan) as service:
        service.line("starting")
        service.signal()

        assert service.exit_code(5) == 128 + signal.SIGTERM


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("module", ["argparse", "pathlib", "pydantic", "structlog", "sqlalchemy"])
def test_a_signal_during_the_imports_ends_the_process_without_a_traceback(module: str, command: list[str]) -> None:
    result = interrupted([*command, "serve"], signal.SIGINT, while_importing=module)

    assert (128 + signal.SIGINT, "", []) == (result.returncode, result.stderr, events(result))


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_what_was_logged_before_a_signal_is_written(command: str) -> None:
    log = "import logging\nlogging.getLogger('app').warning('last words')\n"
    command_line = [*COMMANDS["the module"], command]
    result = interrupted(command_line, signal.SIGTERM, while_importing="sqlalchemy", first=log)

    assert (128 + signal.SIGTERM, "") == (result.returncode, result.stderr)
    assert ["last words"] == events(result)


def events(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What was logged, but for warnings about settings that a feature may have in an empty environment."""
    logged = [json.loads(line)["event"] for line in result.stdout.splitlines()]
    return [event for event in logged if event != "setting warning"]


def test_next_to_nothing_is_imported_before_a_signal_has_its_meaning() -> None:
    program = f"import sys; before = set(sys.modules); import {PACKAGE}.__main__; print(*(set(sys.modules) - before))"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert set() == {"argparse", "pathlib", "re", "threading", "typing"}.intersection(imported.stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "import {0}.__main__",
        "import sys, {0}.__main__ as main; sys.argv[1:] = ['healthcheck']; assert main.main() == 1",
    ],
    ids=["the import", "healthcheck"],
)
def test_what_needs_no_server_loads_none_and_no_database(program: str) -> None:
    heavy = "{'alembic', 'redis', 'sqlalchemy', 'starlette', 'uvicorn'}"
    with tempfile.TemporaryDirectory() as folder:
        loaded = subprocess.run(
            [sys.executable, "-c", f"{program.format(PACKAGE)}\nimport sys; print(sorted({heavy} & set(sys.modules)))"],
            cwd=folder,
            env=environment(Path(folder), PORT="1"),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )

    assert "[]\n" == loaded.stdout


def interrupted(
    command: list[str], number: signal.Signals, *, while_importing: str, first: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run *command*, which does what is *first* and gets the signal *number* at the moment when it imports a module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = f"{first}import os, time\nos.kill(os.getpid(), {number:d})\ntime.sleep(9)"
        (folder / f"{while_importing}.py").write_text(source)
        return subprocess.run(
            command,
            cwd=folder,
            env=environment(folder, PYTHONPATH=name),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
