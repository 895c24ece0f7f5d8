"""Mechanism of background jobs: a table of them is the truth, and this process or another one runs them.

A name is imported when it is asked for, so that a command line which only lists `COMMANDS` loads no database.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .addresses import NatsUrl
    from .columns import JobColumns
    from .commands import COMMANDS
    from .declarations import Job, JobId, JobRun, LeaseLost, NonRetryable, Returned
    from .jobs import JobOptions, Jobs

__all__ = [
    "COMMANDS",
    "Job",
    "JobColumns",
    "JobId",
    "JobOptions",
    "JobRun",
    "Jobs",
    "LeaseLost",
    "NatsUrl",
    "NonRetryable",
    "Returned",
]

_MODULES = {
    "COMMANDS": "commands",
    "JobColumns": "columns",
    "JobOptions": "jobs",
    "Jobs": "jobs",
    "NatsUrl": "addresses",
}


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the module's docstring says

    value = getattr(import_module(f".{_MODULES.get(name, 'declarations')}", __name__), name)
    globals()[name] = value
    return value
