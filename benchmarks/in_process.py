"""What the pre-wired parts cost one request in process, beside the same route on bare Starlette; in microseconds.

Runs in the rendered project's environment, takes its package name, and prints one JSON object. No socket, no server:
both applications are called with the same scope, turn and turn about. The access line goes to a writer whose thread
writes it to the null device, so its cost is counted.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bare
import uvloop

ROUNDS, REQUESTS = 15, 4000
HEADERS = [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip")]


def scope() -> dict[str, Any]:
    """A new request for `/`, as the server would describe it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": HEADERS,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "state": {},
    }


async def receive() -> dict[str, Any]:
    """An empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: dict[str, Any]) -> None:
    """Drop what is sent."""


async def microseconds(app: Any) -> float:
    """The mean time of one request over REQUESTS of them."""
    started = time.perf_counter()
    for _ in range(REQUESTS):
        await app(scope(), receive, send)
    return (time.perf_counter() - started) / REQUESTS * 1e6


async def compare(service: Any) -> dict[str, float]:
    """Medians of both sides over ROUNDS alternating rounds."""
    figures: dict[str, list[float]] = {"service": [], "bare": []}
    for _ in range(ROUNDS):
        figures["service"].append(await microseconds(service))
        figures["bare"].append(await microseconds(bare.app))
    return {side: statistics.median(values) for side, values in figures.items()}


def build(package: str, directory: Path) -> Any:
    """The rendered project's own application, configured as in production but for its writer's target."""
    module = {
        name: importlib.import_module(f"{package}.{name}")
        for name in ("app", "config.settings", "config.logging", "lifecycle", "metrics")
    }
    environ = {
        "APP_ENV": "production",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": f"sqlite:///{directory}/bench.db",
    }
    settings = module["config.settings"].load_settings(environ, directory)
    sink = Path("/dev/null").open("wb", buffering=0)  # noqa: SIM115 - lives as long as the process
    writer = module["config.logging"].configure_logging(
        level="info", json_lines=True, file=None, environment="production", stream=sink
    )
    process = module["app"].Process(
        lifecycle=module["lifecycle"].Lifecycle(),
        metrics=module["metrics"].Metrics(),
        access_log=module["config.logging"].AccessLog(writer, level="info"),
    )
    return module["app"].create_app(settings, process)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(uvloop.run(compare(build(sys.argv[1], Path(temporary))))))
