"""Merge what differs between two renders into a project, file by file, as Git merges; it knows nothing of features."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MIGRATIONS = "/migrations/versions/"
"""What databases have run is history: no migration is ever merged."""

NEW, CHANGED, DELETED, IN_THE_WAY = "new", "changed", "deleted", "in the way"
LEFT_TO_OWNER = {
    "conflict": "both of you changed the same lines, which are marked",
    "kept": "you changed it; delete it when you have taken what you need",
    "absent": "you deleted it, so its share of the change is left out",
}
_MOST_CONFLICTS = 127
"""What `git merge-file` returns is their number, up to this; above, it failed."""


class CannotMerge(Exception):
    """A file of the project is none that Git can merge; the message names it."""


@dataclass(frozen=True)
class Change:
    """What becomes of one file, by its path in the project; *content* is what will be written, if anything is."""

    name: str
    outcome: str
    content: bytes | None = None


def changes(project: Path, before: Path, after: Path) -> list[Change]:
    """Return what makes of *project*, which began as *before*, one that began as *after*; nothing is written.

    Raises CannotMerge.
    """
    names = sorted({*files(before), *files(after)})
    return [change for name in names if MIGRATIONS not in name for change in _changes(name, project, before, after)]


def apply(project: Path, merged: Iterable[Change]) -> None:
    """Write to *project* what *merged* says."""
    for change in merged:
        path = project / change.name
        if change.content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(change.content)
        elif change.outcome == DELETED:
            path.unlink()
            _remove_empty(path.parent)


def files(folder: Path) -> dict[str, bytes]:
    """Return what every file below *folder* holds, by its path from there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _changes(name: str, project: Path, before: Path, after: Path) -> Iterator[Change]:
    ours, old, new = (_content(folder / name) for folder in (project, before, after))
    if new in (old, ours):
        return
    if old is None:
        yield Change(name, NEW, new) if ours is None else Change(name, IN_THE_WAY)
    elif ours is None:
        yield Change(name, "absent")
    elif new is None:
        yield Change(name, DELETED if ours == old else "kept")
    else:
        yield _merged(name, project, before, after)


def _merged(name: str, project: Path, before: Path, after: Path) -> Change:
    labels = ("-L", "your project", "-L", "as it was made", "-L", "the template")
    paths = [str(folder / name) for folder in (project, before, after)]
    command = ["git", "merge-file", "-p", *labels, *paths]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode > _MOST_CONFLICTS:
        raise CannotMerge(f"{name} cannot be merged: {done.stderr.decode(errors='replace').strip()}")
    return Change(name, "conflict" if done.returncode else CHANGED, done.stdout)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
        _remove_empty(folder.parent)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
