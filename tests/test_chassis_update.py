"""`make chassis` brings a newer chassis to a project, and nothing else; it stops before it would undo something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import GIT, PROJECT_FOLDER, Render, files_below, make, project_environment, run
from test_updates import CRUFT, commit, create

CHASSIS = f"{PROJECT_FOLDER.name}/src/{{{{cookiecutter.package_name}}}}/chassis"
OWN = "src/acme/chassis"
OLD, NEW = "90.0.0", "90.1.0"
SETTING = """    backlog: int = Field(
        default=2048, ge=1, le=65535, validation_alias="BACKLOG", description="Connections that may wait for accept."
    )
"""
Release = Callable[[Path, str, str], None]


@pytest.fixture
def template(present: Path, tmp_path: Path) -> Path:
    """A clone of the template, released as OLD."""
    folder = tmp_path / "template"
    run([*GIT, "clone", "--quiet", str(present), str(folder)], tmp_path)
    _release(folder, OLD, "Nothing is asked.")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project of the release OLD, committed."""
    created = create(template, tmp_path / "project", project_slug="acme", profile="full")
    assert 0 == created.returncode, created.stderr
    project = tmp_path / "project/acme"
    commit(project)
    return project


def test_a_newer_chassis_comes_with_its_requirements_and_documents_and_the_rest_with_the_next_update(
    template: Path, project: Path, tmp_path: Path
) -> None:
    _edit_requirements(project, '  "python-dotenv', '  "text-unidecode>=1.3", # ours\n  "python-dotenv')
    make(project, "setup")
    commit(project)
    python = str(project / ".venv/bin/python")
    _renew(template, python)
    before = _tree(project)

    output = make(project, "chassis")

    after = _tree(project)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert {".env.example", "docs/configuration.md", "pyproject.toml", "uv.lock"} == {
        name for name in changed if not name.startswith(f"{OWN}/")
    }
    assert f"## [{NEW}]" in output
    assert f"## [{OLD}]" not in output
    assert f"{NEW}\n" == (project / OWN / "VERSION").read_text("utf-8")
    assert '  "structlog>=26.1,<99", # structured logs\n' in (project / "pyproject.toml").read_text("utf-8")
    assert "text-unidecode" in (project / "uv.lock").read_text("utf-8")
    assert "BACKLOG" in (project / ".env.example").read_text("utf-8")
    assert "" == run([python, "-m", "acme.chassis.manifest"], project)

    _edit_requirements(project, '  "text-unidecode>=1.3", # ours\n', "")
    commit(project)
    run([*CRUFT, "update", "--skip-apply-ask"], project)
    fresh = create(template, tmp_path / "fresh", project_slug="acme", profile="full")
    assert 0 == fresh.returncode, fresh.stderr
    assert _tree(tmp_path / "fresh/acme") == {name: text for name, text in _tree(project).items() if name != "uv.lock"}


def test_without_features_no_folder_of_one_comes(template: Path, tmp_path: Path) -> None:
    create(template, tmp_path / "project", project_slug="acme", profile="minimal")
    project = tmp_path / "project/acme"
    commit(project)
    _release(template, NEW, "Nothing is asked.")

    _update(project, template)

    assert not (project / OWN / "auth").exists()
    assert "pyjwt" not in (project / "pyproject.toml").read_text("utf-8")
    assert f"{NEW}\n" == (project / OWN / "VERSION").read_text("utf-8")


def test_an_edited_file_stops_it_and_is_named(template: Path, project: Path) -> None:
    _edit_chassis(project)
    commit(project)
    _release(template, NEW, "Nothing is asked.")

    assert "not as released are context.py (edited), own.py (unlisted); FORCE=1" in _refusal(project, template)


def test_with_force_an_edit_is_saved_as_a_patch_that_applies(template: Path, project: Path) -> None:
    _edit_chassis(project)
    (project / OWN / "auth/attempts.py").unlink()
    commit(project)
    before = files_below(project / OWN).keys()
    _release(template, NEW, "Nothing is asked.")

    output = _update(project, template, "--force")

    assert (
        "chassis.patch holds what was changed in the chassis: auth/attempts.py (missing), context.py (edited)" in output
    )
    assert "# Ours" not in (project / OWN / "context.py").read_text("utf-8")
    assert not (project / OWN / "own.py").exists()
    run([*GIT, "apply", "chassis.patch"], project)
    assert (project / OWN / "context.py").read_text("utf-8").endswith("# Ours\n")
    assert before == files_below(project / OWN).keys()


def test_an_older_template_is_refused(template: Path, project: Path) -> None:
    _release(template, "89.0.0", "Nothing is asked.")

    assert f"its chassis is of {OLD}, and this template has 89.0.0, which is older" in _refusal(project, template)


def test_a_release_that_changes_the_product_is_refused_even_with_a_later_one(template: Path, project: Path) -> None:
    _release(template, "90.0.5", "**Changes the product.** Routes are values.")
    _release(template, NEW, "Nothing is asked.")

    assert "90.0.5 needs changes outside of the chassis: update the whole project" in _refusal(project, template)


