"""A small service made of values, called in process or started as a process; every file here builds its own."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from acme_service.chassis import Core, Feature, Parts, Service
from acme_service.chassis.access import PUBLIC, Caller, Policy
from acme_service.chassis.application import create_app
from acme_service.chassis.cli import read_settings
from acme_service.chassis.errors import Unauthenticated
from acme_service.chassis.http import ApiRoute, allow, describe
from acme_service.chassis.lifecycle import Lifecycle, Phase
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.middleware import allowed_hosts, body_size_limit, errors, instrumentation, proxies, time_limit
from acme_service.chassis.reports import ErrorReporter
from acme_service.chassis.settings import CHASSIS_GROUPS
from acme_service.chassis.wiring import Process

SECONDS = 20.0
VERSIONS = Path(__file__).parent / "versions"
"""One revision, without a table."""


def new_database(folder: Path) -> str:
    """The address of a database with the current schema."""
    with closing(sqlite3.connect(folder / "open.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version SELECT '0001' WHERE NOT EXISTS (SELECT * FROM alembic_version)")
        database.commit()
    return f"sqlite:///{folder}/open.db"


class Keys:
    """An authorizer that takes the key for the user's id."""

    scheme: Mapping[str, Any] = {"type": "http", "scheme": "bearer"}

    async def authorize(self, _policy: Policy, connection: HTTPConnection) -> Caller:
        key = connection.headers.get("authorization", "")
        if not key:
            raise Unauthenticated("A key is required.", challenge="Bearer")
        return Caller(user_id=key)


def layers(core: Core) -> Sequence[Middleware | None]:
    outside = instrumentation(core), proxies(core), errors(core), allowed_hosts(core)
    return *outside, body_size_limit(core), time_limit(core)


def service(
    *routes: BaseRoute,
    build: Callable[[Core], Parts] | None = None,
    middleware: Callable[[Core], Sequence[Middleware | None]] = layers,
    **fields: Any,
) -> Service:
    """A service with these *routes*, or with the parts that *build* returns."""
    return Service(
        name="open",
        title="Open",
        description="What the tests build.",
        version="1.0",
        package="acme_service",
        settings=CHASSIS_GROUPS,
        features=[Feature(name="product", build=build or (lambda _core: Parts(routes=routes)))],
        middleware=middleware,
        models="chassis.models",
        versions=VERSIONS,
        **fields,
    )


def route(path: str, handler: Callable[[Request], Any], *, policy: Policy = PUBLIC, **fields: Any) -> ApiRoute:
    """A described GET."""
    describe(summary="Get", description="It.", responses={200: str})(handler)
    return ApiRoute(path, {"GET": allow(policy, handler)}, name=path.strip("/") or "root", **fields)


class Lines:
    """Keeps the access lines."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def line(self, **fields: Any) -> None:
        self.written.append(fields)


class Client(httpx2.AsyncClient):
    """Of a running service, with what it has recorded."""

    lines: list[dict[str, Any]]
    app: Any


@asynccontextmanager
async def running(
    service: Service, folder: Path, *, prepare: Callable[[Any], object] | None = None, **environment: str
) -> AsyncIterator[Client]:
    """A client of *service*; *prepare* gets the application before it starts."""
    environment = {"APP_ENV": "test", "DATABASE_URL": new_database(folder), **environment}
    lines = Lines()
    process = Process(
        lifecycle=Lifecycle(),
        metrics=Metrics(),
        access_log=lines,  # type: ignore[arg-type]
        reporter=ErrorReporter(service.on_error),
    )
    app = create_app(service, read_settings(service, environment, folder), process)
    if prepare is not None:
        prepare(app)
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), Client(transport=transport, base_url="http://localhost") as client:
        process.lifecycle.advance(Phase.READY)
        client.lines, client.app = lines.written, app
        yield client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """A server as a process; its output is in files, so that it never waits for a reader."""

    def __init__(self, arguments: Sequence[str], folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output, self.errors = folder / "stdout", folder / "stderr"
        given = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "APP_ENV": "test",
            "DATABASE_URL": new_database(folder),
            "LOG_FORMAT": "json",
            "PORT": str(self.port),
            **environment,
        }
        with self.output.open("wb") as output, self.errors.open("wb") as errors_file:
            self.process = subprocess.Popen(
                [sys.executable, *(argument.replace("{port}", str(self.port)) for argument in arguments)],
                cwd=folder,
                env=given,
                stdout=output,
                stderr=errors_file,
            )

    def wait_until_ready(self, path: str = "/health/ready") -> httpx2.Response:
        ends = time.monotonic() + SECONDS
        while True:
            try:
                response = httpx2.get(self.url + path, timeout=SECONDS)
            except httpx2.TransportError:
                assert self.process.poll() is None, self.told()
                assert time.monotonic() < ends, self.told()
            else:
                if response.status_code != 503:
                    return response
            time.sleep(0.05)

    def told(self) -> str:
        return self.output.read_text() + self.errors.read_text()

    def end(self) -> tuple[int, float]:
        """SIGTERM; the exit code, and after how many seconds."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS), time.monotonic() - started


@contextmanager
def served(arguments: Sequence[str], folder: Path, **environment: str) -> Iterator[Served]:
    server = Served(arguments, folder, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


async def text(_request: Request) -> Response:
    return Response("text", media_type="text/plain")
