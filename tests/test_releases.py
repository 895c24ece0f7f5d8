"""A project of any release becomes one of the present template, and keeps what its owner changed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import GIT, TEMPLATE, files_below, run
from test_text import AUTHOR
from test_updates import CRUFT, commit, create

from local_extensions import FEATURES

VERSION_BEFORE_AND_AFTER = re.compile(r'^-version = "(.+)"\n\+version = "(.+)"$', re.MULTILINE)
ANSWERS = {"project_slug": "acme", "description": AUTHOR}
EDITED_BY_BOTH = "docs/operations.md"


def released() -> dict[str, str]:
    """Return the commit of every release by its version, oldest first.

    A release changes the version in pyproject.toml from one to another; the commit that brought the first one is none.
    """
    command = [*GIT, "log", "--reverse", "--format=%x00%H", "--patch", "--unified=0", "-G^version = "]
    log = subprocess.run(
        [*command, "--", "pyproject.toml"], cwd=TEMPLATE, capture_output=True, text=True, encoding="utf-8", check=False
    )
    commits = (entry.partition("\n") for entry in log.stdout.split("\0")[1:])
    changes = ((sha, VERSION_BEFORE_AND_AFTER.search(patch)) for sha, _, patch in commits)
    return {change[2]: sha for sha, change in changes if change}


def _versions() -> dict[str, str]:
    """Return the releases and, as what the first one ended, 0.1.0."""
    releases = released()
    first = next(iter(releases.values()), None)
    return {"0.1.0": f"{first}^", **releases} if first else {}


def with_chassis(release: str) -> bool:
    """Tell whether a project of the commit *release* has a chassis."""
    return "/chassis/" in run([*GIT, "ls-tree", "-r", "--name-only", release], TEMPLATE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, has_one in (("release", True), ("old_release", False)):
        if name in metafunc.fixturenames:
            releases = {version: sha for version, sha in _versions().items() if with_chassis(sha) is has_one}
            if metafunc.config.getoption("--renders") == "few":
                releases = dict(list(releases.items())[-1:])
            ids = list(releases) or ["none"]
            metafunc.parametrize(name, list(releases.values()) or [None], ids=ids, indirect=True)


@pytest.fixture
def release(request: pytest.FixtureRequest) -> str:
    """The commit of a release with a chassis."""
    return _found(request)


@pytest.fixture
def old_release(request: pytest.FixtureRequest) -> str:
    """The commit of a release before there was one: 0.3 or older."""
    return _found(request)


def _found(request: pytest.FixtureRequest) -> str:
    if request.param is None:
        pytest.skip(f"NO UPDATE WAS TRIED: {_why_there_is_no_release()}")
    sha: str = request.param
    return sha


def test_every_version_of_the_changelog_was_released_and_says_how_to_upgrade() -> None:
    """In a clone without its history this fails, because no update could be tried there."""
    first, *others = reversed(_changelog())
    present_version = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    versions = {version for version, _ in others if version != "Unreleased"}

    assert present_version in {first[0], *versions}
    assert versions <= set(released()), _why_there_is_no_release()
    assert [] == [version for version, text in others if text.strip() and "\n### Upgrade\n" not in text]


@pytest.mark.parametrize("profile", ["standard", "minimal"])
def test_an_untouched_project_becomes_what_a_fresh_render_is(
    present: Path, release: str, tmp_path: Path, profile: str
) -> None:
    project = project_of(release, present, tmp_path, profile=profile)
    _update(project)

    assert _tree(_fresh(present, tmp_path, profile=profile)) == _tree(project)
    run([*CRUFT, "check"], project)


@pytest.mark.parametrize("profile", ["standard", "minimal"])
def test_an_untouched_project_of_an_old_release_is_adopted_as_what_a_fresh_render_is(
    present: Path, old_release: str, tmp_path: Path, profile: str
) -> None:
    """A feature that the release did not ask about does not come by itself."""
    project = project_of(old_release, present, tmp_path, profile=profile)
    asked = json.loads(run([*GIT, "show", f"{old_release}:cookiecutter.json"], present))
    run([sys.executable, "-m", "tools.adopt", str(project)], present)

    declined = {feature: "no" for feature in FEATURES if feature not in asked}
    assert _tree(_fresh(present, tmp_path, profile=profile, **declined)) == _tree(project)
    run([*CRUFT, "check"], project)


def test_a_plain_update_of_an_old_release_leaves_the_project_as_it_was_and_names_the_command(
    present: Path, old_release: str, tmp_path: Path
) -> None:
    project = project_of(old_release, present, tmp_path)
    process = subprocess.run(
        [*CRUFT, "update", "--skip-apply-ask"], cwd=project, capture_output=True, text=True, check=False
    )

    assert 1 == process.returncode
    assert "make adopt PROJECT=" in process.stderr
    assert "" == run([*GIT, "status", "--short"], project)


def test_an_edited_project_keeps_every_edit_and_has_conflicts_only_where_both_changed(
    present: Path, release: str, tmp_path: Path
) -> None:
    """What the update has to leave is worked out file by file, in another way than cruft's."""
    template = tmp_path / "template"
    run([*GIT, "clone", "--quiet", str(present), str(template)], tmp_path)
    _rewrite_first_line(template / "{{cookiecutter.project_slug}}" / EDITED_BY_BOTH, "# The template's title")
    commit(template)
    project = project_of(release, template, tmp_path, profile="minimal")
    old, new = _tree(project), _tree(_fresh(template, tmp_path, profile="minimal"))
    _edit(project)
    commit(project)
    edited = _tree(project)
    _update(project)

    expected, conflicts = _merged(old, edited, new, tmp_path)
    unmerged = run([*GIT, "diff", "--name-only", "--diff-filter=U"], project).splitlines()
    assert EDITED_BY_BOTH in conflicts
    assert sorted(conflicts) == unmerged
    after = _tree(project)
    assert expected == {name: content for name, content in after.items() if name not in conflicts}
    assert {"src/acme/routes/orders.py", "src/acme/services/people.py"} <= set(after)
    assert {"src/acme/services/users.py", ".github/workflows/ci.yml"}.isdisjoint(after)
    assert b"# Our title\n" in after[EDITED_BY_BOTH]
    assert b"from .orders import order_routes\n" in after["src/acme/routes/__init__.py"]
    assert after["Makefile"].endswith(b"ours:\n\t@echo ours\n")


