"""Replace the chassis of a project by that of this clone: `python tools/chassis.py PROJECT`.

`make chassis` in a project clones the template and runs this file of the clone, so that the newest code does it. It
runs with the project's interpreter: standard library only, and nothing of the template is imported.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
FOLDER = "{{cookiecutter.project_slug}}"
CHASSIS = f"{FOLDER}/src/{{{{cookiecutter.package_name}}}}/chassis"
MANIFEST = runpy.run_path(str(TEMPLATE / CHASSIS / "manifest.py"))
PATCH = "chassis.patch"
NEEDS_PRODUCT = "**Changes the product.**"
"""Begins the "Upgrade" section of a release whose chassis does not work with the product of the release before."""
NAME = re.compile(r'\s*"([A-Za-z0-9][A-Za-z0-9._-]*)')
LIST = r"^{name} = \[\n(.*?)^\]$"


class Refused(Exception):
    """Nothing was changed; the message says why, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Update the project that *arguments* name; return 1 if nothing was changed, or a last step failed."""
    parser = argparse.ArgumentParser(prog="make chassis", description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--force", action="store_true", help=f"save changes of the chassis as {PATCH} and go on")
    options = parser.parse_args(arguments)
    try:
        return update(options.project.resolve(), force=options.force)
    except Refused as refusal:
        print(f"make chassis: {refusal}", file=sys.stderr)
        return 1


def update(project: Path, *, force: bool) -> int:
    """Replace the chassis of *project* and what depends on it; raises Refused before anything is changed."""
    chassis = _chassis_of(project)
    _refuse_uncommitted(project)
    old, new = ((folder / "VERSION").read_text("utf-8").strip() for folder in (chassis, TEMPLATE / CHASSIS))
    if _number(new) < _number(old):
        raise Refused(f"its chassis is of {old}, and this template has {new}, which is older")
    changelog = list(releases(old, new))
    _refuse_product_changes(changelog)
    text = (project / "pyproject.toml").read_text("utf-8")
    renewed = with_constraints(with_requirements(text, chassis), MANIFEST["features"](chassis))
    _save_changes(project, chassis, force=force)
    _replace(chassis)
    (project / "pyproject.toml").write_text(renewed, "utf-8")
    print(f"The chassis is now that of {new}; it was that of {old}.", flush=True)
    for command in ("setup", "documents"):
        if subprocess.run(["make", "--no-print-directory", command], cwd=project, check=False).returncode:
            print(f"'make {command}' failed: see above, and run it again", file=sys.stderr)
            return 1
    print("\n".join(section for _, section in changelog))
    _name_changed_models(project, chassis.parent.name)
    print("Now: make check test, then commit. The rest of the project comes with: uvx cruft update")
    return 0


def _name_changed_models(project: Path, package: str) -> None:
    """Say which models have changed with the chassis's own columns, and how to take the database along."""
    command = [sys.executable, "-m", package, "makemigration", "--check"]
    check = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if check.returncode == 0:
        return
    if not check.stdout:
        print(f"the models cannot be compared with the migrations: {check.stderr.strip()}", file=sys.stderr)
        return
    print("The models have changed, and no migration makes it:")
    print("".join(f"  {line}\n" for line in check.stdout.splitlines()), end="")
    print('First: make migration MESSAGE="follow the chassis", read what it wrote, and make migrate.')


