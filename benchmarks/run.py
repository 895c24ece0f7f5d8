"""`make bench`: print every figure that the README promises, measured on this machine, both sides in one run.

Takes the folder of a rendered default project that `make setup` has been run in. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROUNDS = 7
IN_PROCESS_ROUNDS = 15
HTTP_ROUNDS, SECONDS = 25, 1.0
SHUTDOWN_RUNS, SHUTDOWN_REQUESTS = 20, 40_000
SIGNAL_RUNS = 9
CREATES, CREATING_CLIENTS = 500, 20
SERVER_CPU, LOAD_CPU = 0, 1
READY_TIMEOUT_SECONDS = 20.0


class Project:
    """A rendered project and its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv" / "bin" / "python"
        self.package = next(path.parent.name for path in (folder / "src").glob("*/app.py"))

    def measure(self, script: str, *arguments: object) -> dict[str, Any]:
        """Run one of our scripts in the project's environment and return the figures that it prints."""
        command = [str(self.python), str(HERE / script), *map(str, arguments)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures: dict[str, Any] = json.loads(output)
        return figures


@contextlib.contextmanager
def running(
    command: list[str], environment: dict[str, str], *, cpu: int | None, path: str
) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    """A server on a free port: yields (port, process, seconds until *path* was answered), then stops it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env={**os.environ, **environment, "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )
        try:
            _wait_until_answered(port, path, process)
            yield port, process, time.perf_counter() - started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _wait_until_answered(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode} before it answered")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
        else:
            return
    raise SystemExit(f"no answer on port {port} within {READY_TIMEOUT_SECONDS:g} s")


def in_process(project: Project) -> None:
    """What the pre-wired parts cost a request."""
    figures = project.measure("in_process.py", project.package, IN_PROCESS_ROUNDS)
    cost = figures["service"] - figures["bare"]
    print(
        f"in process     : service {figures['service']:.1f} us, bare {figures['bare']:.1f} us, difference {cost:.1f} us"
    )


def over_http(project: Project) -> None:
    """Requests per second of `/` on one core, the load on another, the sides alternating."""
    python = str(project.python)
    service = {
        "APP_ENV": "production",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": "sqlite:///bench.db",
        "DRAIN_DELAY_SECONDS": "0",
    }
    sides: dict[str, tuple[list[str], dict[str, str]]] = {
        "bare Starlette": ([python, str(HERE / "bare_starlette.py"), "{port}"], {}),
        "this service": (
            ["sh", "-c", f"{python} -m {project.package} migrate && exec {python} -m {project.package} serve"],
            service,
        ),
        "plain stack": ([python, str(HERE / "plain_stack.py"), "{port}"], {}),
    }
    figures: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with contextlib.ExitStack() as stack:
        ports = {
            side: stack.enter_context(running(command, environment, cpu=SERVER_CPU, path="/"))[0]
            for side, (command, environment) in sides.items()
        }
        for _ in range(HTTP_ROUNDS):
            for side, port in ports.items():
                figures[side].append(project.measure("load.py", port, "--seconds", SECONDS, "--cpu", LOAD_CPU))
    yardstick = [figure["requests_per_second"] for figure in figures["bare Starlette"]]
    for side, rounds in figures.items():
        median = {name: statistics.median(figure[name] for figure in rounds) for name in rounds[0]}
        # Round by round, because the machine's speed drifts: neighbours in time are compared, then the median taken.
        share = statistics.median(
            figure["requests_per_second"] / bare for figure, bare in zip(rounds, yardstick, strict=True)
        )
        print(
            f"{side:15}: {median['requests_per_second']:7.0f} requests/s ({share:4.0%} of bare), "
            f"p50 {median['p50_ms']:.2f} ms, p99 {median['p99_ms']:.2f} ms"
        )


def _resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no VmRSS of {pid}")


@contextlib.contextmanager
def _migrated(project: Project) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The command that serves, and an environment whose database has the newest schema."""
    command = [str(project.python), "-m", project.package]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"APP_ENV": "development", "DATABASE_URL": f"sqlite:///{folder}/bench.db"}
        subprocess.run([*command, "migrate"], check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        yield [*command, "serve"], environment


def start_and_memory(project: Project) -> None:
    """Seconds to the first answer from a warm cache, and resident memory under load."""
    with _migrated(project) as (command, environment):
        starts = []
        for _ in range(ROUNDS):
            with running(command, environment, cpu=None, path="/health/ready") as (_, _, seconds):
                starts.append(seconds)
        print(f"ready after    : {statistics.median(starts):.2f} s (median of {ROUNDS}, schema current)")
        with running(command, environment, cpu=SERVER_CPU, path="/health/ready") as (port, process, _):
            fresh = _resident_megabytes(process.pid)
            _requests(project, port, 10_000)
            early = _resident_megabytes(process.pid)
            _requests(project, port, 200_000)
            late = _resident_megabytes(process.pid)
            _create_users(port)
            created = _resident_megabytes(process.pid)
        print(
            f"resident memory: {fresh:.0f} MB fresh, {early:.0f} MB after 10,000 requests, "
            f"{late:.0f} MB after 200,000 more, {created:.0f} MB after {CREATES} users were created"
        )


def _requests(project: Project, port: int, count: int) -> None:
    """At least *count* requests, in slices of the list and the identity routes."""
    done = 0.0
    while done < count:
        for path in ("/", "/api/users"):
            seconds = 1.0
            figures = project.measure("load.py", port, "--seconds", seconds, "--cpu", LOAD_CPU, "--path", path)
            done += figures["requests_per_second"] * seconds * 1.1


def _create_users(port: int) -> None:
    """Create CREATES users, CREATING_CLIENTS at a time: the requests that need the most memory."""

    def create(number: int) -> None:
        user = {"name": "Ada", "email": f"ada{number}@example.com", "password": "correct horse battery"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/users", json.dumps(user).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 (http, loopback)

    with ThreadPoolExecutor(CREATING_CLIENTS) as clients:
        list(clients.map(create, range(CREATES)))


def shutdown(project: Project) -> None:
    """What a signal under load costs the clients of a balancer that notices late."""
    figures = project.measure("shutdown.py", project.package, SHUTDOWN_RUNS, SHUTDOWN_REQUESTS)
    print(
        f"SIGTERM, {figures['runs']} runs: {figures['answered after the signal']:,} answered after it, "
        f"{figures['dropped']} dropped, {figures['refused']} refused, {figures['failed']} failed; not ready after "
        f"{figures['slowest_flip_ms']:.0f} ms, ended after {figures['slowest_exit_s']:.2f} s at most, "
        f"exit codes {figures['codes']}"
    )


def signals(project: Project) -> None:
    """How soon SIGTERM ends a start, at moments spread over it, and a second one a shutdown that would take longer."""
    with _migrated(project) as (command, environment):
        with running(command, environment, cpu=None, path="/health/ready") as (_, _, start_seconds):
            pass
        starting, draining = [], []
        for number in range(1, SIGNAL_RUNS + 1):
            variables = {**os.environ, **environment, "PORT": "0"}
            with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) as process:
                time.sleep(start_seconds * number / (SIGNAL_RUNS + 1))
                starting.append(_end(process))
        for _ in range(SIGNAL_RUNS):
            variables = {**environment, "DRAIN_DELAY_SECONDS": "20"}
            with running(command, variables, cpu=None, path="/health/ready") as (_, process, _):
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
                draining.append(_end(process))
    for what, ends in (("signal at start", starting), ("second signal", draining)):
        seconds, codes = zip(*ends, strict=True)
        print(f"{what:15}: ended after {max(seconds):.2f} s at most in {len(ends)} runs, exit codes {sorted({*codes})}")


def _end(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Seconds from SIGTERM to the exit, and the exit code."""
    started = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=30)
    return time.perf_counter() - started, code


def generation(template: Path) -> None:
    """What rendering adds to cookiecutter's own start, and the seconds of a whole render."""
    version = [sys.executable, "-m", "cookiecutter", "--version"]
    starts, renders = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            starts.append(_seconds(version))
            renders.append(_seconds([*version[:-1], str(template), "--no-input", "--output-dir", folder]))
    start, render = statistics.median(starts), statistics.median(renders)
    print(f"generation     : {render:.2f} s, of which cookiecutter's own start is {start:.2f} s")


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a rendered project after `make setup`")
    options = parser.parse_args()
    # What is measured is a machine in use: it has the bytecode of what it started before.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    project = Project(options.project.resolve())
    print(f"machine        : {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    in_process(project)
    over_http(project)
    start_and_memory(project)
    shutdown(project)
    signals(project)
    generation(HERE.parent)


if __name__ == "__main__":
    main()
