"""Which answers are rendered together, on which Python, and how such a render is made again by hand."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from conftest import UV
from test_text import AUTHOR

from local_extensions import CHOICES, FEATURES

PROFILES: Mapping[str, frozenset[str]] = {
    "standard": frozenset({"auth"}),
    "minimal": frozenset(),
    "full": frozenset(FEATURES),
}
NAMES: Mapping[str, Mapping[str, str]] = {
    "short": {"project_slug": "z", "package_name": "z9"},
    "long": {
        "project_slug": "a-name-of-forty-characters-the-most-even",
        "package_name": "a_name_of_forty_characters_the_most_even",
        "project_name": f"Acme {AUTHOR}",
        "description": AUTHOR,
        "author_name": AUTHOR,
    },
    "other": {"project_slug": "orders", "package_name": "bookshop"},
}
FEATURE_CHOICES: Mapping[str, Sequence[str]] = dict.fromkeys(FEATURES, ("yes", "no"))
Pair = frozenset[tuple[str, str]]
"""Two questions, each with an answer."""

SHAPE: Mapping[str, Sequence[str]] = {**FEATURE_CHOICES, "ci": CHOICES["ci"]}
"""What decides which files there are."""

QUESTIONS: Mapping[str, Sequence[str]] = {
    **SHAPE,
    "python_version": CHOICES["python_version"],
    "profile": CHOICES["profile"],
    "names": tuple(NAMES),
}
"""What decides how a project is checked and runs. A licence does not; every one is met, but not with every other."""

NOTHING = dict.fromkeys(FEATURES, "no") | {
    "ci": "none",
    "python_version": "3.11",
    "profile": "minimal",
    "names": "short",
}
EVERYTHING = dict.fromkeys(FEATURES, "yes") | {
    "ci": "gitlab",
    "python_version": "3.12",
    "profile": "full",
    "names": "long",
}


def pairwise(questions: Mapping[str, Sequence[str]], first: Sequence[Mapping[str, str]] = ()) -> list[dict[str, str]]:
    """Return rows of answers in which every two answers to two questions meet; they begin with those of *first*.

    Greedy, and the same each time: of the rows that grow around each pair that has not met, the one in which most such
    pairs meet. That is a row or two from the fewest, in less code than it takes to feed a library.
    """
    missing = {pair for one, other in itertools.combinations(questions, 2) for pair in _pairs(questions, one, other)}
    rows = [dict(row) for row in first]
    for row in rows:
        missing -= _met(row)
    while missing:
        grown = (_grown(dict(sorted(pair)), questions, missing) for pair in sorted(missing, key=sorted))
        row = max(grown, key=lambda row: len(_met(row) & missing))
        missing -= _met(row)
        rows.append(row)
    return rows


def every(questions: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return every combination of answers."""
    return [dict(zip(questions, answers, strict=True)) for answers in itertools.product(*questions.values())]


def licensed(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return *rows*, each with the licence whose turn it is."""
    return [
        {**row, "license": licence} for row, licence in zip(rows, itertools.cycle(CHOICES["license"]), strict=False)
    ]


def given(row: Mapping[str, str]) -> dict[str, str]:
    """Return what a person would answer to get *row*: the texts of its names, and no feature that its profile gives."""
    by_profile = {
        feature: "yes" if feature in PROFILES[row["profile"]] else "no" for feature in FEATURES if "profile" in row
    }
    kept = {question: answer for question, answer in row.items() if by_profile.get(question) != answer}
    names = kept.pop("names", None)
    return {**kept, **(NAMES[names] if names else {})}


def by_hand(answers: Mapping[str, str], *targets: str, python: str | None = None) -> str:
    """Return the command that, in this repository, renders *answers* into build/ and makes *targets* there."""
    render = [".venv/bin/cookiecutter", ".", "--no-input", "--default-config", "--overwrite-if-exists"]
    render += ["--output-dir", "build", *(f"{question}={answer}" for question, answer in answers.items())]
    make = ["make", "-C", f"build/{answers.get('project_slug', 'acme-service')}", *targets]
    make += [f"UV_PYTHON={python}"] if python else []
    return shlex.join(render) + (f" && {shlex.join(make)}" if targets else "")


@contextlib.contextmanager
def reproducible(command: str) -> Iterator[None]:
    """Let a failure in the block end with the *command* that shows it again."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 (whatever it is, it is told)
        pytest.fail(f"{type(failure).__name__}: {failure}\n\nTo see it again:\n{command}", pytrace=False)


@functools.cache
def interpreter(version: str) -> str | None:
    """Return the path of a Python *version* of this machine, such as 3.12 or >=3.12; None if there is none.

    uv looks on the PATH and among those that it installed; pyenv hides what is not its current version.
    """
    search = [UV, "python", "find", "--system", "--no-project", "--no-python-downloads", version]
    found = subprocess.run(search, cwd="/", capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    return next(map(str, sorted(versions.glob(f"{version}.*/bin/python"), reverse=True)), None)


def oldest_from(version: str) -> str | None:
    """Return the path of a Python *version*, or if there is none, of a newer one."""
    newer = [choice for choice in CHOICES["python_version"] if choice >= version]
    return next(filter(None, map(interpreter, [*newer, f">={version}"])), None)


def _pairs(questions: Mapping[str, Sequence[str]], one: str, other: str) -> Iterator[Pair]:
    for answers in itertools.product(questions[one], questions[other]):
        yield frozenset(zip((one, other), answers, strict=True))


def _met(row: Mapping[str, str]) -> set[Pair]:
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def _grown(row: Mapping[str, str], questions: Mapping[str, Sequence[str]], missing: set[Pair]) -> dict[str, str]:
    """Return *row* with every question answered, each by what most of *missing* need beside the answers before it."""
    answered = dict(row)
    for question in sorted(questions.keys() - row.keys()):
        gains = {
            answer: sum(frozenset({item, (question, answer)}) in missing for item in answered.items())
            for answer in questions[question]
        }
        answered[question] = max(gains, key=gains.__getitem__)
    return {question: answered[question] for question in questions}
