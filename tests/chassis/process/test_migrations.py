"""Revisions out of line, and models without a revision, as an operator and a developer meet them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ..sample import SERVICE
from .command import Command, environment, typed

OWN = "chassis.process.own_schema"
HERE = typed(OWN)
PRODUCTION = {"APP_ENV": "production", "ALLOWED_HOSTS": "127.0.0.1", "DRAIN_DELAY_SECONDS": "0"}
BROKEN = """
revision = "0002"
down_revision = "0001"
def upgrade():
    raise RuntimeError("broken on purpose")
"""

MODEL = """
from sqlalchemy.orm import Mapped, mapped_column
from models.base import Base
class City(Base):
    __tablename__ = "cities"
    id: Mapped[str] = mapped_column(primary_key=True)
"""


class OwnCommand(Command):
    service = OWN


def command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HERE, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(folder: Path) -> Path:
    """The models and revisions of the render, and a database that has them."""
    shutil.copytree(SERVICE.versions, folder / "versions", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "models").mkdir()
    for path in (SERVICE.versions.parents[1] / "models").glob("*.py"):
        (folder / "models" / path.name).write_text(f"from acme_service.models.{path.stem} import *\n")
    (folder / "models" / "__init__.py").write_text("")
    return folder


def revision(project: Path, name: str, text: str = "") -> None:
    (project / "versions" / name).write_text(text or f'revision = "{name[:4]}"\ndown_revision = "0001"\n')


@pytest.mark.parametrize(
    "arguments", [("migrate",), ("serve",), ("makemigration", "add more")], ids=lambda each: each[0]
)
def test_two_branches_with_one_number_are_rejected_by_every_command(project: Path, arguments: tuple[str, ...]) -> None:
    revision(project, "0002_add_city.py")
    revision(project, "0002_add_phone.py")
    result = command(project, *arguments, **PRODUCTION)

    said = result.stdout + result.stderr
    assert 3 == result.returncode
    assert '"exception"' not in said
    assert "0002_add_city.py and 0002_add_phone.py" in said
    assert "0003_add_phone.py" in said
    assert "Traceback" not in said


def test_a_failing_migration_is_one_line_without_frames(project: Path) -> None:
    revision(project, "0002_break.py", BROKEN)
    result = command(project, "migrate", **PRODUCTION)
    [line] = map(json.loads, result.stdout.splitlines())

    assert (3, "") == (result.returncode, result.stderr)
    assert ("migration failed", "0002_break.py, line 5: RuntimeError: broken on purpose") == (
        line["event"],
        line["reason"],
    )
    assert "exception" not in line


def test_an_empty_migration_is_not_written(project: Path) -> None:
    result = command(project, "makemigration", "nothing")

    assert (0, "") == (result.returncode, result.stderr)
    assert "nothing to write" in result.stdout
    assert 1 == len(list((project / "versions").glob("*.py")))


def test_a_model_without_its_migration_is_a_warning_in_development(project: Path) -> None:
    (project / "models" / "city.py").write_text(MODEL)
    with OwnCommand(project) as service:
        line = service.line("models have changes without a migration")
        service.port()
        service.signal()
        assert 0 == service.exit_code(within_seconds=10)

    assert ("warning", ["table cities"]) == (line["level"], line["missing"])
    assert "makemigration" in line["hint"]


@pytest.mark.parametrize("app_env", ["development", "production"])
def test_no_warning_comes_without_a_difference_or_in_production(project: Path, app_env: str) -> None:
    if app_env == "production":
        (project / "models" / "city.py").write_text(MODEL)
    with OwnCommand(project, **PRODUCTION | {"APP_ENV": app_env}) as service:
        service.port()
        service.signal()
        assert 0 == service.exit_code(within_seconds=10)
        assert "models have changes without a migration" not in service.events()
