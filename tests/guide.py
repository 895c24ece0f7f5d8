"""Applies to a project what a section of its documentation says, word for word.

A block below a file's name is a new file; a `diff` block changes the file named last; an `sh` block is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from conftest import UV, run

_SECTION = re.compile(r"^## (.+?)\n((?:^```\w.*?^```$|(?!^## ).)*)", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^\*\*`(?P<path>.+?)`\*\*|^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def sections(page: Path) -> Mapping[str, str]:
    """The sections of *page* by their heading."""
    return dict(_SECTION.findall(page.read_text("utf-8")))


def apply(folder: Path, section: str, *, commands: bool = True) -> None:
    """Do in *folder* what *section* says; without *commands*, only to files."""
    path = folder
    for step in _STEP.finditer(section):
        kind, text = step["kind"], step["text"]
        if step["path"]:
            path = folder / step["path"]
        elif kind == "sh":
            if commands:
                run(["bash", "-ec", text], folder, PATH=f"{Path(UV).parent}:{os.environ['PATH']}")
        elif kind == "diff":
            path.write_text(_changed(path.read_text("utf-8"), text, path), "utf-8")
        else:
            assert not path.exists(), f"{path} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")


def _changed(source: str, diff: str, path: Path) -> str:
    """*source* with the lines of *diff*, whose context must stand in it once; added lines alone go to the end."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    if not before:
        return source + after
    assert source.count(before) == 1, f"stands {source.count(before)} times in {path}:\n{before}"
    return source.replace(before, after)
