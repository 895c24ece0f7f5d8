"""Starts the service by its own command, as an operator does, with nothing but the given environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from acme_service.chassis import Service as ChassisService

from . import command_in_fork
from .service import Service

PACKAGE = "acme_service"
SAMPLE = "chassis.sample"
PROGRAM = f"""
import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from {PACKAGE}.chassis.server.signals import exit_at_once_on_signals
exit_at_once_on_signals()
from {PACKAGE}.chassis import run
sys.exit(run("SERVICE"))
"""


def typed(service: str) -> list[str]:
    """The command line of *service*, as `__main__` runs that of a project."""
    return [sys.executable, "-c", PROGRAM.replace("SERVICE", service)]


CORE = typed(SAMPLE)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """What a process of the service needs, its files in *folder*; *variables* come on top."""
    return {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
        **variables,
    }


def run(folder: Path, *arguments: str, service: str = SAMPLE, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*typed(service), *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Command(Service):
    """`serve` as a running process, in *folder*; a fork, which is spared the second that the imports take."""

    service: ChassisService | str = SAMPLE
    """What is served, or the module that holds it."""
    command = "serve"

    def __init__(self, folder: Path, **variables: str) -> None:
        self.environment = environment(folder, **variables)
        self.serve(folder)

    def serve(self, folder: Path) -> None:
        wishes = {"folder": folder, "environment": self.environment, "service": self.service, "command": self.command}
        self.fork(command_in_fork.serve, wishes)

    def client(self, listener: str = "main", **options: Any) -> httpx2.Client:
        """A client of one of its listeners."""
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port(listener)}", timeout=10, **options)


def wait_until_ready(client: httpx2.Client, within_seconds: float = 5) -> None:
    """Fail unless readiness passes in time: a check has 0.6 s, which a busy machine may not give it."""
    ends = time.monotonic() + within_seconds
    while (response := client.get("/health/ready")).status_code != 200:
        assert time.monotonic() < ends, response.text
        time.sleep(0.05)


class TypedCommand(Command):
    """As `Command`, by the command line that an operator types."""

    def serve(self, folder: Path) -> None:
        self.start([*CORE, "serve"], cwd=folder, env=self.environment)
