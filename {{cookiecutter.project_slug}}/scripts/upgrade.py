"""Renew the tested versions: `python scripts/upgrade.py [uv]`, called by `make upgrade`.

Resolves the ranges of pyproject.toml afresh, writes every resolved version into `constraint-dependencies`, renews
uv.lock from that, and prints what changed. When a step fails, both files are put back as they were.
Standard library only, since it runs while the environment is replaced.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

_PROJECT = Path("pyproject.toml")
_LOCK = Path("uv.lock")
_CONSTRAINTS = re.compile(r"^constraint-dependencies = \[\n.*?^\]$", re.MULTILINE | re.DOTALL)
_BUILD_CONSTRAINTS = re.compile(r"^build-constraint-dependencies = \[.*?\]$", re.MULTILINE | re.DOTALL)
_PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


class CommandFailed(Exception):
    """A uv command failed; uv has said why on stderr."""


def main(uv: str) -> int:
    """Upgrade in place and return the exit code."""
    project, lock = _PROJECT.read_text(encoding="utf-8"), _LOCK.read_bytes() if _LOCK.exists() else None
    try:
        pins = _renew(uv, project)
    except (CommandFailed, KeyboardInterrupt):
        _PROJECT.write_text(project, encoding="utf-8")
        if lock is not None:
            _LOCK.write_bytes(lock)
        print("nothing was changed", file=sys.stderr)
        return 1
    changes = differences(_pins_in(project), pins)
    print("\n".join(changes) or "every version is the newest that its range allows")
    if changes:
        print("\nNow: make check test, then commit pyproject.toml and uv.lock together.")
    return 0


def _renew(uv: str, project: str) -> list[str]:
    _PROJECT.write_text(with_pins(project, [], []), encoding="utf-8")
    _run(uv, "lock", "--upgrade")
    exported = _run(
        uv, "export", "--all-groups", "--no-emit-project", "--no-hashes", "--no-annotate", "--no-header", "--locked"
    )
    requirements = re.findall(r"^requires = \[(.*)\]$", project, re.MULTILINE)[0].replace('"', "").split(", ")
    built_with = _run(
        uv, "pip", "compile", "-", "--no-deps", "--no-annotate", "--no-header", given="\n".join(requirements)
    )
    pins = merged(exported.splitlines())
    _PROJECT.write_text(with_pins(project, pins, built_with.split()), encoding="utf-8")
    _run(uv, "lock")
    _run(uv, "sync", "--locked")
    return pins


def with_pins(project: str, pins: list[str], build_pins: list[str]) -> str:
    """Return pyproject.toml's text with its constraint lists replaced."""
    lines = "".join(f"  {_quoted(pin)},\n" for pin in pins)
    project = _CONSTRAINTS.sub(lambda _: f"constraint-dependencies = [\n{lines}]", project)
    build = ", ".join(map(_quoted, build_pins))
    return _BUILD_CONSTRAINTS.sub(lambda _: f"build-constraint-dependencies = [{build}]", project)


def merged(requirements: list[str]) -> list[str]:
    """Drop the environment markers, except where they choose between versions of one package."""
    versions = Counter(_PIN.findall(line)[0][0] for line in requirements)
    return [line if versions[line.split("==")[0]] > 1 else line.split(" ;")[0] for line in requirements]


def differences(before: list[str], after: list[str]) -> list[str]:
    """One line for each package that came, went or changed its version."""
    old, new = (dict(_PIN.findall("\n".join(pins))) for pins in (before, after))
    return [
        f"{name}: {old.get(name, 'new')} -> {new.get(name, 'removed')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _pins_in(project: str) -> list[str]:
    block = _CONSTRAINTS.search(project)
    return re.findall(r'^  "(.*)",$', block[0], re.MULTILINE) if block else []


def _quoted(pin: str) -> str:
    return '"' + pin.replace('"', "'") + '"'


def _run(uv: str, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run([uv, *arguments], input=given, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise CommandFailed(arguments)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "uv"))
