"""Starts the service by its own command, as an operator does, with nothing but the given environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from {{ cookiecutter.package_name }}.chassis.service import Feature

from . import command_in_fork
from .service import Service

PACKAGE = "{{ cookiecutter.package_name }}"
CORE = [sys.executable, "-c", f"import sys; from {PACKAGE}.cli import main; sys.exit(main(features=()))"]
"""The command line without features, which may have settings that they require."""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """What a process of the service needs, its files in *folder*; *variables* come on top."""
    return {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        **variables,
    }


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*CORE, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Command(Service):
    """`serve` as a running process, in *folder*; a fork, which is spared the second that the imports take."""

    features: Sequence[Feature] = ()
    """None, so that the tests of the core need nothing of a feature; those of a feature say which."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.environment = environment(folder, **variables)
        self.serve(folder)

    def serve(self, folder: Path) -> None:
        wishes = {"folder": folder, "environment": self.environment, "features": self.features}
        self.fork(command_in_fork.serve, wishes)

    def client(self, listener: str = "main", **options: Any) -> httpx2.Client:
        """A client of one of its listeners."""
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port(listener)}", timeout=10, **options)


class TypedCommand(Command):
    """As `Command`, by the command line that an operator types."""

    def serve(self, folder: Path) -> None:
        self.start([*CORE, "serve"], cwd=folder, env=self.environment)
