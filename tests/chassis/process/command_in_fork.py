"""The service's own `serve`, in a forked process that finds imported what it needs."""

from __future__ import annotations

import os
from typing import Any

import acme_service.chassis.application
import acme_service.chassis.logs.setup
import acme_service.chassis.server.process  # noqa: F401 - as the two above, for the forks
from acme_service.chassis.cli import run


def serve(wishes: dict[str, Any]) -> int:
    """Do what the command line does with the folder, environment and service that are wished for, and no other."""
    os.chdir(wishes["folder"])
    os.environ.clear()
    os.environ.update(wishes["environment"])
    return run(wishes["service"], wishes.get("command", "serve").split())