def test_uncommitted_changes_are_refused(template: Path, project: Path) -> None:
    (project / "notes.txt").write_text("not yet committed\n")

    assert "commit or stash them first" in _refusal(project, template)


def test_a_project_without_a_chassis_is_told_what_to_do(template: Path, project: Path) -> None:
    run([*GIT, "rm", "--quiet", "-r", OWN], project)
    commit(project)

    assert "`make adopt` in the template" in _refusal(project, template)


def test_a_list_of_requirements_on_one_line_is_refused(template: Path, project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(
        re.sub(r"\ndependencies = \[.*?\n\]", '\ndependencies = ["a"]', path.read_text("utf-8"), flags=re.DOTALL)
    )
    commit(project)

    assert "no list 'dependencies' with one entry on a line" in _refusal(project, template)


def test_without_an_address_or_a_record_it_asks_for_one(render: Render) -> None:
    command = [sys.executable, "scripts/chassis.py", ""]
    process = subprocess.run(command, cwd=render(), capture_output=True, check=False, text=True)

    assert (2, "say where the template is: make chassis FROM=path-or-address\n") == (process.returncode, process.stderr)


def _release(template: Path, version: str, upgrade: str) -> None:
    """Commit *template* as *version*, whose section of the changelog says *upgrade*."""
    for name, pattern in (
        ("pyproject.toml", r'^version = "(.+)"'),
        ("cookiecutter.json", r'"__template_version": "(.+)"'),
    ):
        path = template / name
        text = path.read_text("utf-8")
        old = re.findall(pattern, text, re.MULTILINE)[0]
        path.write_text(text.replace(f'"{old}"', f'"{version}"', 1))
    changelog = template / "CHANGELOG.md"
    head, _, tail = changelog.read_text("utf-8").partition("\n## [")
    section = f"\n## [{version}]\n\n### Upgrade\n\n{upgrade}\n"
    changelog.write_text(f"{head}{section}" + (f"\n## [{tail}" if not tail.startswith("Unreleased") else ""))
    run([sys.executable, "-m", "tools.manifest"], template)
    commit(template)


def _renew(template: Path, python: str) -> None:
    """Release NEW, in which the chassis has one file more, one less and one edited, a setting and another range."""
    chassis = template / CHASSIS
    (chassis / "http/newer.py").write_text('"""New here."""\n')
    (chassis / "middleware/order.py").rename(chassis / "middleware/sequence.py")
    layers = chassis / "middleware/__init__.py"
    layers.write_text(layers.read_text("utf-8").replace(".order", ".sequence"))
    application = chassis / "application.py"
    application.write_text(application.read_text("utf-8").replace(".middleware.order", ".middleware.sequence"))
    settings = chassis / "settings/core.py"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("    operations_port: int", f"{SETTING}    operations_port: int", 1))
    pyproject = template / PROJECT_FOLDER.name / "pyproject.toml"
    pyproject.write_text(pyproject.read_text("utf-8").replace('"structlog>=26.1,<27"', '"structlog>=26.1,<99"'))
    run([sys.executable, "-m", "tools.documents", python], template)
    _release(template, NEW, "Nothing is asked.")


def _edit_chassis(project: Path) -> None:
    context = project / OWN / "context.py"
    context.write_text(f"{context.read_text('utf-8')}# Ours\n")
    (project / OWN / "own.py").write_text('"""Ours."""\n')


def _edit_requirements(project: Path, old: str, new: str) -> None:
    path = project / "pyproject.toml"
    path.write_text(path.read_text("utf-8").replace(old, new, 1))


def _update(project: Path, template: Path, *arguments: str) -> str:
    """Run the tool of a clone, with a `make` that does nothing: no environment is there."""
    process = _tool(project, template, *arguments)
    assert 0 == process.returncode, process.stdout + process.stderr
    return process.stdout


def _refusal(project: Path, template: Path) -> str:
    """Return the one line that refuses; the project has to be as before."""
    before = {name: path.read_bytes() for name, path in files_below(project).items()}
    process = _tool(project, template)
    assert before == {name: path.read_bytes() for name, path in files_below(project).items()}
    assert (1, "") == (process.returncode, process.stdout)
    [line] = process.stderr.splitlines()
    return line


def _tool(project: Path, template: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = project.parent / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "make").write_text("#!/bin/sh\n")
    (programs / "make").chmod(0o755)
    command = [sys.executable, "scripts/chassis.py", str(template), *arguments]
    environment = project_environment(PATH=f"{programs}:{os.environ['PATH']}", PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False, text=True)


def _tree(project: Path) -> dict[str, bytes]:
    """Return every file that the project's repository has, or would have after `git add --all`."""
    run([*GIT, "init", "--quiet"], project)
    listed = run([*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], project).split("\0")
    names = [name for name in listed if name != ".cruft.json" and (project / name).is_file()]
    return {name: (project / name).read_bytes() for name in names}
