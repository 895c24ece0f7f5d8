"""The service's own `serve`, in a forked process that finds imported what it needs."""

from __future__ import annotations

import os
from typing import Any

import {{ cookiecutter.package_name }}.chassis.application
import {{ cookiecutter.package_name }}.chassis.logs.setup
import {{ cookiecutter.package_name }}.chassis.server.process  # noqa: F401 - as the two above, for the forks
from {{ cookiecutter.package_name }}.chassis.cli import main


def serve(wishes: dict[str, Any]) -> int:
    """Do what the command line does with the folder, environment and features that are wished for, and no other."""
    os.chdir(wishes["folder"])
    os.environ.clear()
    os.environ.update(wishes["environment"])
    return main(["serve"], wishes["features"])
