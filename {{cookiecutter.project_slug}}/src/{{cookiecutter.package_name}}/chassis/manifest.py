"""What was changed in the chassis since its release: `python -m PACKAGE.chassis.manifest` compares it with MANIFEST.

A MANIFEST has one line for each file of its folder, `SHA256  PATH` sorted by path, as `sha256sum --check` reads it. The
one of the chassis leaves out the folders of features: each has its own. Standard library only, since an update reads
this before anything is installed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

MANIFEST = "MANIFEST"


def version() -> str:
    """The version of this chassis."""
    return Path(__file__).with_name("VERSION").read_text("utf-8").strip()


def features(chassis: Path) -> list[str]:
    """The names of the features whose mechanism is in *chassis*."""
    return sorted(path.parent.name for path in chassis.glob(f"*/{MANIFEST}"))


def written(folder: Path) -> str:
    """The text that the MANIFEST of *folder* has to have now."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(_present(folder)))


def changes(chassis: Path) -> dict[str, str]:
    """`edited`, `missing` or `unlisted` for each file that is not as released, by its path below *chassis*."""
    found = _changes(chassis)
    for feature in features(chassis):
        found |= {f"{feature}/{name}": change for name, change in _changes(chassis / feature).items()}
    return dict(sorted(found.items()))


def _changes(folder: Path) -> dict[str, str]:
    manifest = folder / MANIFEST
    lines = manifest.read_text(encoding="utf-8").splitlines() if manifest.exists() else []
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    present = dict(_present(folder))
    return {
        **dict.fromkeys(listed.keys() - present.keys(), "missing"),
        **dict.fromkeys(present.keys() - listed.keys(), "unlisted"),
        **{name: "edited" for name in listed.keys() & present.keys() if listed[name] != present[name]},
    }


def _present(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path and SHA-256 of every file of *folder*, but not of the folders in it that have a MANIFEST."""
    for path in folder.iterdir():
        if path.is_dir():
            if path.name != "__pycache__" and not (path / MANIFEST).exists():
                yield from ((f"{path.name}/{name}", digest) for name, digest in _present(path))
        elif path.name != MANIFEST:
            yield path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Name what was changed; it is no failure, since a change may be an owner's way out of an emergency."""
    chassis = Path(__file__).parent
    found = changes(chassis)
    for name, change in found.items():
        sys.stdout.write(f"{change:<9}{chassis.name}/{name}\n")
    if found:
        sys.stdout.write("The chassis is not as released: `make chassis` will stop at this. Its README says more.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
