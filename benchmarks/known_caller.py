"""What it costs a request in process that its caller is known, beside the same answer to anybody; in microseconds.

Runs in the environment of a rendered project that has the feature `auth`, takes its package name and the rounds, and
prints one JSON object. The caller's state is remembered and the token was seen before, as in the middle of a session.
Both routes answer the same bytes and are called turn and turn about.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvloop
from application import build, microseconds, scope
from starlette.requests import Request
from starlette.responses import Response

CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery"}
WARM_SECONDS = 5.5
"""Nothing is remembered of an account for some seconds after it changed, which a login does."""


async def respond(_request: Request) -> Response:
    """The same for every caller."""
    return Response(b"{}", media_type="application/json")


def both_routes(package: str) -> Any:
    """A feature with one public route and one for known callers."""
    chassis, access, http = (
        importlib.import_module(f"{package}.{name}") for name in ("chassis", "chassis.access", "chassis.http")
    )
    handler = http.describe(summary="Respond", description="Always the same.", responses={200: str})(respond)
    routes = [
        http.ApiRoute("/public", {"GET": http.allow(access.PUBLIC, handler)}, name="public"),
        http.ApiRoute("/known", {"GET": http.allow(access.AUTHENTICATED, handler)}, name="known"),
    ]
    return chassis.Feature(name="benchmark", build=lambda _core: chassis.Parts(routes=routes))


async def post(app: Any, path: str, body: dict[str, str]) -> Any:
    """The parsed answer of a POST."""
    sent: list[dict[str, Any]] = []

    async def receive_body() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    async def keep(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    await app(scope(path, headers, method="POST"), receive_body, keep)
    return json.loads(b"".join(message.get("body", b"") for message in sent))


async def compare(package: str, directory: Path, rounds: int) -> dict[str, float]:
    """Medians of both routes over alternating *rounds*."""
    migrations = importlib.import_module(f"{package}.chassis.database.migrations")
    service = importlib.import_module(f"{package}.app").SERVICE
    schema = migrations.Schema(service.models, service.versions)
    await asyncio.to_thread(migrations.migrate, f"sqlite:///{directory}/bench.db", schema)
    app = build(package, directory, more=[both_routes(package)])
    async with app.router.lifespan_context(app):
        await post(app, "/api/auth/register", CREDENTIALS | {"name": "Ada"})
        token = (await post(app, "/api/auth/login", CREDENTIALS))["access_token"]
        await asyncio.sleep(WARM_SECONDS)
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        figures: dict[str, list[float]] = {"public": [], "known": []}
        for _ in range(rounds):
            for route, values in figures.items():
                values.append(await microseconds(app, f"/{route}", headers))
    return {route: statistics.median(values) for route, values in figures.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(uvloop.run(compare(sys.argv[1], Path(temporary), int(sys.argv[2])))))
