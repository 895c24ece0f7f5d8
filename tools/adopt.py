"""Bring a project of 0.1 to 0.3 to this version: `python -m tools.adopt ../acme`, called by `make adopt`.

The project's own version is rendered aside, and this one. What the owner wrote or changed is rewritten for the modules
that moved, and then what differs between the two renders is merged into it. The platform itself is taken as it is: an
owner's change of it is saved as a patch, because it belongs into the product now.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cruft._commands.utils.cookiecutter import generate_cookiecutter_context
from cruft._commands.utils.cruft import json_dumps

from local_extensions import FEATURES

from .adopting import exports, rewritten
from .feature import TABLE, Refused, refuse_uncommitted
from .merging import LEFT_TO_OWNER, CannotMerge, Change, apply, changes, files
from .renames import MODULES
from .rendering import TEMPLATE, rendered

PATCH = "adopt.patch"
ASKING = frozenset({"ADMINS", "AUTHENTICATED", "owner_or_admins", "owner_or", "roles"})
RENDER = "import json, sys; from cookiecutter.main import cookiecutter; print(cookiecutter(**json.load(sys.stdin)))"


@dataclass(frozen=True)
class Origin:
    """What a project was made from: the commit of the template, and the answers to its questions."""

    commit: str
    answers: dict[str, str]

    @property
    def package(self) -> str:
        """Its import name."""
        return self.answers["package_name"]


def main(arguments: list[str] | None = None) -> int:
    """Adopt the project that *arguments* name; return 1 if nothing was done, or something is left to the owner."""
    parser = argparse.ArgumentParser(prog="make adopt", usage="make adopt PROJECT=../acme", description=__doc__)
    parser.add_argument("project", type=Path, help="its folder")
    project: Path = parser.parse_args(arguments).project
    try:
        left = adopt(project)
    except (Refused, CannotMerge) as refusal:
        print(f"{project}: {refusal}", file=sys.stderr)
        return 1
    print("".join(f"left     {line}\n" for line in left), end="")
    print("Now: make setup format check test. CHANGELOG.md has what moved, and docs/architecture.md where things go.")
    return 1 if left else 0


def adopt(project: Path) -> list[str]:
    """Bring *project* to this version and return what is left to its owner; raises Refused and CannotMerge."""
    if list(project.glob("src/*/chassis")):
        raise Refused("it has a chassis already: update it with uvx cruft update")
    refuse_uncommitted(project)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        origin = _origin(project, folder / "template")
        old = _rendered_before(origin, folder)
        answers = origin.answers | {feature: origin.answers.get(feature, "no") for feature in FEATURES}
        new = rendered(answers, folder / "new")
        merged, patch = _merged(project, old, new, origin.package, folder)
    apply(project, merged)
    _write_record(project, answers)
    saved = [f"{PATCH}: your changes of what is platform now"] if _save(project, patch) else []
    return [*_left(merged), *saved, *(_stopping(project, origin.package) if answers["auth"] == "no" else ())]


def _merged(project: Path, old: Path, new: Path, package: str, folder: Path) -> tuple[list[Change], str]:
    """Return what becomes of each file, and a patch of what the owner changed in the platform."""
    names, platform = exports(new / "src" / package), _platform(package)
    ours, before = folder / "ours", folder / "before"
    present, made = _listed(project), files(old)
    for tree, content in ((ours, present), (before, made)):
        for name, text in content.items():
            if name not in platform:
                _write(tree / name, _rewritten(name, text, package, names))
    patch = "".join(
        _difference(name, made[name], present[name])
        for name in sorted(platform & made.keys() & present.keys())
        if made[name] != present[name]
    )
    result = {name: Change(name, "changed", text) for name, text in files(ours).items() if text != present[name]}
    result |= {name: Change(name, "deleted") for name in platform & present.keys()}
    result |= {change.name: change for change in changes(ours, before, new)}
    return list(result.values()), patch


def _platform(package: str) -> set[str]:
    """Return the paths of the modules that moved into the chassis."""
    stems = [f"src/{package}/{module.replace('.', '/')}" for module in MODULES]
    data = (f"src/{package}/{name}" for name in ("models/common_passwords.txt", "migrations/script.py.mako"))
    return {*data, *(f"{stem}.py" for stem in stems), *(f"{stem}/__init__.py" for stem in stems)}


def _rewritten(name: str, content: bytes, package: str, names: Mapping[str, frozenset[str]]) -> bytes:
    if not name.endswith(".py"):
        return content
    path = name.removeprefix(f"src/{package}/")
    module = None if path == name else path.removesuffix(".py").replace("/", ".")
    try:
        return rewritten(content.decode(), module, package, names).encode()
    except UnicodeDecodeError:
        return content


def _origin(project: Path, template: Path) -> Origin:
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(TEMPLATE), str(template)], check=True)
    cruft = project / ".cruft.json"
    if cruft.exists():
        state = json.loads(cruft.read_text("utf-8"))
        commit, answers = state["commit"], state["context"]["cookiecutter"]
    else:
        commit, answers = _recorded(project, template)
    checkout = subprocess.run(["git", "checkout", "--quiet", commit], cwd=template, check=False, capture_output=True)
    if checkout.returncode:
        raise Refused(f"it was made from the commit {commit} of the template, which this clone does not have")
    asked = json.loads((template / "cookiecutter.json").read_text("utf-8"))
    return Origin(commit, {key: text for key, text in answers.items() if key in asked and not key.startswith("_")})


def _recorded(project: Path, template: Path) -> tuple[str, dict[str, str]]:
    """Return commit and answers of a project without .cruft.json, from its pyproject.toml; raises Refused."""
    try:
        record = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"][TABLE]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise Refused("neither .cruft.json nor pyproject.toml says what it was made from") from None
    change = f'-Sversion = "{record["template_version"]}"'
    command = ["git", "log", "--reverse", "--format=%H", change, "--", "pyproject.toml"]
    commits = subprocess.run(command, cwd=template, capture_output=True, encoding="utf-8", check=True).stdout.split()
    if not commits:
        raise Refused(f"this clone has no version {record['template_version']} of the template")
    features = {feature: "yes" if feature in record["features"] else "no" for feature in FEATURES}
    return commits[0], record["answers"] | features


def _rendered_before(origin: Origin, folder: Path) -> Path:
    """Render the version that the project was made from, in a process of its own: it has filters of its own."""
    config = folder / "before.yaml"
    config.write_text(json.dumps({"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "clones")}))
    options = {"template": str(folder / "template"), "no_input": True, "output_dir": str(folder / "old")}
    given = json.dumps({**options, "extra_context": origin.answers, "config_file": str(config)})
    done = subprocess.run(
        [sys.executable, "-c", RENDER], input=given, cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise Refused(f"the version that it was made from cannot be rendered: {done.stderr.strip()}")
    return Path(done.stdout.splitlines()[-1])


def _listed(project: Path) -> dict[str, bytes]:
    """Return what every file in the project's repository holds, by its path."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=project, stdout=subprocess.PIPE, check=True).stdout
    found = (name for name in names.decode().split("\0") if name)
    return {name: (project / name).read_bytes() for name in found if (project / name).is_file()}


