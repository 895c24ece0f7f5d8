"""A feature that is chosen is complete; one that is not leaves no trace, and the core never knows of any."""

from __future__ import annotations

import ast
import difflib
import fnmatch
import re
from pathlib import Path

import pytest
from conftest import PROJECT_FOLDER, Render, files_below
from matrix import PROFILES
from post_gen_project import FEATURES as MANIFEST
from test_sources import TAGGED

from local_extensions import FEATURES

PACKAGE = "src/{{cookiecutter.package_name}}"
WORDS = {
    "ai_chat": r"\bai.chat|\bai_(?!passive\b)|openai|\bassistant",
    "auth": r"\bauth\b|authenticat(?!ed\b)|jwt|\blog(?:ged)?[ -]?in\b|log[ -]?out\b|\blogins?\b|bearer|create.admin",
    "chat": r"(?<!ai[/ -])\bchat(?! completion|\.completion)|socket\.?io|engine\.?io|\brooms\b",
    "csv_import": r"csv.?import|background jobs?\b|\bjobs_|\bnats\b|jetstream|chassis.jobs",
    "aws_lambda": r"aws.?lambda|lambda.handler|mangum|cloudformation|\bon Lambda\b",
}
"""What only a project with the feature speaks of."""
EXCUSED = {
    "chassis/ai_chat": "takes the tokens of whatever feature identifies callers",
    "chassis/access.py": "names the subprotocol in which a browser sends what an authorizer reads",
    "chassis/chat": "takes the tokens of whatever feature identifies callers",
    "chassis/http/documentation.py": "hands on whatever scheme an authorizer brings",
    "chassis/http/mounts.py": "names an application that polls",
    "chassis/http/openapi.py": "describes whatever scheme an authorizer brings",
    "chassis/http/rejections.py": "maps the rejections that an authorizer may raise",
    "chassis/http/routing.py": "says what an authorizer brings",
    "chassis/http/websockets.py": "selects that subprotocol",
    "chassis/logs/assignments.py": "secrets of any origin are masked",
    "chassis/logs/masking.py": "as assignments.py",
    "chassis/middleware/websockets.py": "selects that subprotocol",
    "chassis/shapes/common_passwords.txt": "people choose such words",
    "chassis/shapes/problem.py": "names the rejections that an authorizer may raise",
    "docs/chat.md": "as chassis/chat",
    "docs/problems": "one page for each rejection",
    "tests/": "the core's tests use what it knows",
}
"""Where the core, or another feature, speaks of it with or without the feature."""


def owned(feature: str, folder: Path) -> set[str]:
    """The files of *feature* in a render whose package is the default one, or in the template."""
    package = "acme_service" if folder != PROJECT_FOLDER else "{{cookiecutter.package_name}}"
    paths = [path.replace(PACKAGE, f"src/{package}") for path in MANIFEST[feature]["yes"]]
    return {name for name in files_below(folder) if any(name == path or name.startswith(f"{path}/") for path in paths)}


def traces(feature: str, folder: Path) -> dict[str, str]:
    """Where a render whose package is the default one speaks of *feature*, less what is excused: file and word."""
    spoken = {
        name: found.group()
        for name, path in files_below(folder).items()
        if (found := re.search(WORDS[feature], path.read_text("utf-8"), re.IGNORECASE))
    }
    places = tuple(EXCUSED)
    return {
        name: word for name, word in spoken.items() if not name.removeprefix("src/acme_service/").startswith(places)
    }


@pytest.mark.parametrize(("profile", "chosen"), PROFILES.items())
def test_a_profile_decides_what_is_not_answered(render: Render, profile: str, chosen: set[str]) -> None:
    folder = render(profile=profile)

    assert chosen == {feature for feature in FEATURES if owned(feature, folder)}


def test_an_answer_wins_over_the_profile(render: Render) -> None:
    for feature in FEATURES:
        assert owned(feature, render(profile="minimal", **{feature: "yes"}))
        assert not owned(feature, render(profile="full", **{feature: "no"}))


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_adds_files_of_its_own_and_lines_in_meeting_points_and_changes_nothing_else(
    render: Render, feature: str
) -> None:
    with_it, without = (render(profile="full", **{feature: answer}) for answer in ("yes", "no"))
    more, less = (files_below(folder) for folder in (with_it, without))
    changed = {name for name in less if more[name].read_bytes() != less[name].read_bytes()}

    assert owned(feature, with_it) == set(more) - set(less)
    assert set() == set(less) - set(more)
    assert changed
    for name in changed:
        unrendered = name.replace("acme_service", "{{cookiecutter.package_name}}")
        assert any(fnmatch.fnmatch(unrendered, allowed) for allowed in TAGGED), name
        before, after = (folder[name].read_text("utf-8").splitlines() for folder in (less, more))
        removed = [line for line in difflib.ndiff(before, after) if line.startswith("- ")]
        assert len(removed) <= 5, f"{name}: a meeting point grows, it does not turn into another text: {removed}"


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_has_one_name_everywhere(feature: str) -> None:
    names = {Path(path).name for path in MANIFEST[feature]["yes"]}
    if feature == "csv_import":  # brings the jobs, which know nothing of an import: they keep a name of their own
        names = {name for name in names if not re.match(r"(test_)?jobs\b", name)}
    if feature == "aws_lambda":
        names -= {"lambda_handler.py"}  # as AWS's own examples call it

    assert {"yes", "no"} == set(MANIFEST[feature])
    assert () == MANIFEST[feature]["no"]
    assert {f"{feature}.py", f"{feature}.md"} <= names
    assert [] == [name for name in names if not re.match(rf"(test_)?{feature}((_\w+)?\.\w+)?$", name)]


@pytest.mark.parametrize("feature", FEATURES)
def test_nothing_but_the_tagged_files_imports_a_feature(feature: str) -> None:
    files = owned(feature, PROJECT_FOLDER)
    modules = {_module(name) for name in files if name.endswith(".py")}
    tagged = {f"{PACKAGE}/features/__init__.py", f"{PACKAGE}/app.py"}

    for name, path in files_below(PROJECT_FOLDER / PACKAGE).items():
        full = f"{PACKAGE}/{name}"
        if path.suffix == ".py" and full not in files | tagged:
            assert not modules & set(_imported(full, path)), full


def _module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").removeprefix(f"{PACKAGE}/").replace("/", ".")


def _imported(name: str, path: Path) -> set[str]:
    """The modules of the package that *path* imports relatively, and the names that it takes from them."""
    package = name.removeprefix(f"{PACKAGE}/").split("/")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)}
    return found
