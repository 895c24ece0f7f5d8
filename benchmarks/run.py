"""`make bench`: measure all that the README promises, print its rows in Markdown, and draw docs/benchmark.svg.

Takes the folder of a rendered default project that `make setup` has been run in, that of an environment with the
packages of the usual stack, and those of projects with the features `chat`, `csv_import`, `aws_lambda` and `ai_chat`.
The sides of a comparison run in turn within this run. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import plot
from ai_chat import ai_chat
from aws_lambda import aws_lambda
from chat_comparison import BARE as BARE_CHAT
from chat_comparison import CONNECTIONS, LIMIT_MS, ROOMS, compare_chat, idle_chat
from comparison import ROUNDS, SERVICE, compare, versions
from imports import imports
from jobs import jobs
from lifetime import Row, logins, memory, shutdown, signals
from project import HERE, Project
from users_comparison import BARE, REQUESTS, compare_users

TEMPLATE = HERE.parent
PICTURE = TEMPLATE / "docs" / "benchmark.svg"
TITLE = f"GET / on one core, from 32 connections: medians of {ROUNDS} rounds, turn and turn about"
STACKS = (
    "Plain: structlog and prometheus-client in one BaseHTTPMiddleware. Usual: prometheus-fastapi-instrumentator,",
    "asgi-correlation-id, and structlog in a BaseHTTPMiddleware. All on uvicorn; only this service has a database.",
)
PARTS = "what request id, access line, metrics, errors, limits and headers"
RENDERS = 7
MANY_MICROSECONDS = 10_000


def machine() -> str:
    """The processor, how many cores of it, and Python."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def beside_others(project: Project, usual_python: Path) -> None:
    """Draw the comparison, and print it as a table."""
    here, there = versions(project.python), versions(usual_python)
    figures = compare(project, usual_python)
    stack = ", ".join(f"{name} {there[name]}" for name in ("uvicorn", "starlette", "fastapi"))
    notes = [*STACKS, f"{machine()}; {stack}"]
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(plot.svg(figures, ours=SERVICE, title=TITLE, notes=notes), "utf-8")
    print(f"Measured on: {machine()}; {stack}.")
    for name in sorted(here.keys() & there.keys()):
        if here[name] != there[name]:
            print(f"Not the same: {name} is {here[name]} in the project and {there[name]} in the usual stack.")
    print("\n| `GET /` on one core | of bare |", " | ".join(measure.title for measure in plot.MEASURES), "|")
    print("|---|" + "---|" * (1 + len(plot.MEASURES)))
    for side, figure in figures.items():
        cells = [measure.form.format(figure[measure.key]) for measure in plot.MEASURES]
        print(f"| {side} | {figure['share']:.0%} |", " | ".join(cells), "|")


def beside_drivers(project: Project, usual_python: Path) -> None:
    """Print what reading and creating users costs beside the bare driver and the usual ORM, as a table."""
    figures = compare_users(project, usual_python)
    what = "from PostgreSQL, on one core: of bare by requests/s and by processor time, requests/s, processor time"
    print(f"\n| {what} | {' | '.join(REQUESTS)} |")
    print("|---|" + "---|" * len(REQUESTS))
    for side in figures[next(iter(REQUESTS))]:
        cells = (_cell(figures[request][side], is_bare=side == BARE) for request in REQUESTS)
        print(f"| {side} | {' | '.join(cells)} |")


def beside_broadcasts(project: Project) -> None:
    """Print how many messages a second a chat delivers in time beside a server that only broadcasts, as a table."""
    what = f"{CONNECTIONS} clients in {ROOMS} rooms, 99th percentile of deliveries within {LIMIT_MS:g} ms"
    figures = "of bare by messages/s and by processor time | messages/s | copies/s | time each | the load's processor"
    print(f"\n| {what} | {figures} |")
    print("|---|---|---|---|---|---|")
    for side, figure in compare_chat(project).items():
        shares = "" if side == BARE_CHAT else f"{figure['share'] * 100:.0f} and {figure['cpu_share'] * 100:.0f} %"
        rate, copies = figure["rate"], figure["rate"] * CONNECTIONS / ROOMS
        print(f"| {side} | {shares} | {rate:,.0f} | {copies:,.0f} | {figure['cpu_us']:,.0f} us |", end="")
        print(f" {figure['load_cpu_share']:.0%} |", flush=True)


