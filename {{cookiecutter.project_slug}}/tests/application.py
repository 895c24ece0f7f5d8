"""The whole application, called in process over its lifespan; only the server is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from {{ cookiecutter.package_name }}.chassis.application import Process, create_app
from {{ cookiecutter.package_name }}.chassis.settings.core import load_settings
from {{ cookiecutter.package_name }}.chassis.lifecycle import Lifecycle, Phase
from {{ cookiecutter.package_name }}.chassis.metrics import Metrics
from {{ cookiecutter.package_name }}.chassis.service import Feature


class Lines:
    """Keeps each access line as a dictionary."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def line(self, **fields: Any) -> None:
        self.written.append(fields)


@asynccontextmanager
async def running(
    database_url: str, folder: Path, *, features: Sequence[Feature] = (), **environment: str
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application with *environment* as its only settings; no `.env` file is read but in *folder*.

    Without *features* it is the core alone, in which every route is public.
    """
    groups = [feature.settings for feature in features if feature.settings]
    settings = load_settings({"APP_ENV": "test", "DATABASE_URL": database_url, **environment}, folder, groups)
    process = Process(lifecycle=Lifecycle(), metrics=Metrics(), access_log=Lines())
    app = create_app(settings, process, features)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        process.lifecycle.advance(Phase.READY)
        yield client
