"""Serves the whole application as the command does, composed by a test that replaces or adds a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from {{ cookiecutter.package_name }}.chassis.application import Process
from {{ cookiecutter.package_name }}.chassis.cli import _configure_logging, _process, _server_options
from {{ cookiecutter.package_name }}.chassis.settings.core import Settings, load_settings
from {{ cookiecutter.package_name }}.chassis.server.process import serve

Compose = Callable[[Settings, Process], tuple[ASGIApp, ASGIApp]]
"""Gives the application of each listener: the main one's, the operations'."""


def run(wishes: dict[str, Any], compose: Compose) -> int:
    """Serve in the folder that is wished for, with the other wishes as settings; returns the exit code."""
    folder = Path(wishes["folder"])
    settings = load_settings({"PORT": "0", "DATABASE_URL": f"sqlite:///{folder / 'service.db'}"} | wishes, folder)
    writer = _configure_logging(settings)
    process = _process(settings, writer)
    options = _server_options(settings, process.metrics)
    return serve(lambda: compose(settings, process), options, process.lifecycle, flush=writer.flush)
