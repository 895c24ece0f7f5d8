"""The linters that people put before their generators find no error in the document of the whole service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from acme_service.chassis.application import create_app
from acme_service.chassis.cli import read_settings
from acme_service.chassis.http.openapi import openapi_document

from ..application import new_process
from ..sample import RENDERED

PACKAGES = ("@redocly/cli@2.77.0", "@stoplight/spectral-cli@6.16.3")
COMMANDS = {
    "redocly": ("lint", "--extends=recommended", "--format=summary"),
    "spectral": ("lint", "--fail-severity=error"),
}
BEARER = {"type": "http", "scheme": "bearer"}


def missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI tries the linters", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the linters, which npm installs."""
    npm = shutil.which("npm")
    if npm is None:
        missing("npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    command = [str(npm), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    if subprocess.run(command, check=False, timeout=300, cwd=folder).returncode:
        missing(f"npm could not install {' '.join(PACKAGES)}")
    return folder / "node_modules" / ".bin"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("document")
    settings = read_settings(RENDERED, {"APP_ENV": "test"}, folder)
    routes = create_app(RENDERED, settings, new_process()).routes
    (folder / "openapi.json").write_bytes(openapi_document(RENDERED, routes, BEARER))
    (folder / ".spectral.yaml").write_text(json.dumps({"extends": ["spectral:oas"]}))
    return folder / "openapi.json"


@pytest.mark.parametrize("linter", COMMANDS)
def test_a_linter_finds_no_error(tools: Path, document: Path, linter: str) -> None:
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    command = [str(tools / linter), *COMMANDS[linter], document.name]
    found = subprocess.run(
        command, check=False, timeout=120, cwd=document.parent, env=environment, capture_output=True, text=True
    )

    assert 0 == found.returncode, found.stdout + found.stderr
