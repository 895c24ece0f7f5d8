"""The platform of a service, which its owner does not edit: `README.md` in this folder says how a service extends it.

Nothing is imported at run time until a name is asked for, so that signals are handled before anything heavy loads.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not `typing`'s, which alone would import `re` and more
if TYPE_CHECKING:
    from typing import Any

    from .asgi import asgi
    from .cli import run
    from .service import Command, Core, Feature, Logging, Parts, Restart, Service, Task

__all__ = ["Command", "Core", "Feature", "Logging", "Parts", "Restart", "Service", "Task", "asgi", "run"]

_MODULES = {"asgi": "asgi", "run": "cli"}


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the module's docstring says

    value = getattr(import_module(f".{_MODULES.get(name, 'service')}", __name__), name)
    globals()[name] = value
    return value
