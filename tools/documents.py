"""Write what the template's .env.example and docs/configuration.md say about settings: `make documents`.

The sources are the settings groups of the template itself. The commands `config --example` and `--markdown` run with
every feature, and without one after the other; what a feature adds or changes is wrapped in its template conditional.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path

from local_extensions import FEATURES

from .rendering import PROJECT_FOLDER, rendered

SLUG, PACKAGE = "acme-service", "acme_service"
DOCUMENTS: Mapping[str, str] = {".env.example": "--example", "docs/configuration.md": "--markdown"}
WRITTEN = re.compile(r"^[^\n]*>>> settings[^\n]*\n.*?^[^\n]*<<< settings[^\n]*\n", re.MULTILINE | re.DOTALL)


def main(python: str) -> int:
    """Write both documents with the interpreter *python* of a project that is set up; print the name of each."""
    for name, text in sources(python).items():
        path = PROJECT_FOLDER / name
        present = path.read_text("utf-8")
        if present != (new := WRITTEN.sub(lambda _, text=text: text, present, count=1)):  # type: ignore[misc]
            path.write_text(new, "utf-8")
            print(f"{name} was written")
    return 0


def sources(python: str) -> dict[str, str]:
    """Return the settings part of each document of the template, by its path, with template conditionals."""
    with tempfile.TemporaryDirectory() as name:
        whole = rendered({"profile": "full"}, Path(name) / "full")
        without = {feature: rendered({"profile": "full", feature: "no"}, Path(name) / feature) for feature in FEATURES}
        return {document: _source(python, option, whole, without) for document, option in DOCUMENTS.items()}


def printed(python: str, option: str, project: Path) -> str:
    """Return what `config` prints with *option* for the sources of *project*, in the environment of *python*."""
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-m", PACKAGE, "config", option]
    return subprocess.run(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, check=True, encoding="utf-8"
    ).stdout


def _source(python: str, option: str, whole: Path, without: Mapping[str, Path]) -> str:
    lines = printed(python, option, whole).splitlines(keepends=True)
    marked: list[list[str]] = [[line] for line in lines]
    for feature, project in without.items():
        for start, end, other in _differences(lines, printed(python, option, project).splitlines(keepends=True)):
            _mark(marked, feature, start, end, other)
    text = "".join(line for group in marked for line in group)
    return text.replace(SLUG, "{{ cookiecutter.project_slug }}")


def _differences(lines: list[str], others: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the range of *lines* that differs from *others*, and what stands there instead."""
    for tag, start, end, other_start, other_end in SequenceMatcher(None, lines, others, autojunk=False).get_opcodes():
        if tag != "equal":
            yield start, end, others[other_start:other_end]


def _mark(marked: list[list[str]], feature: str, start: int, end: int, other: list[str]) -> None:
    instead = ["# {% else %}\n", *other] if other else []
    marked[start] = [f"# {{% if cookiecutter.{feature} == 'yes' %}}\n", *marked[start]]
    marked[end - 1] = [*marked[end - 1], *instead, "# {% endif %}\n"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