def _difference(name: str, before: bytes, after: bytes) -> str:
    old, new = (content.decode(errors="replace").splitlines(keepends=True) for content in (before, after))
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def _save(project: Path, patch: str) -> bool:
    if patch:
        (project / PATCH).write_text(patch, "utf-8")
        print(patch)
    return bool(patch)


def _left(merged: list[Change]) -> Iterator[str]:
    for change in sorted(merged, key=lambda change: change.name):
        if change.outcome in LEFT_TO_OWNER:
            yield f"{change.name}: {LEFT_TO_OWNER[change.outcome]}"
        elif change.outcome == "in the way":
            yield f"{change.name}: the template has a file of this name now; yours was left"


def _stopping(project: Path, package: str) -> Iterator[str]:
    """Yield a line for each own module whose routes ask who is calling, where nothing tells that."""
    for path in sorted((project / "src" / package).rglob("*.py")):
        if "chassis" in path.relative_to(project).parts:
            continue
        names = re.findall(
            r"^from \.+(?:chassis\.access|models\.auth) import (.+)", path.read_text("utf-8"), re.MULTILINE
        )
        asking = {name.strip() for line in names for name in line.split(",")} & ASKING
        if asking:
            what = f"{', '.join(sorted(asking))} stops the start, since nothing identifies callers"
            yield f"{path.relative_to(project)}: {what}: write PUBLIC, or add auth afterwards (make feature)"


def _write_record(project: Path, answers: dict[str, str]) -> None:
    """Let the next `cruft update` begin here, in the form in which cruft writes."""
    path = project / ".cruft.json"
    if not path.exists():
        return
    state: dict[str, Any] = json.loads(path.read_text("utf-8"))
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TEMPLATE, capture_output=True, encoding="utf-8", check=True)
    commit = head.stdout.strip()
    context = generate_cookiecutter_context(
        state["template"], commit, TEMPLATE, extra_context=answers, no_input=True, default_config=True
    )
    path.write_text(json_dumps(state | {"commit": commit, "checkout": None, "context": context}), "utf-8")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
