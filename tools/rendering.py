"""Renders the template aside, where nothing of the home folder is read or written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parent.parent
PROJECT_FOLDER = TEMPLATE / "{{cookiecutter.project_slug}}"


def rendered(answers: Mapping[str, str], folder: Path, template: Path = TEMPLATE) -> Path:
    """Render *template* into the new *folder*, and return the project's own folder in it."""
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(
        json.dumps({"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "templates")})
    )
    options = {"no_input": True, "output_dir": str(folder), "config_file": str(config)}
    return Path(cookiecutter(str(template), extra_context=dict(answers), **options))