def _cell(figure: dict[str, float], *, is_bare: bool) -> str:
    """The time of a create is that of its hash, and given in milliseconds."""
    cpu = figure["cpu_us"]
    time_taken = f"{cpu:,.0f} us" if cpu < MANY_MICROSECONDS else f"{cpu / 1000:.0f} ms"
    shares = "" if is_bare else f"{figure['share'] * 100:.0f} and {figure['cpu_share'] * 100:.0f} %: "
    return f"{shares}{figure['requests_per_second']:,.0f}/s, {time_taken}"


def in_process(project: Project) -> Iterator[Row]:
    """What the pre-wired parts cost a request, and what it costs to know its caller."""
    figures = project.measure("in_process.py", project.package, ROUNDS)
    yield (
        f"{PARTS} add to a request in process, which takes {figures['bare']:.1f} us on bare Starlette",
        f"{figures['service'] - figures['bare']:.1f} us",
    )
    if "auth" in project.features:
        figures = project.measure("known_caller.py", project.package, ROUNDS)
        yield (
            "what an authenticated user adds to that; promised: at most 60 us",
            f"{figures['known'] - figures['public']:.1f} us",
        )


def generation() -> Iterator[Row]:
    """What rendering adds to cookiecutter's own start."""
    version = [sys.executable, "-m", "cookiecutter", "--version"]
    starts, renders = [], []
    for _ in range(RENDERS):
        with tempfile.TemporaryDirectory() as folder:
            starts.append(_seconds(version))
            renders.append(_seconds([*version[:-1], str(TEMPLATE), "--no-input", "--output-dir", folder]))
    start = statistics.median(starts)
    yield (
        f"rendering the default project, over cookiecutter's own start ({start:.2f} s)",
        f"{statistics.median(renders) - start:.2f} s",
    )


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def rows(project: Project, chat: Project, importing: Project, function: Project, assistant: Project) -> Iterator[Row]:
    """Every figure that stands for itself."""
    yield from in_process(project)
    yield from memory(project)
    if "auth" in project.features:
        yield from logins(project)
    yield from shutdown(project)
    yield from signals(project)
    yield from idle_chat(chat)
    yield from imports(importing)
    yield from jobs(importing)
    yield from aws_lambda(function)
    yield from ai_chat(assistant)
    yield from generation()


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a rendered project after `make setup`")
    parser.add_argument("usual", type=Path, help="an environment with benchmarks/requirements.txt")
    parser.add_argument("chat", type=Path, help="a rendered project with the feature `chat` after `make setup`")
    parser.add_argument("imports", type=Path, help="the same with the feature `csv_import`")
    parser.add_argument("function", type=Path, help="the default project with the feature `aws_lambda` as well")
    parser.add_argument("assistant", type=Path, help="a rendered project with the feature `ai_chat` after `make setup`")
    options = parser.parse_args()
    project, usual_python = Project(options.project), options.usual.absolute() / "bin" / "python"
    others = (options.chat, options.imports, options.function, options.assistant)
    chat, importing, function, assistant = map(Project, others)
    # What is measured is a machine in use: it has the bytecode of what it started before.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A .env of whoever measures configures nothing.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        beside_others(project, usual_python)
        beside_drivers(project, usual_python)
        beside_broadcasts(chat)
        print("\n| what | figure | command |\n|---|---|---|")
        for what, figure in rows(project, chat, importing, function, assistant):
            print(f"| {what} | {figure} | `make bench` |", flush=True)


if __name__ == "__main__":
    main()
