"""Add a feature to a project, or remove it: `python -m tools.feature ../acme --add auth`, called by `make feature`.

The template is rendered aside twice, without the feature and with it, from the answers that the project records, and
what differs between the two is merged into the project. The project itself is never rendered over: that would undo
what its owner changed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local_extensions import FEATURES

from .merging import CHANGED, IN_THE_WAY, LEFT_TO_OWNER, MIGRATIONS, CannotMerge, Change, apply, changes, files
from .rendering import TEMPLATE, rendered
from .routes import CannotList, consequences, listed

TABLE = "cookiecutter-starlette-service"
OPERATION = "op."
"""What every step of a migration begins with, and an empty one does not hold."""


class Refused(Exception):
    """The project was not touched; the message is one line that says why, and what to do."""


@dataclass(frozen=True)
class Task:
    """Which feature comes to, or goes from, which project."""

    project: Path
    feature: str
    adds: bool


@dataclass(frozen=True)
class Record:
    """What a project says about how it was made."""

    version: str
    features: list[str]
    answers: dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    """Do what *arguments* say; return 1 if nothing was done, or if something is left to the owner, who is told what."""
    task = _task(arguments)
    try:
        merged, has_tables, opened = _merged(task)
    except (Refused, CannotMerge) as refusal:
        print(f"{task.project}: {refusal}", file=sys.stderr)
        return 1
    apply(task.project, merged)
    _answer_in_cruft(task)
    for change in merged:
        reason = LEFT_TO_OWNER.get(change.outcome)
        print(f"{change.outcome:<9}{change.name}{f': {reason}' if reason else ''}", flush=True)
    print("".join(f"{line}\n" for line in opened), end="", flush=True)
    is_whole = not any(change.outcome in LEFT_TO_OWNER for change in merged)
    if has_tables and not _tables_are_cared_for(task, is_whole=is_whole):
        return 1
    return 0 if is_whole else 1


def _task(arguments: list[str] | None) -> Task:
    usage = "make feature PROJECT=../acme ADD=auth, or REMOVE=auth"
    parser = argparse.ArgumentParser(prog="make feature", usage=usage, description=__doc__)
    parser.add_argument("project", type=Path, help="its folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--add", metavar="FEATURE")
    what.add_argument("--remove", metavar="FEATURE")
    options = parser.parse_args(arguments)
    return Task(options.project, options.add or options.remove, adds=options.add is not None)


def _merged(task: Task) -> tuple[list[Change], bool, list[str]]:
    """Return what becomes of the project, whether the feature has tables, and a line for each route that it exposes.

    Raises Refused and CannotMerge.
    """
    answers = _answers(task)
    refuse_uncommitted(task.project)
    with tempfile.TemporaryDirectory() as name:
        without, with_it = (rendered(answers | {task.feature: answer}, Path(name) / answer) for answer in ("no", "yes"))
        before, after = (without, with_it) if task.adds else (with_it, without)
        merged = changes(task.project, before, after)
        has_tables = _migrations(before) != _migrations(after)
        _refuse_overwriting(merged)
        opened = [] if task.adds else _opened(task.project, answers["package_name"], before, after)
    return merged, has_tables, opened


def _opened(project: Path, package: str, before: Path, after: Path) -> list[str]:
    try:
        routes = [listed(project, package, sources) for sources in (None, before, after)]
    except CannotList as error:
        return [f"Its routes cannot be listed: {error}. Compare what the command 'routes' prints before and after."]
    return list(consequences(*routes))


def _answers(task: Task) -> dict[str, str]:
    """Return the answers that the project was made from; raises Refused where the task does not fit them."""
    if task.feature not in FEATURES:
        raise Refused(f"there is no feature {task.feature!r}; choose {' or '.join(FEATURES)}")
    record = _record(task.project)
    present = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if record.version != present:
        raise Refused(
            f"it is of version {record.version} of the template, and this is {present}: "
            "update it first (uvx cruft update), or check out that version here"
        )
    _refuse_other_chassis(task.project, record.version)
    if task.adds and task.feature in record.features:
        raise Refused(f"it has {task.feature} already")
    if not task.adds and task.feature not in record.features:
        raise Refused(f"it has no {task.feature}")
    return record.answers | {feature: "yes" if feature in record.features else "no" for feature in FEATURES}


def _record(project: Path) -> Record:
    try:
        table = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"][TABLE]
        return Record(table["template_version"], table["features"], table["answers"])
    except OSError:
        raise Refused("there is no pyproject.toml") from None
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"pyproject.toml cannot be read: {error}") from None
    except KeyError:
        raise Refused(f"pyproject.toml has no whole [tool.{TABLE}]: update it first (uvx cruft update)") from None


def _refuse_other_chassis(project: Path, version: str) -> None:
    found = [path.read_text("utf-8").strip() for path in project.glob("src/*/chassis/VERSION")]
    if found != [version]:
        chassis = f"of {found[0]}" if found else "missing"
        raise Refused(f"its chassis is {chassis}, and the rest is of {version}: update it first (uvx cruft update)")


def refuse_uncommitted(project: Path) -> None:
    """Raise Refused unless everything in *project* is committed to a Git repository."""
    command = ["git", "status", "--porcelain", "--", "."]
    status = subprocess.run(command, cwd=project, capture_output=True, check=False)
    if status.returncode:
        raise Refused("it is in no Git repository: commit it to one, so that you can look at the change and undo it")
    if status.stdout:
        raise Refused("it has changes that are not committed: commit or stash them first")


def _refuse_overwriting(merged: Iterable[Change]) -> None:
    names = [change.name for change in merged if change.outcome == IN_THE_WAY]
    if names:
        raise Refused(f"these files have names of the feature's, and differ: {', '.join(names)}; rename them first")


def _migrations(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if MIGRATIONS in name}


def _answer_in_cruft(task: Task) -> None:
    """Let the next `cruft update` know the feature's new answer, in the form in which cruft writes."""
    path = task.project / ".cruft.json"
    if not path.exists():
        return
    state = json.loads(path.read_text("utf-8"))
    state["context"]["cookiecutter"][task.feature] = "yes" if task.adds else "no"
    path.write_text(json.dumps(state, ensure_ascii=False, indent=2, separators=(",", ": ")) + "\n", "utf-8")
    print(f"{CHANGED:<9}{path.name}")


def _tables_are_cared_for(task: Task, *, is_whole: bool) -> bool:
    """Write the migration of a feature that came, or tell the owner to write it; return whether that is not needed."""
    message = f"{'create' if task.adds else 'drop'} the tables of {task.feature}"
    by_hand = f'make -C {task.project} migration MESSAGE="{message}"'
    if not task.adds:
        print(f"The tables of {task.feature} are still there. When you need nothing of them any more: {by_hand}")
        return True
    versions = next(task.project.glob(f"src/*{MIGRATIONS}"))
    before = set(versions.glob("*.py"))
    command = ["make", "--no-print-directory", "-C", str(task.project), "migration", f"MESSAGE={message}"]
    if not is_whole or subprocess.run(command, check=False).returncode:
        print(f"The tables of {task.feature} need a migration, as soon as the project is in order: {by_hand}")
        return False
    for path in set(versions.glob("*.py")) - before:
        if OPERATION not in path.read_text("utf-8"):
            path.unlink()  # the feature was there before, and its tables still are
    return True


if __name__ == "__main__":
    sys.exit(main())
