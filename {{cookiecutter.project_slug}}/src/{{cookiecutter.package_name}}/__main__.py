"""The way in, for `python -m PACKAGE` and the console command: first what a signal means, and then all the rest."""

from __future__ import annotations

import sys

from .chassis.server.signals import exit_at_once_on_signals


def main() -> int:
    """Run the command that was typed, and return the process's exit code."""
    exit_at_once_on_signals()
    from .chassis.cli import main as run  # noqa: PLC0415 - a signal during its imports leaves no traceback

    return run()


if __name__ == "__main__":
    sys.exit(main())
