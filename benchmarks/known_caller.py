"""What it costs a request in process that its caller is known, beside the same answer to anybody; in microseconds.

Runs in the environment of a rendered project that has the feature `auth`, takes its package name, and prints one JSON
object. The caller's state is remembered and the token was seen before, as in the middle of a session. Both routes
answer the same bytes and are called turn and turn about.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from in_process import receive, scope, send
from starlette.requests import Request
from starlette.responses import Response

ROUNDS, REQUESTS = 15, 4000
CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery"}
WARM_SECONDS = 5.5
"""Nothing is remembered of an account for some seconds after it changed, which a login does."""


async def answer(_request: Request) -> Response:
    """The same for everybody."""
    return Response(b"{}", media_type="application/json")


def build(package: str, directory: Path) -> Any:
    """The project's own application, with one public route more and one for known callers."""
    module = {
        name: importlib.import_module(f"{package}.{name}")
        for name in ("access", "app", "config.settings", "config.logging", "features", "lifecycle", "metrics",
                     "routes.table", "wiring")  # fmt: skip
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
    table, access, wiring = module["routes.table"], module["access"], module["wiring"]
    routes = [
        table.ApiRoute("/public", {"GET": table.allow(access.PUBLIC, answer)}, name="public"),
        table.ApiRoute("/known", {"GET": table.allow(access.AUTHENTICATED, answer)}, name="known"),
    ]
    more = wiring.Feature(name="benchmark", build=lambda _core: wiring.Parts(routes=routes))
    return module["app"].create_app(settings, process, [*features, more])


async def post(app: Any, path: str, body: dict[str, str]) -> Any:
    """The parsed answer of a POST."""
    sent: list[dict[str, Any]] = []

    async def receive_body() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def keep(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    asked = scope() | {"method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
    await app(asked, receive_body, keep)
    return json.loads(b"".join(message.get("body", b"") for message in sent))


async def microseconds(app: Any, path: str, headers: list[tuple[bytes, bytes]]) -> float:
    """The mean time of one request over REQUESTS of them."""
    started = time.perf_counter()
    for _ in range(REQUESTS):
        await app(scope() | {"path": path, "raw_path": path.encode(), "headers": headers}, receive, send)
    return (time.perf_counter() - started) / REQUESTS * 1e6


async def compare(package: str, directory: Path) -> dict[str, float]:
    """Medians of both routes over ROUNDS alternating rounds."""
    migrations = importlib.import_module(f"{package}.migrations")
    await asyncio.to_thread(migrations.migrate, f"sqlite:///{directory}/bench.db")
    app = build(package, directory)
    async with app.router.lifespan_context(app):
        await post(app, "/api/auth/register", CREDENTIALS | {"name": "Ada"})
        token = (await post(app, "/api/auth/login", CREDENTIALS))["access_token"]
        await asyncio.sleep(WARM_SECONDS)
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        figures: dict[str, list[float]] = {"public": [], "known": []}
        for _ in range(ROUNDS):
            for route, values in figures.items():
                values.append(await microseconds(app, f"/{route}", headers))
    return {route: statistics.median(values) for route, values in figures.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(uvloop.run(compare(sys.argv[1], Path(temporary)))).splitlines()[-1])
