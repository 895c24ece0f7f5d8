"""The rendered project's own application, built and asked without a socket or a server.

It is configured as in production, but its access line goes to a writer whose thread writes it to the null device, so
that its cost is counted.
"""

from __future__ import annotations

import importlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REQUESTS = 4000
FLUSH_SECONDS = 5.0
Headers = Sequence[tuple[bytes, bytes]]


def build(package: str, directory: Path, *, more: Sequence[Any] = ()) -> Any:
    """The application with every feature that it has and *more*; its database lies in *directory*."""
    module = {
        name: importlib.import_module(f"{package}.{name}")
        for name in ("app", "config.settings", "config.logging", "features", "lifecycle", "metrics")
    }
    environ = {
        "APP_ENV": "production",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": f"sqlite:///{directory}/bench.db",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "RATE_LIMIT_PER_MINUTE": "0",
    }
    features = module["features"].FEATURES
    groups = [feature.settings for feature in features if feature.settings]
    settings = module["config.settings"].load_settings(environ, directory, groups)
    sink = Path("/dev/null").open("wb", buffering=0)  # noqa: SIM115 - lives as long as the process
    writer = module["config.logging"].configure_logging(
        level="info", json_lines=True, file=None, environment="production", stream=sink
    )
    process = module["app"].Process(
        lifecycle=module["lifecycle"].Lifecycle(),
        metrics=module["metrics"].Metrics(),
        access_log=module["config.logging"].AccessLog(writer, level="info"),
    )
    app = module["app"].create_app(settings, process, [*features, *more])
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
