"""The import of a CSV file beside the bare driver, its memory, and what other requests notice of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from lifetime import Row
from project import Project, Server, Service, running

FEW, MANY = 10_000, 1_000_000
LOAD_SECONDS, LOAD_CONNECTIONS = 4.0, 4
LISTED = "/api/users?cursor=&limit=20"


def imports(project: Project, *, many: int = MANY, few: int = FEW, seconds: float = LOAD_SECONDS) -> Iterator[Row]:
    """Every figure of the import, on SQLite and on PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        files = {count: _written(Path(folder), count) for count in (few, many)}
        for kind in ("SQLite", "PostgreSQL"):
            yield _speed(project, kind, files[many])
            yield _memory(project, kind, files)
            yield _latency(project, kind, files, seconds)


def _written(folder: Path, count: int) -> Path:
    """A file of *count* users, none of whom is there twice; the same one each time."""
    draw, path = random.Random(count), folder / f"{count}.csv"  # noqa: S311 - no secret
    with path.open("w") as file:
        file.write("name,email,joined_at\n")
        for number in range(count):
            day = f"{2000 + number % 25}-{1 + number % 12:02}-{1 + number % 28:02}"
            file.write(f"Ada Lovelace {number},Ada{draw.getrandbits(44):x}@example.com,{day}\n")
    return path


@contextlib.contextmanager
def _deployed(project: Project, kind: str) -> Iterator[Service]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(project.postgresql()) if kind == "PostgreSQL" else ""
        yield stack.enter_context(project.deployed(url))


def _import(service: Service, path: Path) -> tuple[float, float]:
    """Rows a second of the command, and its resident memory at most, in MB."""
    command = [*service.command[:-1], "users", "import", str(path), "--format", "json", "--again"]
    variables = {**os.environ, **service.environment}
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        result = json.loads(process.stdout.read())
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    if result["inserted"] != result["records"]:
        raise SystemExit(f"not every record was inserted: {result}")
    return result["records"] / result["seconds"], usage.ru_maxrss / 1024


def _speed(project: Project, kind: str, path: Path) -> Row:
    with _deployed(project, kind) as service:
        url = service.environment["DATABASE_URL"]
        bare = project.measure("bare_imports.py", project.package, path, url)
        rate, _ = _import(service, path)
    others = ", ".join(f"{name} {figure:,.0f}" for name, figure in bare.items() if name != "batches")
    way = "executemany" if kind == "SQLite" else "COPY to a temporary table and INSERT ... ON CONFLICT"
    what = f"import of a CSV file on {kind}, rows a second, beside {way} of the same prepared rows in the same batches"
    return (
        f"{what} ({others} rows a second); promised: at least 50 %",
        f"{rate:,.0f} beside {bare['batches']:,.0f}: {rate / bare['batches']:.0%}",
    )


def _memory(project: Project, kind: str, files: dict[int, Path]) -> Row:
    resident = []
    for path in files.values():
        with _deployed(project, kind) as service:
            resident.append(_import(service, path)[1])
    counts = " and ".join(f"{count:,}" for count in files)
    return (
        f"resident memory of an import of {counts} rows on {kind}, at most; promised: under 150 MB",
        " and ".join(f"{megabytes:.0f} MB" for megabytes in resident),
    )


def _latency(project: Project, kind: str, files: dict[int, Path], seconds: float) -> Row:
    few, many = files.values()
    environment = {"IMPORT_MAX_BYTES": "1000000000"}
    with _deployed(project, kind) as service, running(service.command, service.environment | environment) as server:
        _import(service, few)  # before and during, a page is full
        figures = []
        for moment in ("before", "during"):
            if moment == "during":
                _upload(server, service, many)
                time.sleep(1)
            for target in ("/", LISTED):
                options = ("--connections", LOAD_CONNECTIONS)
                load = project.load(server, seconds, path=target, header=service.header, more=options)
                figures.append(load["p99_ms"])
    pairs = zip(("`/`", "a cursor page of 20"), figures[:2], figures[2:], strict=True)
    measured = f"99th percentile of other requests, as many as {LOAD_CONNECTIONS} connections get"
    return (
        f"{measured}, before and during an import on {kind}; promised: at most twice as long",
        "; ".join(f"{what} {before:.1f} and {during:.1f} ms" for what, before, during in pairs),
    )


def _upload(server: Server, service: Service, path: Path) -> None:
    headers = {"Content-Type": "text/csv"} | dict([service.header.split(": ", 1)] if service.header else ())
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/imports", path.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (http, loopback)
        answer.read()
