"""Combinations of answers: each is rendered and read, and a few in which every two answers meet live a whole life.

The projects share uv's cache, so that all of this takes minutes and not an hour.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from conftest import PROJECT_FOLDER, TEMPLATE, Render, files_below, make, run
from hypothesis import given as generated
from hypothesis import strategies as st
from matrix import (
    EVERYTHING,
    FEATURE_CHOICES,
    NOTHING,
    QUESTIONS,
    SHAPE,
    by_hand,
    every,
    given,
    interpreter,
    licensed,
    oldest_from,
    pairwise,
    reproducible,
)
from post_gen_project import FEATURES as MANIFEST
from test_features import traces
from test_generated_project import create_a_user, get, know_a_caller, running
from test_text import parse

from local_extensions import CHOICES, FEATURES

UNRENDERED = re.compile(r"\{\{-?\s*cookiecutter|\bcookiecutter\.\w|# \{%")
# Two braces are an f-string's own business, and workflow expressions such as ${{ github.ref }} belong to the render, as
# do the references to secrets in a template of CloudFormation.
LEFT_OVER = re.compile(r"(?<!\$)\{\{(?!resolve:)|\{#")

Rendered = Callable[[Mapping[str, str]], Path]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Few: pairs of what decides which files there are, and both extremes. All: every combination, and pairs of all."""
    few = metafunc.config.getoption("--renders") == "few"
    shapes = pairwise({**SHAPE, "license": CHOICES["license"]}) if few else licensed(every(SHAPE))
    if "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", shapes, ids=_name)
    if "shapes" in metafunc.fixturenames:
        metafunc.parametrize("shapes", [shapes], ids=["together"])
    if "chosen" in metafunc.fixturenames:
        distinct = dict.fromkeys(tuple(shape[feature] for feature in FEATURES) for shape in shapes)
        chosen = [dict(zip(FEATURES, answers, strict=True)) for answers in distinct]
        metafunc.parametrize("chosen", chosen, ids=_name)
    if "row" in metafunc.fixturenames:
        rows = licensed(pairwise(QUESTIONS, [NOTHING, EVERYTHING]))
        metafunc.parametrize("row", rows[:1] if few else rows, ids=_name)


