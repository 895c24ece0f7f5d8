"""The service beside bare Starlette and the stacks that people assemble: the same route, server and processor."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from project import HERE, SERVER_CPU, Project, Server, running

ROUNDS, SECONDS = 15, 1.0
START_ROUNDS = 7
YARDSTICK, SERVICE = "bare Starlette", "this service"
COMPARED = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "structlog", "prometheus-client")

Side = tuple[list[str], dict[str, str]]
"""A command that serves, and its environment."""
Figures = dict[str, dict[str, float]]
"""By side: requests_per_second, share (of the yardstick), p50_ms, p99_ms, resident_mb and start_seconds."""


def compare(project: Project, usual_python: Path) -> Figures:
    """Medians of every side; *usual_python* has the packages of the usual stack."""
    with _sides(project, usual_python) as sides:
        figures = _under_load(project, sides)
        for side, seconds in _starts(sides).items():
            figures[side]["start_seconds"] = seconds
    return figures


def versions(python: Path) -> dict[str, str]:
    """What is installed there of the packages that both environments may have."""
    script = (
        "import importlib.metadata as m, json; "
        f"print(json.dumps({{d.name: d.version for d in m.distributions() if d.name in {COMPARED}}}))"
    )
    installed: dict[str, str] = json.loads(subprocess.check_output([str(python), "-c", script]))
    return installed


@contextlib.contextmanager
def _sides(project: Project, usual_python: Path) -> Iterator[dict[str, Side]]:
    def stack(python: Path, script: str) -> Side:
        return [str(python), str(HERE / script), "{port}"], {}

    with project.deployed() as service:
        yield {
            YARDSTICK: stack(project.python, "bare_starlette.py"),
            SERVICE: (service.command, service.environment),
            "Starlette, plain": stack(project.python, "plain_stack.py"),
            "FastAPI, usual": stack(usual_python, "usual_stack.py"),
        }


def _under_load(project: Project, sides: dict[str, Side]) -> Figures:
    """What each side answers while it has one processor and the load another, the sides alternating."""
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with contextlib.ExitStack() as stack:
        servers = {
            side: stack.enter_context(running(command, environment, cpu=SERVER_CPU))
            for side, (command, environment) in sides.items()
        }
        _ensure_same_answer(servers)
        for _ in range(ROUNDS):
            for side, server in servers.items():
                rounds[side].append(project.load(server, SECONDS))
        memory = {side: server.resident_megabytes() for side, server in servers.items()}
    # Round by round, because the machine's speed drifts: neighbours in time are compared, then the median taken.
    yardstick = [figure["requests_per_second"] for figure in rounds[YARDSTICK]]
    return {
        side: {name: statistics.median(figure[name] for figure in measured) for name in measured[0]}
        | {
            "share": statistics.median(
                figure["requests_per_second"] / bare for figure, bare in zip(measured, yardstick, strict=True)
            ),
            "resident_mb": memory[side],
        }
        for side, measured in rounds.items()
    }


def _ensure_same_answer(servers: dict[str, Server]) -> None:
    answers = {}
    for side, server in servers.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=5) as answer:
            answers[side] = answer.read()
    if len(set(answers.values())) > 1:
        raise SystemExit(f"the sides do not answer the same: {answers}")


def _starts(sides: dict[str, Side]) -> dict[str, float]:
    """Seconds to the first answer from a warm cache, the sides alternating."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(START_ROUNDS):
        for side, (command, environment) in sides.items():
            with running(command, environment) as server:
                seconds[side].append(server.start_seconds)
    return {side: statistics.median(values) for side, values in seconds.items()}
