"""How much memory the process takes, and the line of the log that tells it regularly."""

from __future__ import annotations

import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from .metrics import Metrics

MEMORY_SECONDS = 30.0

_STATUS = Path("/proc/self/status")
_log = structlog.get_logger("chassis.memory")


def resident_bytes() -> int:
    """The memory that the process has in RAM now; where the system does not tell (macOS), the most that it ever had."""
    return _of_status("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def heap_bytes() -> int:
    """The part of it that no file backs: heap and stacks (proc(5): RssAnon); 0 where the system does not tell."""
    return _of_status("RssAnon")


def memory_report(metrics: Metrics) -> Callable[[], Awaitable[None]]:
    """What logs one line at debug: `resident_bytes`, `heap_bytes`, `python_blocks` and `connections`."""

    async def report() -> None:
        _log.debug(
            "memory",
            resident_bytes=resident_bytes(),
            heap_bytes=heap_bytes(),
            python_blocks=sys.getallocatedblocks(),
            connections=metrics.reading("open_connections"),
        )

    return report


def _of_status(name: str) -> int:
    try:
        lines = _STATUS.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