def _why_there_is_no_release() -> str:
    shallow = run([*GIT, "rev-parse", "--is-shallow-repository"], TEMPLATE).strip() == "true"
    where = "in this clone, which is shallow: git fetch --unshallow" if shallow else "in the history"
    return f"no commit that releases a version is found {where}"


def _changelog() -> list[tuple[str, str]]:
    """Return every version with its text, newest first."""
    _, *parts = re.split(r"^## \[(.+)\].*$", (TEMPLATE / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


def project_of(release: str, template: Path, folder: Path, **answers: str) -> Path:
    """Make a project as it was made at *release*, and commit it untouched."""
    created = create(template, folder / "project", "--checkout", release, **ANSWERS, **answers)
    assert 0 == created.returncode, created.stderr
    project = folder / "project" / ANSWERS["project_slug"]
    state = json.loads((project / ".cruft.json").read_text("utf-8"))
    # As if it had been made before there was anything newer.
    (project / ".cruft.json").write_text(json.dumps(state | {"checkout": None}))
    commit(project)
    return project


def _fresh(template: Path, folder: Path, **answers: str) -> Path:
    created = create(template, folder / "fresh", **ANSWERS, **answers)
    assert 0 == created.returncode, created.stderr
    return folder / "fresh" / ANSWERS["project_slug"]


def _update(project: Path, *arguments: str) -> None:
    run([*CRUFT, "update", "--skip-apply-ask", *arguments], project)


def _tree(project: Path) -> dict[str, bytes]:
    """Return the content of every file by its path, less migrations, and what cruft and Git keep for themselves.

    What an existing project's databases have run stays as it is.
    """
    files = files_below(project).items()
    left_out = re.compile(r"\.git/|\.cruft\.json|src/\w+/migrations/versions/")
    return {name: path.read_bytes() for name, path in files if not left_out.match(name)}


def _edit(project: Path) -> None:
    """Change a file, add a route, remove a pipeline and rename a module, as an owner does."""
    makefile = project / "Makefile"
    makefile.write_text(f"{makefile.read_text('utf-8')}\nours:\n\t@echo ours\n")
    _rewrite_first_line(project / EDITED_BY_BOTH, "# Our title")
    (project / "src/acme/routes/orders.py").write_text('"""Paths of the orders."""\n')
    table = project / "src/acme/routes/__init__.py"
    anchor = "from .users import"
    table.write_text(table.read_text("utf-8").replace(anchor, f"from .orders import order_routes\n{anchor}"))
    shutil.rmtree(project / ".github")
    services = project / "src/acme/services"
    (services / "users.py").rename(services / "people.py")


def _rewrite_first_line(path: Path, line: str) -> None:
    path.write_text(f"{line}\n{path.read_text('utf-8').partition(chr(10))[2]}")


def _merged(
    old: Mapping[str, bytes], ours: Mapping[str, bytes], new: Mapping[str, bytes], scratch: Path
) -> tuple[dict[str, bytes], list[str]]:
    """Return what *ours* has to be after the update from *old* to *new*, and the files that nobody can merge alone.

    A file that the owner deleted or renamed stays as it is: the update knows nothing of where it went.
    """
    merged = {name: content for name, content in ours.items() if name not in old}
    merged |= {name: content for name, content in new.items() if name not in old}
    conflicts = []
    for name in old.keys() & ours.keys() & new.keys():
        clean, content = _merge(ours[name], old[name], new[name], scratch)
        if clean:
            merged[name] = content
        else:
            conflicts.append(name)
    return merged, conflicts


def _merge(ours: bytes, old: bytes, new: bytes, scratch: Path) -> tuple[bool, bytes]:
    sides = [scratch / side for side in ("ours", "old", "new")]
    for path, content in zip(sides, (ours, old, new), strict=True):
        path.write_bytes(content)
    done = subprocess.run([*GIT, "merge-file", "-p", *map(str, sides)], capture_output=True, check=False)
    return done.returncode == 0, done.stdout
