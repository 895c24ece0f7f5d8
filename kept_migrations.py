"""Leaves the migrations of a project to it when it is updated: what databases have run is history.

The first migration of a new project changes with the template's models; that of an existing one must not. So `cruft
update` renders the new version with the migrations of the old one, and sees no difference in them. `update_guard` says
how an update is told, and why this is a module of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension

RENDERED_BEFORE = "current_template"
VERSIONS = "{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}/migrations/versions"


class KeptMigrations(Extension):
    """Gives this version, in cruft's own clone, the migrations of the version that was rendered before it."""

    def __init__(self, environment: Environment) -> None:
        """Copy them, if there are any; anything else that is rendered stays as it is."""
        super().__init__(environment)
        folder = Path(__file__).resolve().parent
        for versions in (folder.parent / RENDERED_BEFORE).glob("src/*/migrations/versions"):
            shutil.copytree(versions, folder / VERSIONS, dirs_exist_ok=True)
