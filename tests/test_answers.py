"""Bad answers are refused before anything is written; every question explains itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import TEMPLATE, Render
from cookiecutter.exceptions import FailedHookException

from local_extensions import CHOICES, FEATURES, GUARD, MAX_CHARACTERS, SHAPES, slug

REFUSED: list[tuple[str, object, str]] = [
    ("project_slug", "", "lower-case words"),
    ("project_slug", "Acme", "lower-case words"),
    ("project_slug", "acme--service", "lower-case words"),
    ("project_slug", "acme-", "lower-case words"),
    ("project_slug", "acme_service", "lower-case words"),
    ("project_slug", "9lives", "lower-case words"),
    ("project_slug", "acme\n", "lower-case words"),
    ("project_slug", "a/b", "lower-case words"),
    ("project_slug", "../acme", "lower-case words"),
    ("project_slug", "..", "lower-case words"),
    ("project_slug", "/acme", "lower-case words"),
    ("project_slug", "acmé", "lower-case words"),
    ("project_slug", "a" * 41, "at most 40 characters"),
    ("project_slug", "class", "Python keyword"),
    ("project_slug", "json", "standard library"),
    ("project_slug", "starlette", "itself install or import"),
    ("project_slug", "argon2-cffi", "itself install or import"),
    ("package_name", "acme-service", "underscores"),
    ("package_name", "Acme", "underscores"),
    ("package_name", "_acme", "underscores"),
    ("package_name", "acme.service", "underscores"),
    ("package_name", "acme/service", "underscores"),
    ("package_name", "..", "underscores"),
    ("package_name", "acme\x00", "underscores"),
    ("package_name", "a" * 41, "at most 40 characters"),
    ("package_name", "lambda", "Python keyword"),
    ("package_name", "match", "Python keyword"),
    ("package_name", "email", "standard library"),
    ("package_name", "test", "standard library"),
    ("package_name", "distutils", "standard library"),
    ("package_name", "sitecustomize", "standard library"),
    ("package_name", "tests", "itself install or import"),
    ("package_name", "sqlalchemy", "itself install or import"),
    ("project_name", "", "1 to 100 characters"),
    ("project_name", "  ", "1 to 100 characters"),
    ("project_name", "a" * 101, "1 to 100 characters"),
    ("project_name", "Acme\nService", "on one line"),
    ("project_name", "Acme\r", "on one line"),
    ("author_name", "b" * 101, "1 to 100 characters"),
    ("author_name", "Ada\x1b[31m", "without control characters"),
    ("author_name", "Ada\x85Lovelace", "without control characters"),
    ("author_name", "Ada\udcff", "without control characters"),
    ("description", "c" * 301, "1 to 300 characters"),
    ("description", "one\u2028two", "on one line"),
    ("description", "one\ttwo", "without control characters"),
    ("description", "one\x00two", "without control characters"),
    ("author_email", "nobody", "you@example.com"),
    ("author_email", "a b@example.com", "you@example.com"),
    ("author_email", "a@b@example.com", "you@example.com"),
    ("author_email", "ada@example.com>", "you@example.com"),
    ("author_email", "ada@localhost", "you@example.com"),
    ("author_email", "ada@example.com\n", "on one line"),
    ("license", "GPL", "choose MIT, Apache-2.0, BSD-3-Clause or Proprietary"),
    ("license", "mit", "choose MIT"),
    ("python_version", "3.10", "choose 3.11, 3.12 or 3.13"),
    ("profile", "everything", "choose standard, minimal or full"),
    ("ci", "jenkins", "choose github, gitlab or none"),
    ("ci", True, "choose github, gitlab or none"),
    ("auth", "maybe", "choose yes or no"),
    ("auth", "", "choose yes or no"),
    ("auth", True, "choose yes or no"),
]


@pytest.mark.parametrize(("key", "value", "accepted"), REFUSED)
def test_a_bad_answer_is_refused_in_one_line_that_names_it(
    render: Render, tmp_path: Path, key: str, value: object, accepted: str
) -> None:
    with pytest.raises(FailedHookException) as refusal:
        render(output=tmp_path / "output", **{key: value})

    [line] = str(refusal.value).splitlines()
    quoted = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}... ({len(str(value))} characters)"
    assert line.startswith(f"{key}: {quoted} is not accepted; ")
    assert accepted in line
    assert not (tmp_path / "output").exists()


def test_a_value_of_the_wrong_type_is_refused(render: Render, tmp_path: Path) -> None:
    for value in (None, True, {"a": "b"}):
        with pytest.raises(FailedHookException, match=r"^description: "):
            render(output=tmp_path, description=value)

    assert [] == list(tmp_path.iterdir())


def test_all_bad_answers_are_reported_together_and_a_derived_one_only_once(render: Render) -> None:
    with pytest.raises(FailedHookException) as refusal:
        render(project_slug="A/b", author_email="nobody", ci="jenkins")

    assert ["author_email", "project_slug", "ci"] == [
        line.partition(":")[0] for line in str(refusal.value).splitlines()
    ]


@pytest.mark.parametrize("answer", ["project_slug=../../x", "project_slug=a/b", "license=GPL", "project_name=a\nb"])
def test_the_command_line_prints_one_line_and_ends_with_one(answer: str, tmp_path: Path, config_file: Path) -> None:
    output = tmp_path / "deep" / "output"
    process = _generate(answer, "--no-input", output=output, config_file=config_file)

    assert 1 == process.returncode
    assert "" == process.stderr
    assert 1 == len(process.stdout.splitlines())
    assert process.stdout.startswith(f"{answer.partition('=')[0]}: ")
    assert [] == list(tmp_path.iterdir())


def test_what_a_person_types_is_refused_or_kept_in_the_same_way(tmp_path: Path, config_file: Path) -> None:
    questions = [key for key in _template() if not key.startswith("_")]
    typed = {"project_name": "Größe {{ x }} # {% raw %}", "project_slug": "size"}
    lines = "".join(f"{typed.get(key, '')}\n" for key in questions)

    kept = _generate(output=tmp_path, config_file=config_file, typed=lines)
    refused = _generate(output=tmp_path / "none", config_file=config_file, typed=lines.replace("size", "../size"))

    assert 0 == kept.returncode, kept.stdout + kept.stderr
    assert (tmp_path / "size" / "pyproject.toml").is_file()
    assert 1 == refused.returncode
    assert "project_slug: '../size' is not accepted" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("length", [1, 40])
def test_names_of_the_longest_and_the_shortest_length_are_accepted(render: Render, length: int) -> None:
    folder = render(project_slug="s" * length, package_name="p" * length)

    assert "s" * length == folder.name
    assert (folder / "src" / ("p" * length) / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Acme Service", "acme-service"),
        ("  Größe & Maß  ", "grosse-mass"),
        ("Привет, мир", "privet-mir"),
        ("你好", "ni-hao"),
        ("2024 Report", "report"),
        ("a" * 60, "a" * 40),
        ("forty characters are cut at a whole word, not inside", "forty-characters-are-cut-at-a-whole-word"),
        ("snake_case.and/slashes", "snake-case-and-slashes"),
        ("!!!", ""),
    ],
)
def test_the_slug_is_derived_from_the_name(name: str, expected: str) -> None:
    assert expected == slug(name)


def test_a_name_without_a_usable_letter_says_what_to_set(render: Render) -> None:
    with pytest.raises(FailedHookException, match=r"^project_slug: '' is not accepted; set project_slug to "):
        render(project_name="!!!")


def test_every_name_that_the_project_pins_is_refused(render: Render, default_render: Path) -> None:
    settings = tomllib.loads((default_render / "pyproject.toml").read_text("utf-8"))
    pins = {pin.partition("==")[0] for pin in settings["tool"]["uv"]["constraint-dependencies"]}

    assert pins
    for name in sorted(pins):
        with pytest.raises(FailedHookException, match="is not accepted"):
            render(project_slug=name)


def test_every_question_has_a_sentence_and_a_rule() -> None:
    template = _template()
    questions = {key for key in template if not key.startswith("_")}

    assert questions == set(template["__prompts__"])
    assert questions == {*MAX_CHARACTERS, *SHAPES, *CHOICES, *FEATURES}


def test_a_default_is_the_first_choice_and_the_prompt_lists_them_all() -> None:
    template = _template()
    for key, choices in CHOICES.items():
        assert choices[0] == template[key]
        assert all(choice in template["__prompts__"][key] for choice in choices)


def test_the_guard_is_the_last_thing_that_is_rendered() -> None:
    rendered = [key for key in _template() if not key.startswith("_") or key.startswith("__")]

    assert "__guard" == rendered[-1]
    assert GUARD == _template()["__guard"]


def _template() -> dict[str, Any]:
    template: dict[str, Any] = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    return template


def _generate(*arguments: str, output: Path, config_file: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    options = ["--output-dir", str(output), "--config-file", str(config_file)]
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", *options, str(TEMPLATE), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
