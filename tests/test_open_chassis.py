"""The chassis beside what Starlette users bring: other servers, FastAPI, Sentry, sse-starlette, OpenTelemetry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from conftest import TEMPLATE, UV

OPEN = TEMPLATE / "tests" / "chassis" / "open"


def test_the_chassis_is_open_to_asgi(project: Path, tmp_path: Path) -> None:
    """In a copy of the project's environment, because no project depends on these packages."""
    environment = tmp_path / "environment"
    shutil.copytree(project / ".venv", environment, symlinks=True)
    python = str(environment / "bin" / "python")
    install = ["pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", python]
    subprocess.run([UV, *install, "-r", str(OPEN / "requirements.txt")], check=True)
    arguments = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--numprocesses", "3"]
    done = subprocess.run(
        [python, "-m", "pytest", *arguments, "-o", f"pythonpath={OPEN.parents[1]}", f"--confcutdir={OPEN}", str(OPEN)],
        cwd=OPEN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
