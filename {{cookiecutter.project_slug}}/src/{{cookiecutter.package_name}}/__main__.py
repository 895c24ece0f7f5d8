"""The entry point of `python -m PACKAGE` and of the console command: signals first, and then all the rest."""

from __future__ import annotations

import sys

from .chassis.server.signals import exit_at_once_on_signals


def main() -> int:
    """Run the command that was typed, and return the process's exit code."""
    exit_at_once_on_signals()
    from .chassis import run

    return run(f"{__package__}.app")


if __name__ == "__main__":
    sys.exit(main())