@pytest.fixture(scope="module")
def rendered(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Renders answers once, into a folder that has their name."""
    folder = tmp_path_factory.mktemp("matrix")
    known: dict[str, Path] = {}

    def project(answers: Mapping[str, str]) -> Path:
        name = _name(answers)
        if name not in known:
            known[name] = render(output=folder / name, **given(answers))
        return known[name]

    return project


def test_a_render_holds_exactly_the_chosen_files_all_rendered_and_readable(
    rendered: Rendered, shape: Mapping[str, str]
) -> None:
    with reproducible(by_hand(shape)):
        files = files_below(rendered(shape))

        assert expected_files(shape) == set(files)
        for name, path in files.items():
            assert not UNRENDERED.search(path.read_text("utf-8")), name
            assert path.suffix == ".py" or not LEFT_OVER.search(path.read_text("utf-8")), name
            parse(path)


def test_what_is_not_chosen_leaves_no_trace(rendered: Rendered, shape: Mapping[str, str]) -> None:
    with reproducible(by_hand(shape)):
        left_out = [feature for feature in FEATURES if shape[feature] == "no"]

        assert {} == {feature: found for feature in left_out if (found := traces(feature, rendered(shape)))}


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_every_render_is_clean_by_its_own_rules(
    project: Path, rendered: Rendered, shapes: list[Mapping[str, str]], arguments: list[str]
) -> None:
    """In one run: Ruff holds each file to the settings of the project that it lies in. Long names make long lines."""
    answers = [*shapes, *({**row, "license": "MIT"} for row in (NOTHING, EVERYTHING))]
    folders = [rendered(row) for row in answers]
    command = [str(project / ".venv/bin/ruff"), *arguments, *map(str, folders)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)

    found = judged.stdout + judged.stderr
    again = [
        by_hand(given(row), "check")
        for row, folder in zip(answers, folders, strict=True)
        if folder.parent.name in found
    ]
    with reproducible("\n".join(again)):
        assert 0 == judged.returncode, found


def test_the_layers_hold_with_every_choice_of_features(
    project: Path, rendered: Rendered, chosen: Mapping[str, str]
) -> None:
    answers = dict(chosen)
    with reproducible(by_hand(answers, "check")):
        output = run([str(project / ".venv/bin/lint-imports")], rendered(answers), PYTHONPATH="src")

    assert "0 broken" in output


def test_a_project_of_any_answers_is_checked_tested_and_served(
    render: Render, open_folder: Path, row: Mapping[str, str]
) -> None:
    answers, version = given(row), row["python_version"]
    python = oldest_from(version) or pytest.skip(f"no Python {version} or newer on this machine")
    with reproducible(by_hand(answers, "check", "test", python=python)):
        folder = render(output=open_folder / f"row-{len(list(open_folder.iterdir()))}", **answers)
        assert expected_files({**row, "package_name": answers["package_name"]}) == set(files_below(folder))

        make(folder, "check", "test", UV_PYTHON=python)
        _live(folder, answers["project_slug"], row)


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_a_project_of_each_oldest_python_runs_on_that_python(render: Render, open_folder: Path, version: str) -> None:
    python = interpreter(version) or pytest.skip(
        f"NO PYTHON {version} ON THIS MACHINE: nothing was run on it; projects with that answer ran on a newer one"
    )
    with reproducible(by_hand({"python_version": version}, "setup", python=python)):
        folder = render(output=open_folder / version, python_version=version)
        make(folder, "setup", UV_PYTHON=python)

        assert version in run([str(folder / ".venv/bin/python"), "--version"], folder)
        _live(folder, "acme-service", {"auth": "yes"})


@generated(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("0123"), min_size=1, unique=True), min_size=2)
)
def test_every_two_answers_meet_in_a_row(questions: dict[str, list[str]]) -> None:
    rows = pairwise(questions)

    assert all(row.keys() == questions.keys() for row in rows)
    for one, other in itertools.combinations(questions, 2):
        assert set(itertools.product(questions[one], questions[other])) == {(row[one], row[other]) for row in rows}


def test_the_rows_are_few_and_hold_every_answer() -> None:
    rows = licensed(pairwise(QUESTIONS, [NOTHING, EVERYTHING]))

    assert [NOTHING, EVERYTHING] == [{key: row[key] for key in QUESTIONS} for row in rows[:2]]
    assert len(rows) <= 12 + len(FEATURES)
    for question, choices in {**CHOICES, **FEATURE_CHOICES}.items():
        assert set(choices) == {row[question] for row in rows}


def test_the_command_that_a_failure_prints_renders_the_same(render: Render, config_file: Path) -> None:
    answers = given({**EVERYTHING, "license": "MIT"})
    command = by_hand(answers).replace("--output-dir build", f"--output-dir {config_file.parent}")
    run(["sh", "-c", command], TEMPLATE)

    by_command, by_answers = config_file.parent / answers["project_slug"], render(**answers)
    assert {name: path.read_bytes() for name, path in files_below(by_answers).items()} == {
        name: path.read_bytes() for name, path in files_below(by_command).items()
    }


def expected_files(answers: Mapping[str, str]) -> set[str]:
    """Return the files of the template less those that the manifest gives to other answers."""
    unchosen = {
        path
        for question, paths_by_answer in MANIFEST.items()
        for answer, paths in paths_by_answer.items()
        if answer != answers[question]
        for path in set(paths) - set(paths_by_answer[answers[question]])
    }
    return {
        name.replace("{{cookiecutter.package_name}}", answers.get("package_name", "acme_service"))
        for name in files_below(PROJECT_FOLDER)
        if not any(name == path or name.startswith(f"{path}/") for path in unchosen)
    }


def _live(folder: Path, slug: str, features: Mapping[str, str]) -> None:
    """Serve the project and be somebody there, known or not."""
    with running(folder, slug) as (base, _):
        assert slug == get(f"{base}/")["service"]
        assert know_a_caller(base) if features["auth"] == "yes" else create_a_user(base)
        assert "http_requests_total" in get(f"{base}/metrics")


def _name(answers: object) -> str:
    assert isinstance(answers, Mapping)
    return "-".join(f"{key}={value}" if key in FEATURES else value for key, value in answers.items())
