"""Background jobs of real processes: how many a second, how soon, and what a second worker gives over NATS."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lifetime import Row
from project import HERE, Project, Service

MANY, FEW, LONG = 1000, 100, 8
PAUSE_SECONDS = 0.1
LONG_SECONDS = 2.0
DEADLINE_SECONDS = 120.0
PROGRAM = f"import sys; sys.path.append({str(HERE)!r}); from {{}}.chassis import run; sys.exit(run('jobs_service'))"
Run = tuple[float, float, float]
"""When a job was sent, began and ended."""


def jobs(project: Project, *, many: int = MANY, few: int = FEW, seconds: float = LONG_SECONDS) -> Iterator[Row]:
    """Every figure of the jobs; two workers are compared by jobs that wait, so that cores do not count."""
    with project.postgresql() as url, project.deployed(url) as service:
        found = _sent(project, service, many)
        took = max(end for _, _, end in found) - min(sent for sent, _, _ in found)
        yield f"{many:,} jobs sent by one process and run by another, PostgreSQL; promised: within 5 s", f"{took:.1f} s"
        yield _latency(_sent(project, service, few, pause=PAUSE_SECONDS), "PostgreSQL, by LISTEN; promised: 100 ms")
    with project.deployed() as service:
        found = _sent(project, service, few, pause=PAUSE_SECONDS)
        yield _latency(found, "SQLite, by asking each second; promised: 1.2 s")
    with project.postgresql() as url, project.deployed(url) as service, _nats(project) as nats:
        times = []
        for workers in (1, 2):
            found = _sent(project, service, LONG, seconds=seconds, workers=workers, JOBS_URL=nats)
            times.append(max(end for _, _, end in found) - min(sent for sent, _, _ in found))
    what = f"{LONG} jobs of {seconds:g} s over NATS, one at a time a worker: one worker, two; promised: 1.8 times"
    yield what, f"{times[0]:.1f} s, {times[1]:.1f} s: {times[0] / times[1]:.2f} times"


def _latency(found: list[Run], what: str) -> Row:
    waits = sorted(began - sent for sent, began, _ in found)
    late = waits[len(waits) * 95 // 100]
    return f"from the commit of a job to its begin in another process that is idle, 95th percentile: {what}", (
        f"{late * 1000:.0f} ms"
    )


def _sent(  # noqa: PLR0913 - what a measurement varies
    project: Project,
    service: Service,
    count: int,
    *,
    seconds: float = 0.0,
    pause: float = 0.0,
    workers: int = 1,
    **more: str,
) -> list[Run]:
    """What became of *count* jobs that are sent while *workers* wait for some."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        runs = Path(folder) / "runs"
        runs.touch()
        known = {"BENCH_PACKAGE": project.package, "BENCH_RUNS": str(runs), "PORT": "0"}
        variables = {**os.environ, **service.environment, **known, **more}
        for _ in range(workers):
            stack.enter_context(_worker(project, variables, folder))
        arguments = ["send", str(count), "--seconds", str(seconds), "--pause", str(pause)]
        subprocess.run(_command(project, *arguments), check=True, env=variables, cwd=folder, stderr=subprocess.DEVNULL)
        ends = time.monotonic() + DEADLINE_SECONDS
        while len(lines := runs.read_text().splitlines()) < count:
            if time.monotonic() > ends:
                raise SystemExit(f"{len(lines)} of {count} jobs ran in {DEADLINE_SECONDS:g} s")
            time.sleep(0.05)
    found = [tuple(map(float, line.split())) for line in lines]
    return [(sent, began, end) for sent, began, end in found]


def _command(project: Project, *arguments: str) -> list[str]:
    return [str(project.python), "-c", PROGRAM.format(project.package), *arguments]


@contextlib.contextmanager
def _worker(project: Project, variables: Mapping[str, str], folder: str) -> Iterator[None]:
    """A worker that is ready."""
    with tempfile.NamedTemporaryFile("w+", dir=folder) as log:
        process = subprocess.Popen(_command(project, "worker"), env=variables, cwd=folder, stdout=log)
        try:
            while '"event":"listening"' not in Path(log.name).read_text():
                if process.poll() is not None:
                    raise SystemExit(f"the worker ended with {process.returncode}")
                time.sleep(0.05)
            time.sleep(1)  # now it waits for jobs
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@contextlib.contextmanager
def _nats(project: Project) -> Iterator[str]:
    """The address of a NATS of its own, from the wheel that the project's tests use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        where = ["--addr", "127.0.0.1", "--port", str(port), "--store_dir", folder]
        command = [str(project.python.parent / "nats-server"), "--jetstream", *where]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    for figure in jobs(Project(Path(sys.argv[1]))):
        print(*figure, sep=": ", flush=True)
