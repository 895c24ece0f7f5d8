"""Serves the whole application as the command does, composed by a test that replaces or adds a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from acme_service.chassis.cli import read_settings
from acme_service.chassis.commands import new_process, server_options
from acme_service.chassis.server.process import serve
from acme_service.chassis.settings import Settings
from acme_service.chassis.startup import configure_log
from acme_service.chassis.wiring import Process

from ..sample import SERVICE

Compose = Callable[[Settings, Process], tuple[ASGIApp, ASGIApp]]
"""Gives the application of each listener: the main one's, the operations'."""


def run(wishes: dict[str, Any], compose: Compose) -> int:
    """Serve in the folder that is wished for, with the other wishes as settings; returns the exit code."""
    folder = Path(wishes["folder"])
    environ = {"PORT": "0", "DATABASE_URL": f"sqlite:///{folder / 'service.db'}"} | wishes
    settings = read_settings(SERVICE, environ, folder)
    writer = configure_log(SERVICE, settings)
    process = new_process(SERVICE, settings, writer)
    options = server_options(SERVICE, settings, process)
    return serve(lambda: compose(settings, process), options, process.lifecycle, flush=writer.flush)
