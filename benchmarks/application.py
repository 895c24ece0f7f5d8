"""The rendered project's own application, built and asked without a socket or a server.

It is configured as in production, but its access line goes to a writer whose thread writes it to the null device, so
that its cost is counted.
"""

from __future__ import annotations

import importlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

REQUESTS = 4000
FLUSH_SECONDS = 5.0
Headers = Sequence[tuple[bytes, bytes]]


def build(package: str, directory: Path, *, more: Sequence[Any] = ()) -> Any:
    """The application with every feature that it has and *more*; its database lies in *directory*."""
    module = {
        name: importlib.import_module(f"{package}.{name}")
        for name in (
            "app",
            *(f"chassis.{part}" for part in ("application", "cli", "lifecycle", "logs.setup", "metrics", "wiring")),
        )
    }
    environ = {
        "APP_ENV": "production",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": f"sqlite:///{directory}/bench.db",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "RATE_LIMIT_PER_MINUTE": "0",
    }
    service = module["app"].SERVICE
    service = replace(service, features=(*service.features, *more))
    settings = module["chassis.cli"].read_settings(service, environ, directory)
    sink = Path("/dev/null").open("wb", buffering=0)  # noqa: SIM115 - lives as long as the process
    writer = module["chassis.logs.setup"].configure_logging(
        level="info",
        json_lines=True,
        file=None,
        service=service.name,
        version=service.version,
        environment="production",
        stream=sink,
        own=service.logging,
    )
    process = module["chassis.wiring"].Process(
        lifecycle=module["chassis.lifecycle"].Lifecycle(),
        metrics=module["chassis.metrics"].Metrics(),
        access_log=module["chassis.logs.setup"].AccessLog(writer, level="info"),
    )
    app = module["chassis.application"].create_app(service, settings, process)
    app.state.flush_log = writer.flush
    return app


def scope(path: str, headers: Headers, *, method: str = "GET") -> dict[str, Any]:
    """A new request, as the server would describe it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
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


async def microseconds(app: Any, path: str, headers: Headers) -> float:
    """The mean time of one request over REQUESTS of them."""
    started = time.perf_counter()
    for _ in range(REQUESTS):
        await app(scope(path, headers), receive, send)
    if hasattr(app.state, "flush_log"):  # lines that are still queued are of these requests, and would slow the next
        app.state.flush_log(FLUSH_SECONDS)
    return (time.perf_counter() - started) / REQUESTS * 1e6
