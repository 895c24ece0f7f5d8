"""Write VERSION, REQUIRES and every MANIFEST of the chassis: `make manifest`, after each change of the chassis."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local_extensions import FEATURES

from .rendering import PROJECT_FOLDER, TEMPLATE

CHASSIS = PROJECT_FOLDER / "src/{{cookiecutter.package_name}}/chassis"
FOLDERS = (*FEATURES, "jobs")
"""Of the chassis, those that not every project has: a feature's own, and the jobs, which csv_import needs.

The jobs know nothing of an import, and so they stand apart: another feature may come to send some.
"""
CONDITION = re.compile(r"# {% if cookiecutter\.(\w+) == 'yes' %}")
REQUIREMENT = re.compile(r'  "([^"]+)",(?:\s+(# .*))?')


def main() -> int:
    """Write what is not as it has to be, and print the path of each file."""
    for path in stale(write=True):
        print(path.relative_to(CHASSIS.parent).as_posix())
    return 0


def stale(*, write: bool = False) -> list[Path]:
    """Return the files that do not say what the chassis is now; with *write* they do afterwards.

    A MANIFEST is compared last, because it lists the other files.
    """
    found = [path for path, text in _facts().items() if _differs(path, text, write=write)]
    for folder in (*(CHASSIS / feature for feature in _features()), CHASSIS):
        if write:
            (folder / "MANIFEST").touch()  # a folder with one is listed there, and not by the chassis
        if _differs(folder / "MANIFEST", module()["written"](folder), write=write):
            found.append(folder / "MANIFEST")
    return found


def module() -> dict[str, Any]:
    """Return the names of the chassis's own module `manifest`."""
    return runpy.run_path(str(CHASSIS / "manifest.py"))


def requirements() -> dict[str | None, list[str]]:
    """Return the requirements in the template's pyproject.toml with their comments, by feature; None is the core."""
    text = (PROJECT_FOLDER / "pyproject.toml").read_text("utf-8")
    block = text.partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    found: dict[str | None, list[str]] = {None: []}
    feature = None
    for line in block.splitlines():
        if condition := CONDITION.search(line):
            feature = condition[1]
        elif "endif" in line:
            feature = None
        elif requirement := REQUIREMENT.fullmatch(line):
            found.setdefault(feature, []).append("  ".join(part for part in requirement.groups() if part))
    return found


def _facts() -> Mapping[Path, str]:
    version = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    required = {CHASSIS / (feature or "") / "REQUIRES": "\n".join(lines) for feature, lines in requirements().items()}
    return {path: f"{text}\n" for path, text in {CHASSIS / "VERSION": version, **required}.items()}


def _features() -> Iterator[str]:
    yield from (folder for folder in FOLDERS if (CHASSIS / folder).is_dir())


def _differs(path: Path, text: str, *, write: bool) -> bool:
    if path.exists() and path.read_text("utf-8") == text:
        return False
    if write:
        path.write_text(text, "utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
