"""A project made with cruft is refused, made and updated as one made with cookiecutter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GIT, PROJECT_FOLDER, TEMPLATE, run
from test_text import AUTHOR

from local_extensions import GUARD

CRUFT = [sys.executable, "-m", "cruft"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A Git repository of the template as it is now, which a test may change."""
    folder = tmp_path / "template"
    folder.mkdir()
    for name in ("cookiecutter.json", "local_extensions.py", "update_guard.py", "kept_migrations.py"):
        shutil.copy(TEMPLATE / name, folder / name)
    shutil.copytree(TEMPLATE / "hooks", folder / "hooks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT_FOLDER, folder / PROJECT_FOLDER.name)
    commit(folder)
    return folder


def test_a_bad_answer_is_refused_in_one_line(repository: Path, tmp_path: Path) -> None:
    process = create(repository, tmp_path / "output", project_slug="../x")

    assert 1 == process.returncode
    assert "" == process.stdout
    [line] = process.stderr.splitlines()
    assert line.startswith("project_slug: '../x' is not accepted; ")
    assert not (tmp_path / "output").exists()


def test_an_edited_project_takes_over_a_change_and_keeps_its_text(repository: Path, tmp_path: Path) -> None:
    created = create(repository, tmp_path, project_slug="acme", description=AUTHOR, ci="gitlab")
    assert 0 == created.returncode, created.stdout + created.stderr
    project = tmp_path / "acme"
    (project / "src" / "acme" / "own.py").write_text('"""Ours."""\n')
    commit(project)

    licence = repository / PROJECT_FOLDER.name / "LICENSE"
    licence.write_text(licence.read_text("utf-8").replace("MIT License", "The MIT License"))
    commit(repository)
    run([*CRUFT, "update", "--skip-apply-ask"], project)

    changed = {line[3:] for line in run([*GIT, "status", "--short"], project).splitlines()}
    assert {"LICENSE", ".cruft.json"} == changed
    assert (project / "LICENSE").read_text("utf-8").startswith("The MIT License\n")
    assert AUTHOR == json.loads((project / ".cruft.json").read_text("utf-8"))["context"]["cookiecutter"]["description"]


def test_an_answer_that_became_bad_is_refused_by_the_next_update(repository: Path, tmp_path: Path) -> None:
    create(repository, tmp_path, project_slug="acme")
    project = tmp_path / "acme"
    kept = json.loads((project / ".cruft.json").read_text("utf-8"))
    assert GUARD == kept["context"]["cookiecutter"]["__guard"]
    kept["context"]["cookiecutter"]["ci"] = "jenkins"
    (project / ".cruft.json").write_text(json.dumps(kept))
    commit(project)
    (repository / PROJECT_FOLDER.name / "NEW").write_text("new\n")
    commit(repository)

    with pytest.raises(pytest.fail.Exception, match="ci: 'jenkins' is not accepted"):
        run([*CRUFT, "update", "--skip-apply-ask"], project)

    assert "" == run([*GIT, "status", "--short"], project)


def test_an_update_renders_with_the_filters_of_the_new_version(repository: Path, tmp_path: Path) -> None:
    create(repository, tmp_path, project_slug="acme")
    project = tmp_path / "acme"
    commit(project)
    extension = repository / "local_extensions.py"
    extension.write_text(extension.read_text("utf-8").replace("slug=slug,", "slug=slug, shout=str.upper,"))
    (repository / PROJECT_FOLDER.name / "NEW").write_text('{{ "new" | shout }}\n')
    commit(repository)
    run([*CRUFT, "update", "--skip-apply-ask"], project)

    assert "NEW\n" == (project / "NEW").read_text("utf-8")


def create(repository: Path, output: Path, *arguments: str, **answers: str) -> subprocess.CompletedProcess[str]:
    """Make a project in a folder of *output*; *arguments* are cruft's own."""
    options = ["--no-input", "--default-config", "--output-dir", str(output), "--extra-context", json.dumps(answers)]
    return subprocess.run(
        [*CRUFT, "create", *options, *arguments, str(repository)],
        cwd=repository.parent,  # Python looks for modules where it is started, and would find those of this template
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def commit(folder: Path) -> None:
    """Commit everything that is in *folder*, which is a repository, or becomes one."""
    run([*GIT, "init", "--quiet"], folder)
    run([*GIT, "add", "--all"], folder)
    run([*GIT, "commit", "--quiet", "--message", "Change"], folder)
