"""The files of the revisions: one line, each numbered by its name. They are read, not run, and without Alembic."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_NAME = re.compile(r"([0-9]{4})_\w+\.py")
_IGNORED = {"__init__.py", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Revision:
    """A file `0002_add_phone.py` holds revision `0002`, which follows the one before it."""

    number: str
    name: str
    """Of the file."""
    declared: object
    """What the file assigns to `revision`; None if that is no constant."""
    follows: object
    """What it assigns to `down_revision`."""


def revisions(versions: Path) -> list[Revision]:
    """The revisions in the folder *versions*, in their order.

    Two branches that each add a revision merge without a conflict, and Alembic would apply one of them. Raises
    ConfigurationError, which names the files and says what to write.
    """
    try:
        names = sorted(path.name for path in versions.iterdir() if path.name not in _IGNORED)
    except OSError as error:
        raise ConfigurationError(f"the revisions cannot be read: {error.strerror}: {versions}") from None
    names = [name for name in names if not name.startswith(".")]
    if strange := [name for name in names if not (_NAME.fullmatch(name) and (versions / name).is_file())]:
        raise ConfigurationError(
            f"{_listed(strange)} in {versions}: not the name of a revision, so it would never be applied; rename it to "
            "NNNN_what_it_does.py with the next free number, or move it elsewhere"
        )
    found = [_read(versions / name) for name in names]
    _reject_doubles(found)
    for revision in found:
        if revision.declared != revision.number:
            raise ConfigurationError(
                f'{revision.name} declares revision = {revision.declared!r}: write revision = "{revision.number}" in '
                "it, as its name says"
            )
    _reject_branches(found)
    return found


def newest_revision(versions: Path) -> str:
    """The revision that `migrate` leads to, of those in the folder *versions*; raises ConfigurationError."""
    found = revisions(versions)
    if not found:
        raise ConfigurationError(f"there is no revision in {versions}: write the first one with `makemigration`")
    return found[-1].number


def _read(path: Path) -> Revision:
    try:
        tree = ast.parse(path.read_text("utf-8"), path.name)
    except (OSError, SyntaxError, ValueError) as error:
        line = f" at line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigurationError(f"the revision {path.name} cannot be read{line}: {reason}") from None
    constants = {name: value for node in tree.body for name, value in _assigned(node)}
    return Revision(path.name[:4], path.name, constants.get("revision"), constants.get("down_revision"))


def _assigned(node: ast.stmt) -> Iterator[tuple[str, object]]:
    """Yield the names that *node* assigns to, each with its value; None for one that is no constant."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return
    try:
        value = ast.literal_eval(node.value)
    except ValueError:
        value = None
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def _reject_doubles(found: Sequence[Revision]) -> None:
    newest = found[-1].number if found else ""
    for number, sharing in groupby(found, attrgetter("number")):
        names = [revision.name for revision in sharing]
        if len(names) > 1:
            free = f"{int(newest) + 1:04}"
            raise ConfigurationError(
                f"{_listed(names)} have one number: renumber the one that no database has yet, as {free}_"
                f'{names[-1][5:]}, and write revision = "{free}" and down_revision = "{newest}" in it'
            )
        if int(number) == 0:
            raise ConfigurationError(f"{names[0]}: 0000 stands for no revision; the first one is 0001")


def _reject_branches(found: Sequence[Revision]) -> None:
    if found and found[0].follows is not None:
        raise ConfigurationError(
            f"{found[0].name} is the first revision and follows {found[0].follows!r}: put the revision that it follows "
            "back, or write down_revision = None in it"
        )
    for before, after in pairwise(found):
        if after.follows == before.number:
            continue
        rival = next((each for each in found if each.follows == after.follows and each is not after), None)
        what = f"{rival.name} and {after.name} both follow" if rival else f"{after.name} follows"
        raise ConfigurationError(
            f"{what} {after.follows!r}: revisions are one line; renumber {after.name} if it is not the later one, and "
            f'write down_revision = "{before.number}" in it, so that it follows {before.name}'
        )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
