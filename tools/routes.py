"""What becomes of a project's routes when a feature goes that tells callers apart."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

PUBLIC = "public"


class CannotList(Exception):
    """The routes are not known; the message says why."""


def listed(project: Path, package: str, sources: Path | None = None) -> dict[str, str]:
    """Return the policy of each route by method and path, such as `GET /api/users`.

    They are those of the sources in the folder *sources*, else of *project* itself, in whose environment this runs.
    Raises CannotList.
    """
    folder = sources or project
    python = project.resolve() / ".venv/bin/python"
    if not python.exists():
        raise CannotList("it is not set up")
    environment = os.environ | {"PYTHONPATH": str(folder.resolve() / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-m", package, "routes"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise CannotList(" ".join(done.stderr.split()) or f"{command[-1]!r} ended with {done.returncode}")
    rows = (line.split(maxsplit=3) for line in done.stdout.splitlines())
    return {f"{method} {path}": policy for method, path, _, policy in rows}


def consequences(present: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each route of *present* that the change from *before* to *after* opens, or stops the start at.

    *before* and *after* are the routes of the template; what is in neither is the owner's.
    """
    for route, policy in present.items():
        if policy == PUBLIC:
            continue
        if after.get(route) == PUBLIC:
            yield f"public   {route}: it was for {policy}, and is now for everyone"
        elif route not in before:
            yield f"stops    {route}: it is for {policy}, and the start stops at it until it has another policy"
