"""What a feature hands to the composition root, and what it is given to build it from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable

    from .settings.groups import SettingsGroup
    from .settings.core import Settings
    from .http.routing import ApiRoute, Gate
    from .cache.memory import Cache
    from .database.database import Database
    from .passwords import Passwords
    from ..services.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The objects of the core that features share."""

    settings: Settings
    database: Database
    cache: Cache
    passwords: Passwords
    users: Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a feature adds to the application."""

    routes: Sequence[ApiRoute] = ()
    gate: Gate | None = None
    """Tells callers apart, for the routes of the whole service; at most one feature brings it."""
    closing: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """What has to be closed before the core is, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of the console; *run* has the core, opened, and returns the exit code."""

    name: str
    purpose: str
    arguments: str
    """After the name, as in the example that `--help` shows."""
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Core, argparse.Namespace], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One optional feature. Importing its module loads only its settings: *build* and the commands load the rest."""

    name: str
    build: Callable[[Core], Parts]
    settings: type[SettingsGroup] | None = None
    hardened_defaults: Mapping[str, str] = field(default_factory=dict)
    """Settings of the core, by variable, that apply in staging and production where nobody says anything."""
    commands: tuple[Command, ...] = ()
