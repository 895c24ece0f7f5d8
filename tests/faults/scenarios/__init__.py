"""The scenarios, a module for each kind of fault."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path


def load() -> None:
    """Import every module beside this one, so that its scenarios are listed."""
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"{__name__}.{path.stem}")
