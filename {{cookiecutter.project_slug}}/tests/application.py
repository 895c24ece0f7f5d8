"""The whole application, called in process over its lifespan; only the server is left out.

    async def test_an_order_can_be_placed(admin_client):
        response = await admin_client.post("/api/orders", json={"item": "tea"})

Each of these fixtures works on a clean database of each kind: `client` is anonymous, `client_of` gives a client of the
user of a name, `admin_client` may do everything.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from {{ cookiecutter.package_name }}.app import SERVICE
from {{ cookiecutter.package_name }}.chassis import Core, Feature, Parts
from {{ cookiecutter.package_name }}.chassis.application import create_app
from {{ cookiecutter.package_name }}.chassis.cli import read_settings
from {{ cookiecutter.package_name }}.chassis.lifecycle import Lifecycle, Phase
from {{ cookiecutter.package_name }}.chassis.metrics import Metrics
from {{ cookiecutter.package_name }}.chassis.passwords import Passwords
from {{ cookiecutter.package_name }}.chassis.wiring import Process

PASSWORD = "correct horse battery"
MISSING_ID = "01890000-0000-7000-8000-000000000000"

ClientOf = Callable[..., Awaitable[httpx2.AsyncClient]]
"""`await client_of("ada")`: a client of the user of that name, who is created at the first call."""


def new_user(name: str = "Ada", **fields: Any) -> dict[str, Any]:
    """The body that creates a user; this is the one place that knows what such a body needs."""
    return {"name": name, "email": f"{name.lower()}@example.com", "password": PASSWORD} | fields


def production(**variables: str) -> dict[str, str]:
    """The least that production needs, with what the tests of each feature name in PRODUCTION, and *variables*."""
    password = secrets.token_urlsafe(12)
    needed = {
        "APP_ENV": "production",
        "ALLOWED_HOSTS": "api.example.com",
        "DATABASE_URL": f"postgresql://service:{password}@db.example.com/service",
    }
    for feature in SERVICE.features:
        if find_spec(f"tests.{feature.name}") is not None:
            needed |= getattr(import_module(f"tests.{feature.name}"), "PRODUCTION", {})
    return needed | variables


def cheap_passwords() -> Passwords:
    """Hashes that cost nothing; a real process makes real ones."""
    return Passwords(memory_kib=8, iterations=1)


class Lines:
    """Keeps each access line as a dictionary."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def line(self, **fields: Any) -> None:
        self.written.append(fields)


@dataclass(frozen=True)
class Application:
    """The application between its start and its end."""

    app: Starlette
    core: Core
    """What the features share: `core.get(Users)` is the service of the users."""
    lines: Lines

    def client(self, **headers: str) -> httpx2.AsyncClient:
        """A client that sends *headers* with every request."""
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


@asynccontextmanager
async def running(
    database_url: str, folder: Path, *features: Feature, **environment: str
) -> AsyncIterator[Application]:
    """The service, and *features* of the test, with *environment* as its only settings.

    No `.env` file is read but in *folder*.
    """
    cores: list[Core] = []

    def build(core: Core) -> Parts:
        cores.append(core)
        return Parts()

    service = replace(SERVICE, features=(*SERVICE.features, *features, Feature(name="tests", build=build)))
    settings = read_settings(service, {"APP_ENV": "test", "DATABASE_URL": database_url, **environment}, folder)
    lifecycle, lines = Lifecycle(), Lines()
    process = Process(
        lifecycle=lifecycle,
        metrics=Metrics(),
        access_log=lines,  # type: ignore[arg-type] # its one method
        passwords=cheap_passwords,
    )
    app = create_app(service, settings, process)
    async with app.router.lifespan_context(app):
        lifecycle.advance(Phase.READY)
        yield Application(app, cores[0], lines)


@pytest.fixture
async def application(database_url: str, tmp_path: Path) -> AsyncIterator[Application]:
    async with running(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(application: Application) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that says nothing of who it is."""
    async with application.client() as opened:
        yield opened


@pytest.fixture
def client_of(client: httpx2.AsyncClient) -> ClientOf:
    """Nothing identifies callers here, so every user has the client of all."""

    async def of(_name: str, **_role: str) -> httpx2.AsyncClient:
        return client

    return of


@pytest.fixture
def admin_client(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client that may do everything, as everyone may here."""
    return client
