"""What a render contains: exactly the chosen files, nothing unrendered, everything readable."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tomllib
from pathlib import Path

import post_gen_project
import pytest
from conftest import PROJECT_FOLDER, TEMPLATE, Render, files_below, run
from cookiecutter.generate import is_copy_only_path
from post_gen_project import FEATURES
from test_text import AUTHOR

from local_extensions import CHOICES
from local_extensions import FEATURES as FEATURE_NAMES

LICENCE_WORDS = {
    "MIT": "MIT License",
    "Apache-2.0": "Version 2.0, January 2004",
    "BSD-3-Clause": "BSD 3-Clause License",
    "Proprietary": "All rights reserved.",
}
COOKIECUTTER = [sys.executable, "-m", "cookiecutter"]


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_the_oldest_python_is_the_one_that_was_asked_for(render: Render, version: str) -> None:
    folder = render(python_version=version)

    assert f'requires-python = ">={version}"' in (folder / "pyproject.toml").read_text("utf-8")
    assert version in (folder / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("licence", LICENCE_WORDS)
def test_the_licence_text_is_that_of_the_answer_alone(render: Render, licence: str) -> None:
    text = (render(license=licence) / "LICENSE").read_text("utf-8")

    assert [licence] == [name for name, words in LICENCE_WORDS.items() if words in text]


@pytest.mark.parametrize("features", list(itertools.product(("yes", "no"), repeat=len(FEATURE_NAMES))), ids="-".join)
def test_a_project_can_be_rendered_again_from_what_it_records(render: Render, features: tuple[str, ...]) -> None:
    chosen = dict(zip(FEATURE_NAMES, features, strict=True))
    texts = {"project_name": f"Acme {AUTHOR}", "description": AUTHOR, "author_name": AUTHOR}
    folder = render(project_slug="acme", package_name="orders", ci="gitlab", license="Proprietary", **texts, **chosen)
    record = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["cookiecutter-starlette-service"]
    recorded = {name: "yes" if name in record["features"] else "no" for name in FEATURE_NAMES}

    assert [name for name in FEATURE_NAMES if chosen[name] == "yes"] == record["features"]
    assert _bytes(folder) == _bytes(render(profile="full", **record["answers"], **recorded))


def test_a_project_records_every_answer_but_the_one_that_only_proposes_others(default_render: Path) -> None:
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    record = tomllib.loads((default_render / "pyproject.toml").read_text("utf-8"))["tool"]

    expected = {question for question in questions if not question.startswith("_")} - {"profile", *FEATURE_NAMES}
    assert expected == set(record["cookiecutter-starlette-service"]["answers"])


def test_two_renders_of_the_same_answers_are_equal(default_render: Path, render: Render) -> None:
    assert _bytes(default_render) == _bytes(render())


def test_rendering_over_a_project_again_changes_nothing(render: Render, tmp_path: Path, config_file: Path) -> None:
    folder = render(output=tmp_path, ci="gitlab")
    before = _bytes(folder)
    arguments = ["--no-input", "--overwrite-if-exists", "--config-file", str(config_file), "-o", str(tmp_path)]
    run([*COOKIECUTTER, *arguments, str(TEMPLATE), "ci=gitlab"], tmp_path)

    assert before == _bytes(folder)


def test_a_render_makes_no_environment_lock_or_repository(default_render: Path) -> None:
    for name in (".env", ".git", ".venv", "uv.lock"):
        assert not (default_render / name).exists()


def test_the_package_name_stands_in_no_source(render: Render) -> None:
    folder = render(project_slug="zebra-crossing", package_name="quagga_stripes")
    sources = folder / "src" / "quagga_stripes"

    named = {name for name, path in files_below(sources).items() if "zebra" in path.read_text("utf-8")}
    assert {"__init__.py"} == named
    assert not [name for name, path in files_below(sources).items() if "quagga" in path.read_text("utf-8")]


def test_the_verbatim_folders_are_byte_identical(render: Render) -> None:
    package = PROJECT_FOLDER / "src" / "{{cookiecutter.package_name}}"
    folders = ["chassis", "config", "controllers", "middleware", "models", "routes", "services"]
    context = {"cookiecutter": json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))}
    full = render(profile="full")

    for folder in folders:
        verbatim = _bytes(package / folder)
        assert verbatim
        assert all(is_copy_only_path(f"src/{package.name}/{folder}/{name}", context) for name in verbatim)
        assert verbatim == _bytes(full / "src" / "acme_service" / folder)


def test_every_path_in_the_manifest_exists_in_the_template() -> None:
    for paths_by_answer in FEATURES.values():
        for path in itertools.chain.from_iterable(paths_by_answer.values()):
            assert (PROJECT_FOLDER / path).exists(), path


def test_the_manifest_knows_every_answer_of_its_questions() -> None:
    for question, paths_by_answer in FEATURES.items():
        assert set(CHOICES.get(question, ("yes", "no"))) == set(paths_by_answer)
    assert set(FEATURES) == set(post_gen_project.ANSWERS)


def test_a_path_that_is_not_there_stops_the_hook_before_it_deletes(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_FOLDER, folder)
    (folder / ".gitlab-ci.yml").unlink()
    before = _bytes(folder)

    with pytest.raises(SystemExit, match=r"FEATURES names what the template does not have: \.gitlab-ci\.yml$"):
        post_gen_project.prune(folder, dict.fromkeys(FEATURE_NAMES, "yes") | {"ci": "none", "license": "MIT"})

    assert before == _bytes(folder)


def test_a_failing_hook_leaves_no_half_made_project(tmp_path: Path, config_file: Path) -> None:
    template = tmp_path / "template"
    shutil.copytree(TEMPLATE, template, ignore=shutil.ignore_patterns(".*", "build", "tests"))
    shutil.copytree(PROJECT_FOLDER, template / PROJECT_FOLDER.name, dirs_exist_ok=True)
    (template / PROJECT_FOLDER.name / ".gitlab-ci.yml").unlink()
    output = tmp_path / "output"
    output.mkdir()

    with pytest.raises(pytest.fail.Exception, match="FEATURES names what the template does not have"):
        run(
            [*COOKIECUTTER, "--no-input", "--config-file", str(config_file), "-o", str(output), str(template)],
            tmp_path,
        )

    assert [] == list(output.iterdir())


def _bytes(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_below(folder).items()}
