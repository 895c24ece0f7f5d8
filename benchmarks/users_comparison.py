"""The service on PostgreSQL beside the bare driver and the usual ORM stack: the same table, rows, pool and answers."""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from project import HERE, SERVER_CPU, Project, Server, running
from users_table import POOL_SIZE, cursor_after

ROUNDS, SECONDS = 11, 1.0
ROWS = 11_000
"""More than the service's cache holds: asked for in turn, none is ever found there."""

BARE, SERVICE, ORM = "bare Starlette, asyncpg, orjson", "this service", "FastAPI, SQLAlchemy's ORM"

Sides = dict[str, dict[str, float]]
"""By side: requests_per_second, share (of the bare driver), cpu_us (of the server), cpu_share, p50_ms and p99_ms.

`cpu_share` is the bare driver's cpu_us by the side's own: on a quiet machine it is about the same as `share`, and where
neighbours slow the processor of the load and of PostgreSQL down, it still says what a request costs.
"""


@dataclass(frozen=True)
class Asked:
    """One kind of request; *body* makes it a POST."""

    path: str
    body: str = ""
    each_id: bool = False
    """Each row in turn, for `{id}` in the path."""
    connections: int = 32
    times_seconds: int = 1
    """How much longer a round is than others."""


REQUESTS = {
    "one user, not in a cache": Asked("/api/users/{id}", each_id=True),
    "cursor page of 20": Asked("/api/users?cursor={cursor}&limit=20"),
    "page of 20 with total": Asked("/api/users?page=3&limit=20"),
    "create, with Argon2id": Asked(
        "/api/users",
        json.dumps({"name": "Ada", "email": "{unique}@example.com", "password": "correct horse battery"}),
        connections=4,
        times_seconds=4,
    ),
}
"""In this order: what is created lies behind every page that is read before.

Every side hashes the password in threads, at the same cost: a hash takes a hundred times as long as the insert, so the
shares of the create say how much of the processor is left for it, and not what the stack costs.
"""


@dataclass(frozen=True)
class _Length:
    rounds: int
    seconds: float


def compare_users(
    project: Project, usual_python: Path, *, rounds: int = ROUNDS, seconds: float = SECONDS, rows: int = ROWS
) -> dict[str, Sides]:
    """Medians of every request and side, the sides alternating."""
    length = _Length(rounds, seconds)
    with project.postgresql() as url, _sides(project, usual_python, url) as sides:
        ids = _seed(project, url, rows)
        with tempfile.NamedTemporaryFile("w", suffix=".ids") as file:
            file.write("\n".join(ids))
            file.flush()
            return {
                name: _measured(project, sides, _placed(asked, ids), Path(file.name), length)
                for name, asked in REQUESTS.items()
            }


@dataclass
class _Side:
    server: Server
    header: str = ""
    asked: int = 0
    """How many rows one by one: the next round goes on behind them, or the cache would have them."""


@contextlib.contextmanager
def _sides(project: Project, usual_python: Path, url: str) -> Iterator[dict[str, _Side]]:
    """Every side served from SERVER_CPU; the schema and the admin are the service's."""
    with project.deployed(url) as service, contextlib.ExitStack() as stack:

        def served(command: list[str], environment: dict[str, str]) -> Server:
            return stack.enter_context(running(command, environment, cpu=SERVER_CPU))

        def script(name: str) -> Server:
            return served([str(usual_python), str(HERE / name), "{port}"], {"DATABASE_URL": url})

        pool = {"DB_POOL_SIZE": str(POOL_SIZE), "DB_MAX_OVERFLOW": "0"}
        yield {
            BARE: _Side(script("raw_users.py")),
            SERVICE: _Side(served(service.command, service.environment | pool), service.header),
            ORM: _Side(script("orm_users.py")),
        }


def _seed(project: Project, url: str, rows: int) -> list[str]:
    """Fill the table and return the ids in order."""
    ids: list[str] = project.measure("users_table.py", url, rows)["ids"]
    return ids


def _placed(asked: Asked, ids: list[str]) -> Asked:
    """With a cursor that stands in the middle of the rows."""
    return replace(asked, path=asked.path.replace("{cursor}", cursor_after(ids[len(ids) // 2])))


def _measured(project: Project, sides: dict[str, _Side], asked: Asked, ids: Path, length: _Length) -> Sides:
    if not asked.body:
        _ensure_same_answer(sides, asked.path.replace("{id}", ids.read_text().split()[0]))
    service = sides[SERVICE]
    misses, already = _cache_misses(service.server), service.asked
    rounds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(length.rounds):
        for name, side in sides.items():
            rounds[name].append(_one_round(project, side, asked, ids, length.seconds))
    if _cache_misses(service.server) - misses < service.asked - already:
        raise SystemExit("the service answered from its cache")
    # Round by round, because the machine's speed drifts: neighbours in time are compared, then the median taken.
    bare = rounds[BARE]
    return {
        side: {name: statistics.median(figure[name] for figure in figures) for name in figures[0]}
        | {
            "share": _median_ratio(figures, bare, "requests_per_second"),
            "cpu_share": _median_ratio(bare, figures, "cpu_us"),
        }
        for side, figures in rounds.items()
    }


def _median_ratio(these: list[dict[str, float]], those: list[dict[str, float]], name: str) -> float:
    return statistics.median(this[name] / that[name] for this, that in zip(these, those, strict=True))


def _one_round(project: Project, side: _Side, asked: Asked, ids: Path, seconds: float) -> dict[str, float]:
    rows = ("--ids", ids, "--first", side.asked) if asked.each_id else ()
    body = ("--body", asked.body) if asked.body else ()
    more = ("--connections", asked.connections, *rows, *body)
    before = side.server.cpu_seconds()
    figures = project.load(side.server, seconds * asked.times_seconds, path=asked.path, header=side.header, more=more)
    requests = int(figures.pop("requests"))
    figures["cpu_us"] = (side.server.cpu_seconds() - before) / requests * 1e6
    side.asked += requests if asked.each_id else 0
    return figures


def _ensure_same_answer(sides: dict[str, _Side], path: str) -> None:
    answers = {}
    for name, side in sides.items():
        headers = dict([side.header.split(": ", 1)] if side.header else ())
        request = urllib.request.Request(f"http://127.0.0.1:{side.server.port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 (http, loopback)
            answers[name] = json.loads(answer.read())
    if any(answer != answers[BARE] for answer in answers.values()):
        raise SystemExit(f"the sides do not answer the same: {answers}")


def _cache_misses(service: Server) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{service.port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith('cache_requests_total{result="miss"}'))
