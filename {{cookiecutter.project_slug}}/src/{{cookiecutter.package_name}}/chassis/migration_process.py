"""The process in which a service in development migrates its database before it starts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from . import exit_codes
from .errors import StartupFailed


async def migrate_in_subprocess(package: str) -> None:
    """Run `migrate` in a process of its own, so that this one never loads Alembic; its log lines join ours.

    Raises StartupFailed if it fails.
    """
    # By -P, no folder or file of the working directory stands for a library, as `alembic/` and `token.py` would.
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", _run_module(package), "migrate")
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if code != exit_codes.CLEAN:
        hint = "the log line before this one says why"
        raise StartupFailed(f"the migration ended with exit code {code}", hint=hint)


def _run_module(package: str) -> str:
    """As `python -m` runs *package*, which need not be installed: its folder is looked through last."""
    folder = Path(sys.modules[package].__file__ or "").parents[package.count(".") + 1]
    return (
        f"import runpy, sys; sys.path.append({str(folder)!r}); "
        f"runpy.run_module({package!r}, run_name='__main__', alter_sys=True)"
    )
