"""The default project works as its owner uses it: its make targets, and its process over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TEMPLATE, Render, make, project_environment, run
from cookiecutter.exceptions import FailedHookException

from local_extensions import CHOICES

READY_SECONDS = 30
SET_UP_SECONDS = 300
STOP_SECONDS = 20
FIELDS_OF_A_LOG_LINE = {"timestamp", "level", "event", "service", "version", "environment", "logger"}


def test_no_setting_of_this_shell_reaches_a_project(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    example = (render(profile="full") / ".env.example").read_text("utf-8").partition("# For compose.yaml only")[0]
    settings = re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE)
    for name in settings:
        monkeypatch.setenv(name, "of this shell")

    assert {"PORT", "DATABASE_URL", "JWT_SECRET"} <= set(settings)
    assert "of this shell" not in project_environment().values()


def test_the_default_project_passes_its_own_checks(project: Path) -> None:
    # Where uv is missing, the project's own copy of it lies here, and is none of the project's code.
    packages = project / ".tools" / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "of_uv.py").write_text("import a_package_that_nobody_declared\n")

    make(project, "check")


def test_a_migration_is_written_from_the_models(project: Path) -> None:
    versions = next(project.glob("src/*/migrations/versions"))
    before = set(versions.glob("*.py"))
    user = next(project.glob("src/*/models/user.py"))
    kept = user.read_text("utf-8")
    place = "    password_hash: Mapped[str]\n"
    user.write_text(kept.replace(place, f"{place}    nick: Mapped[str | None]\n"), "utf-8")
    try:
        output = make(project, "migration", "MESSAGE=add nick")
    finally:
        user.write_text(kept, "utf-8")
    [written] = set(versions.glob("*.py")) - before
    try:
        run([str(project / ".venv/bin/ruff"), "check", str(written)], project)
        run([str(project / ".venv/bin/ruff"), "format", "--check", str(written)], project)
    finally:
        written.unlink()

    assert "0002_add_nick.py" == written.name
    assert "schema migrated" not in output


def test_the_default_project_passes_its_own_tests(project: Path) -> None:
    summary = make(project, "test").strip().splitlines()[-1]

    assert re.search(r"\b\d+ passed\b", summary), summary
    assert "failed" not in summary


@pytest.mark.parametrize("script", ["in_process.py", "known_caller.py"])
def test_a_benchmark_builds_the_application_as_it_is_now(project: Path, script: str) -> None:
    """Nobody runs them for weeks, and they put the application together by themselves."""
    [package] = [path.parent.name for path in project.glob("src/*/app.py")]
    output = run([str(project / ".venv/bin/python"), str(TEMPLATE / "benchmarks" / script), package, "1"], project)

    assert all(figure > 0 for figure in json.loads(output.splitlines()[-1]).values())


def test_the_first_set_up_makes_the_lock_and_a_private_environment_file(project: Path) -> None:
    assert (project / "uv.lock").is_file()
    assert 0o600 == stat.S_IMODE((project / ".env").stat().st_mode)


def test_the_environment_of_a_project_is_its_own_whatever_the_shell_says(render: Render, tmp_path: Path) -> None:
    """uv would install elsewhere, and each later command of the Makefile would find nothing."""
    folder = render(output=tmp_path / "render", profile="minimal")
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\nmkdir -p .venv\necho "uv $1 in $UV_PROJECT_ENVIRONMENT"\n')
    uv.chmod(0o755)

    assert "uv sync in .venv\n" in make(folder, ".venv/.synced", UV=str(uv), UV_PROJECT_ENVIRONMENT="/elsewhere")


def test_a_second_set_up_changes_nothing(project: Path) -> None:
    before = {name: (project / name).read_bytes() for name in (".env", "uv.lock", "pyproject.toml")}
    make(project, "setup")

    assert before == {name: (project / name).read_bytes() for name in before}


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_the_code_is_clean_for_every_oldest_python(render: Render, project: Path, version: str) -> None:
    folder = render(python_version=version, profile="full")

    run([str(project / ".venv/bin/ruff"), "check"], folder)
    run([str(project / ".venv/bin/ruff"), "format", "--check"], folder)


def test_everything_that_a_project_installs_is_refused_as_its_name(project: Path, render: Render) -> None:
    environment = project / ".venv"
    [packages] = environment.glob("lib/python*/site-packages")
    modules = {path.name.partition(".")[0] for path in packages.iterdir() if path.suffix in {"", ".py", ".so"}}
    commands = {path.name.partition(".")[0] for path in (environment / "bin").iterdir()} - {"acme-service"}
    names = {name for name in modules | commands if re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name)}

    assert {"starlette", "uvicorn", "yaml", "pytest"} <= names
    for name in sorted(names):
        with pytest.raises(FailedHookException, match="is not accepted"):
            render(package_name=name.replace("-", "_"))


def test_the_service_answers_logs_and_stops(project: Path) -> None:
    """1. start, 2. be ready, 3. know a caller, 4. show metrics, 5. SIGTERM, 6. end with 0, all lines JSON."""
    with running(project, "acme-service") as (base, process):
        identity = get(f"{base}/")
        ready = get(f"{base}/health/ready")
        account = know_a_caller(base)
        refused = get(f"{base}/api/auth/me", expected=401)
        metrics = get(f"{base}/metrics")
        problem = get(f"{base}/nowhere", expected=404)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=STOP_SECONDS)

    assert {"service": "acme-service", "version": "0.1.0", "environment": "development"} == identity
    assert ready
    assert "user" == account["role"]
    assert 'http_requests_total{method="POST",route="/api/auth/login",status_code="200"}' in metrics
    assert {"type", "title", "status", "detail", "instance"} <= set(problem) & set(refused)
    assert 0 == process.returncode, errors
    assert "" == errors
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines
    assert [] == [line for line in lines if not set(line) >= FIELDS_OF_A_LOG_LINE]
    assert {"acme-service"} == {line["service"] for line in lines}
    assert {"GET", "POST"} == {line["method"] for line in lines if "method" in line}


def test_make_run_serves_and_an_interrupt_from_the_keyboard_ends_it(project: Path) -> None:
    with making(project, "run") as (_, process):
        events = _events_until_interrupted(process)

    assert "acme-service" in {event["service"] for event in events}


def test_make_demo_renders_a_project_sets_it_up_and_serves_it(tmp_path: Path) -> None:
    with making(TEMPLATE, "demo", f"BUILD={tmp_path}", ready_seconds=SET_UP_SECONDS) as (base, process):
        identity = get(f"{base}/")
        _events_until_interrupted(process)

    assert "acme-service" == identity["service"]
    assert (tmp_path / "acme-service" / "uv.lock").is_file()


def test_make_dev_serves_a_changed_source_without_being_asked(project: Path) -> None:
    [source] = project.glob("src/*/app.py")
    with making(project, "dev") as (base, process):
        before = _started_at(base)
        deadline = time.monotonic() + READY_SECONDS
        while _started_at(base) == before:
            assert time.monotonic() < deadline, "the service is still the one from before the change"
            source.touch()
            time.sleep(1)
        _events_until_interrupted(process)


def test_make_migrate_brings_a_database_to_the_newest_schema_once(project: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'orders.db'}"

    assert "schema migrated" in make(project, "migrate", DATABASE_URL=database)
    assert "schema was current" in make(project, "migrate", DATABASE_URL=database)


def test_make_upgrade_pins_what_it_locks(render: Render, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--renders") != "all":
        pytest.skip("the newest versions are asked for with --renders=all only")
    folder = render()
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(re.sub(r'"pygments==[^"]+"', '"pygments==2.18.0"', pyproject.read_text()))

    assert "pygments: 2.18.0 -> " in make(folder, "upgrade")
    constraints = tomllib.loads(pyproject.read_text())["tool"]["uv"]["constraint-dependencies"]
    packages = tomllib.loads((folder / "uv.lock").read_text())["package"]
    locked = {f"{package['name']}=={package['version']}" for package in packages if "registry" in package["source"]}

    assert locked == {constraint.partition(" ;")[0] for constraint in constraints}
    make(folder, "setup", UV_LOCKED="1")


@contextlib.contextmanager
def running(folder: Path, command: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the project in *folder* on a free port until the block ends; give its address and its process."""
    port = free_port()
    make(folder, "setup")
    process = subprocess.Popen(
        [folder / ".venv" / "bin" / command, "serve"],
        cwd=folder,
        env=project_environment(PORT=str(port), LOG_FORMAT="json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(process, base)
        yield base, process
    finally:
        end_group(process)


@contextlib.contextmanager
def making(
    folder: Path, *arguments: str, ready_seconds: float = READY_SECONDS
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run make in *folder* with a free port, until the block ends; give the address of what it serves, and make."""
    port = free_port()
    process = subprocess.Popen(
        ["make", "--silent", *arguments],  # noqa: S607 (make is how this suite was started)
        cwd=folder,
        env=project_environment(PORT=str(port)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(process, base, ready_seconds)
        yield base, process
    finally:
        end_group(process)


def wait_until_ready(process: subprocess.Popen[str], base: str, seconds: float = READY_SECONDS) -> None:
    """Return once the service at *base* says that it is ready; fail with its output if it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/health/ready", timeout=2):  # noqa: S310
            return
        time.sleep(0.05)
    _signal_group(process, signal.SIGKILL)
    output, errors = process.communicate()
    pytest.fail(f"not ready (exit code {process.returncode}):\n{output}{errors or ''}", pytrace=False)


def know_a_caller(base: str) -> dict[str, Any]:
    """Register somebody, log in, and return the account that the service then shows its owner."""
    user = _somebody()
    created = get(f"{base}/api/auth/register", body=user)
    credentials = {name: user[name] for name in ("email", "password")}
    token = get(f"{base}/api/auth/login", body=credentials, expected=200)["access_token"]
    account: dict[str, Any] = get(f"{base}/api/auth/me", token=token)

    assert created["id"] == account["id"]
    assert "password" not in json.dumps(account)
    return account


def create_a_user(base: str) -> dict[str, Any]:
    """Create somebody where every route is public, and return what is then read, alone and in the list."""
    created: dict[str, Any] = get(f"{base}/api/users", body=_somebody())

    assert created == get(f"{base}/api/users/{created['id']}")
    assert created["id"] in {item["id"] for item in get(f"{base}/api/users?limit=100")["items"]}
    assert "password" not in json.dumps(created)
    return created


def _somebody() -> dict[str, str]:
    return {"name": "Ada", "email": f"ada{time.time_ns()}@example.com", "password": "correct horse battery"}


def get(address: str, *, body: object = None, token: str = "", expected: int | None = None) -> Any:
    """Return the answer of *address*, parsed if it is JSON; with a *body*, of a POST of that."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(address, data, headers)  # noqa: S310 (http, loopback)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            status, kind, content = answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as error:
        status, kind, content = error.code, error.headers.get_content_type(), error.read()
    assert (expected or (200 if body is None else 201)) == status, content
    return json.loads(content) if kind.endswith("json") else content.decode()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of *process* and its children; what they wrote and nobody read is lost."""
    _signal_group(process, signal.SIGKILL)
    process.wait(timeout=STOP_SECONDS)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _started_at(base: str) -> float:
    """When the service at *base* was started, as it says itself; waits while it is not there."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            metrics = get(f"{base}/metrics")
        except OSError:
            assert time.monotonic() < deadline, "the service does not come back"
            time.sleep(0.05)
        else:
            [started] = re.findall(r"^process_start_time_seconds (.*)$", metrics, re.MULTILINE)
            return float(started)


def _events_until_interrupted(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Interrupt as a terminal does, the whole foreground group: make and the service; return what was logged."""
    _signal_group(process, signal.SIGINT)
    output, _ = process.communicate(timeout=STOP_SECONDS)
    assert "Traceback" not in output
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
