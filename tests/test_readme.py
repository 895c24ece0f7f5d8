"""What README.md says about the size of a project."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import TEMPLATE, Render

README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
OFF_BY_AT_MOST = 0.03
"""A line more is no reason to edit the README; it is when a reader would be misled."""

LISTED = {
    name: int(lines.replace(",", ""))
    for name, lines in re.findall(r"^│   [├└]── (\S+(?: \S+ asgi)?) +([\d,]+)   ", README, re.MULTILINE)
}


@pytest.mark.parametrize("name", LISTED)
def test_the_lines_of_each_part_are_those_of_the_default_project(default_render: Path, name: str) -> None:
    package = default_render / "src" / "acme_service"
    parts = [f"{part}.py" for part in name.split()] if " " in name else [name]
    assert LISTED[name] == pytest.approx(sum(_lines(package / part) for part in parts), rel=OFF_BY_AT_MOST, abs=2)


def test_the_lines_of_an_owner_are_those_with_and_without_auth(default_render: Path, render: Render) -> None:
    found = re.search(r"^([\d,]+) lines are yours, and ([\d,]+) without `auth`", README, re.MULTILINE)
    assert found is not None

    for said, project in zip(found.groups(), (default_render, render(profile="minimal")), strict=True):
        package = project / "src" / "acme_service"
        owned = _sum(path for path in package.rglob("*.py") if "chassis" not in path.relative_to(package).parts)
        assert int(said.replace(",", "")) == pytest.approx(owned, rel=OFF_BY_AT_MOST)


def test_the_list_names_every_part_of_the_package(default_render: Path) -> None:
    package = default_render / "src" / "acme_service"
    parts = {path.name for path in package.iterdir() if path.suffix in {"", ".py"} and path.name != "__pycache__"}
    listed = {f"{part}.py" if " " in name else part.split("/")[0] for name in LISTED for part in name.split()}
    assert parts == listed


def _lines(part: Path) -> int:
    return _sum([part] if part.is_file() else part.rglob("*.py"))


def _sum(paths: Iterable[Path]) -> int:
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)