def releases(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Yield version and section of each release in CHANGELOG.md after *old* up to *new*, newest first."""
    text = (TEMPLATE / "CHANGELOG.md").read_text("utf-8")
    for section in re.findall(r"^## \[.*?(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL):
        version = re.findall(r"\[(.+?)\]", section)[0]
        is_between = version == "Unreleased" or _number(old) < _number(version) <= _number(new)
        if is_between and section.count("\n") > 2:  # noqa: PLR2004 (more than its heading)
            yield version, section


def with_requirements(pyproject: str, chassis: Path) -> str:
    """Return *pyproject* with the ranges that the new chassis needs, for the features that *chassis* has.

    A requirement of the owner's own stays where it is. Raises Refused if they do not stand one on a line.
    """
    block = _block(pyproject, "dependencies")
    lines, place = block.splitlines(), 0
    for folder in ("", *MANIFEST["features"](chassis)):
        required = TEMPLATE / CHASSIS / folder / "REQUIRES"
        for requirement in required.read_text("utf-8").splitlines() if required.exists() else ():
            place = _require(lines, requirement, place)
    return pyproject.replace(block, "".join(f"{line}\n" for line in lines), 1)


def with_constraints(pyproject: str, features: Iterable[str]) -> str:
    """Return *pyproject* with the versions that this template was tested with, where they are newer or missing."""
    block = _block(pyproject, "constraint-dependencies")
    pins, tested = _by_name(block.splitlines()), _by_name(_tested_pins(set(features)))
    for name, lines in tested.items():
        if name not in pins or max(map(_number, pins[name])) < max(map(_number, lines)):
            pins[name] = lines
    return pyproject.replace(block, "".join(f"{line}\n" for name in sorted(pins) for line in pins[name]), 1)


def _require(lines: list[str], requirement: str, place: int) -> int:
    """Write *requirement* into *lines*, after the line before *place* if it is new; return the place after it."""
    specifier, _, comment = requirement.partition("  # ")
    line = f'  "{specifier}",{f" # {comment}" if comment else ""}'
    name = _name(line)
    found = next((index for index, present in enumerate(lines) if _name(present) == name), None)
    if found is None:
        lines.insert(place, line)
        return place + 1
    if f'"{specifier}"' not in lines[found]:
        lines[found] = line
    return found + 1


def _tested_pins(features: set[str]) -> Iterator[str]:
    is_chosen = True
    for line in _block(
        (TEMPLATE / FOLDER / "pyproject.toml").read_text("utf-8"), "constraint-dependencies"
    ).splitlines():
        if condition := re.search(r"{% if cookiecutter\.(\w+) == 'yes' %}", line):
            is_chosen = condition[1] in features
        elif "endif" in line:
            is_chosen = True
        elif is_chosen:
            yield line


def _by_name(lines: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(_name(line), []).append(line)
    return found


def _block(pyproject: str, name: str) -> str:
    match = re.search(LIST.format(name=name), pyproject, re.MULTILINE | re.DOTALL)
    if match is None:
        raise Refused(f"pyproject.toml has no list {name!r} with one entry on a line")
    return match[1]


def _name(line: str) -> str:
    match = NAME.match(line)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else line


def _number(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, or of the first one in a pin."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("==")[2].partition(";")[0] or text))


def _chassis_of(project: Path) -> Path:
    found = list(project.glob("src/*/chassis/VERSION"))
    if len(found) != 1:
        raise Refused("there is no chassis in src/: a project of 0.3 or older needs `make adopt` in the template first")
    return found[0].parent


def _refuse_uncommitted(project: Path) -> None:
    command = ["git", "status", "--porcelain", "--", "."]
    status = subprocess.run(command, cwd=project, capture_output=True, check=False)
    if status.returncode:
        raise Refused("the project is in no Git repository: commit it to one, so that you can undo the change")
    if status.stdout:
        raise Refused("there are changes that are not committed: commit or stash them first")


def _refuse_product_changes(changelog: Iterable[tuple[str, str]]) -> None:
    for version, section in changelog:
        if NEEDS_PRODUCT in section:
            raise Refused(f"{version} needs changes outside of the chassis: update the whole project, uvx cruft update")


def _save_changes(project: Path, chassis: Path, *, force: bool) -> None:
    changed: Mapping[str, str] = MANIFEST["changes"](chassis)
    if not changed:
        return
    names = ", ".join(f"{name} ({change})" for name, change in changed.items())
    if not force:
        raise Refused(f"not as released are {names}; FORCE=1 saves these changes as {PATCH} and goes on")
    patch = "".join(_difference(project, chassis, name) for name in changed)
    (project / PATCH).write_text(patch, "utf-8")
    print(f"{PATCH} holds what was changed in the chassis: {names}")


def _difference(project: Path, chassis: Path, name: str) -> str:
    """Return the change of the file *name* of the chassis as `git apply` reads it."""
    path = chassis / name
    before, after = _released(chassis, name), path.read_text("utf-8") if path.exists() else ""
    place = path.relative_to(project).as_posix()
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{place}" if before else "/dev/null",
        f"b/{place}" if after else "/dev/null",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _released(chassis: Path, name: str) -> str:
    """Return the text of the file *name* as its MANIFEST lists it, from this clone's history; else an empty one."""
    folder = name.partition("/")[0] if name.partition("/")[0] in MANIFEST["features"](chassis) else ""
    listed = (chassis / folder / "MANIFEST").read_text("utf-8").splitlines()
    digest = {f"{folder}/{path}".lstrip("/"): digest for digest, _, path in (line.partition("  ") for line in listed)}
    for commit in _git("log", "--format=%H", "--", f"{CHASSIS}/{name}").decode().split():
        content = _git("show", f"{commit}:{CHASSIS}/{name}")
        if hashlib.sha256(content).hexdigest() == digest.get(name):
            return content.decode()
    return ""


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=TEMPLATE, stdout=subprocess.PIPE, check=False).stdout


def _replace(chassis: Path) -> None:
    """Put the template's files in the place of those of *chassis*, with the features that it has and no other."""
    kept, source = MANIFEST["features"](chassis), TEMPLATE / CHASSIS
    for path in chassis.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    left_out = set(MANIFEST["features"](source)) - set(kept)
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, chassis / path.name)
        elif path.name not in left_out | {"__pycache__"}:
            shutil.copytree(path, chassis / path.name, ignore=shutil.ignore_patterns("__pycache__"))


if __name__ == "__main__":
    sys.exit(main())
