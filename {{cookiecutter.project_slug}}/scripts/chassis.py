"""Replace the chassis by a newer one: `python scripts/chassis.py [TEMPLATE]`, called by `make chassis`.

TEMPLATE is a folder or a Git address, by default the one that .cruft.json records. It is cloned aside, and the clone's
own tool does the work. Standard library only, since it runs while the environment is replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

_RECORD = Path(".cruft.json")


def main(template: str, arguments: list[str]) -> int:
    """Run the tool of a clone of *template* on this project, and return its exit code."""
    address = template or _recorded()
    if not address:
        print("say where the template is: make chassis FROM=path-or-address", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "template"
        if subprocess.run(["git", "clone", "--quiet", address, str(clone)], check=False).returncode:
            return 1
        tool = [sys.executable, str(clone / "tools/chassis.py"), "."]
        return subprocess.run([*tool, *arguments], check=False).returncode


def _recorded() -> str:
    return str(json.loads(_RECORD.read_text(encoding="utf-8"))["template"]) if _RECORD.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
