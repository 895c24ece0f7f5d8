"""Make `.env` from `.env.example`: `python scripts/make_env.py .env.example .env`.

A value `generate:N` in the example becomes N random bytes, written URL-safe, so that a secret is never a sample.
The new file can be read by its owner only, and one that exists is never touched. Standard library only.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

_PLACEHOLDER = re.compile(r"^(\w+=)generate:(\d+)[ \t]*$", re.MULTILINE)


def with_fresh_secrets(example: str) -> str:
    """Replace every placeholder in *example* by a new random value."""
    return _PLACEHOLDER.sub(lambda match: match[1] + secrets.token_urlsafe(int(match[2])), example)


def main(example: Path, target: Path) -> int:
    """Write *target* and return the exit code; refuse to overwrite."""
    content = with_fresh_secrets(example.read_text(encoding="utf-8"))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} exists and is left as it is", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    print(f"{target} was made from {example}; it is yours to edit and is never overwritten")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
