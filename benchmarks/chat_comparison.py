"""The chat beside a python-socketio that only broadcasts: how many messages a second it delivers in time, and holds."""

from __future__ import annotations

import contextlib
import resource
import statistics
from collections.abc import Iterator

from lifetime import Row
from project import HERE, LOAD_CPU, SERVER_CPU, Project, Server, running

ROUNDS, SECONDS = 3, 3.0
CONNECTIONS, ROOMS = 200, 10
LIMIT_MS = 200.0
IDLE_CONNECTIONS, IDLE_SECONDS = 2000, 60.0
"""Longer than two pings."""
BEGINNING = 0.6
"""Of the rate that a side has kept, to begin the next round with."""

BARE, SQLITE, POSTGRESQL = "python-socketio, which only broadcasts", "this service on SQLite", "on PostgreSQL"
UNLIMITED = {
    "CHAT_MESSAGES_PER_SECOND": "10000",
    "CHAT_EVENTS_PER_SECOND": "100000",
    "CHAT_MAX_CONNECTIONS_PER_USER": "10000",
    "CHAT_MAX_ROOMS": "10000",
}

Sides = dict[str, dict[str, float]]
"""By side: rate (messages a second), share (of the bare server), cpu_us (of the server, for a message with all its
copies), cpu_share, p50_ms, p99_ms, and load_cpu_share (of the processor that the load runs on)."""


def compare_chat(
    project: Project, *, rounds: int = ROUNDS, seconds: float = SECONDS, first: float = 300.0, most: float = 100_000.0
) -> Sides:
    """Medians of every side, the sides alternating; rates begin at *first*, and end at *most*."""
    found: dict[str, list[dict[str, float]]] = {}
    with _sides(project) as sides:
        for _ in range(rounds):
            for name, (server, token) in sides.items():
                figures = found.setdefault(name, [])
                rate = figures[-1]["rate"] * BEGINNING if figures else first
                more: tuple[object, ...] = ("--rate", rate, "--most", most, "--seconds", seconds, "--limit", LIMIT_MS)
                more += ("--connections", CONNECTIONS, "--rooms", ROOMS)
                figures.append(_load(project, server, token, *more))
    # Round by round, because the machine's speed drifts: neighbours in time are compared, then the median taken.
    bare = found[BARE]
    return {
        name: {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        | {
            "share": statistics.median(this["rate"] / that["rate"] for this, that in zip(figures, bare, strict=True)),
            "cpu_share": statistics.median(
                that["cpu_us"] / this["cpu_us"] for this, that in zip(figures, bare, strict=True)
            ),
        }
        for name, figures in found.items()
    }


def idle_chat(project: Project, *, connections: int = IDLE_CONNECTIONS, seconds: float = IDLE_SECONDS) -> Iterator[Row]:
    """What a connection takes that says nothing, and whether all of them last."""
    idle = ("--idle", seconds, "--connections", connections, "--rooms", connections // 20)
    with _served(project, "") as (server, token), _bare(project) as bare:
        ours, least = _load(project, server, token, *idle), _load(project, bare, "", *idle)
    yield (
        f"chat connections that say nothing for {seconds:g} s: held of {connections:,}; memory of each (bare: of each)",
        f"{ours['held']:,}; {ours['kilobytes']:.0f} KB ({least['kilobytes']:.0f} KB)",
    )


@contextlib.contextmanager
def _sides(project: Project) -> Iterator[dict[str, tuple[Server, str]]]:
    """Every side served from SERVER_CPU, with the token that its chat asks for."""
    with (
        project.postgresql() as url,
        _bare(project) as bare,
        _served(project, "") as sqlite,
        _served(project, url) as postgresql,
    ):
        yield {BARE: (bare, ""), SQLITE: sqlite, POSTGRESQL: postgresql}


@contextlib.contextmanager
def _served(project: Project, database_url: str) -> Iterator[tuple[Server, str]]:
    with project.deployed(database_url) as service:
        environment = service.environment | UNLIMITED
        with running(service.command, environment, cpu=SERVER_CPU) as server:
            yield server, service.header.rpartition(" ")[2]


@contextlib.contextmanager
def _bare(project: Project) -> Iterator[Server]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the service does that by itself
    with running([str(project.python), str(HERE / "bare_chat.py"), "{port}"], {}, cpu=SERVER_CPU) as server:
        yield server


def _load(project: Project, server: Server, token: str, *more: object) -> dict[str, float]:
    options = ("--token", token, "--cpu", LOAD_CPU, *more)
    return project.measure("chat_load.py", server.port, server.process.pid, *options)
