"""What a service is made of: the value that describes it, the parts that it adds, and the objects that it shares.

Importing this module loads nothing heavy: everything here is a plain value, and its types are for the type checker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from .background import BackgroundTasks
    from .cache import Cache
    from .database import Database
    from .health import Check
    from .http.routing import Authorizer
    from .lifecycle import Lifecycle
    from .logs.access import AccessLog
    from .metrics import Metrics
    from .passwords import Passwords
    from .reports import ErrorReporter, OnError
    from .settings import Settings, SettingsGroup
    from .shapes.problem import ProblemDetails

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The objects that all parts of the service share."""

    service: Service
    settings: Settings
    database: Database
    cache: Cache
    passwords: Passwords
    metrics: Metrics
    lifecycle: Lifecycle
    tasks: BackgroundTasks
    problems: ProblemDetails
    access_log: AccessLog
    reporter: ErrorReporter
    provided: list[object] = field(default_factory=list)
    """What the parts built so far provide, in that order."""
    renewals: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """As `Parts.renewals`, of all parts built so far."""

    def report_exception(self, error: BaseException, scope: Mapping[str, Any]) -> None:
        """Count an unexpected exception of the request or websocket of *scope*, and report it."""
        self.metrics.count_exception(error, scope)
        self.reporter.request(error, scope)

    def find(self, kind: type[T]) -> T | None:
        """As `get`; None if no earlier part provides one."""
        return self.get(kind) if any(isinstance(each, kind) for each in self.provided) else None

    def get(self, kind: type[T]) -> T:
        """The object of the type *kind* that an earlier part provides.

        Raises ConfigurationError if there is none or more than one.
        """
        found = [each for each in self.provided if isinstance(each, kind)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(type(each).__name__ for each in self.provided) or "nothing"
        what = f"{len(found)} objects of the type" if found else "no"
        raise ConfigurationError(
            f"{what} {kind.__name__} provided: list one in Parts(provides=...) of a feature that is built before this "
            f"one (provided so far: {names})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """When a task that has failed is started again: each time twice as late, until it has run for *most_seconds*."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """A background task for `Parts(tasks=...)`, and what its failure means; it may return at any time."""

    run: Callable[[], Coroutine[object, object, None]]
    critical: bool = field(default=True, kw_only=True)
    """Whether its failure ends the process; False leaves the service without the task."""
    restart: Restart | None = field(default=None, kw_only=True)
    """Start it again instead, for as long as it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one feature adds to the service."""

    routes: Sequence[BaseRoute] = ()
    """`ApiRoute`, and those of `mount`, `static_files` and `websocket`: each has a policy."""
    authorizer: Authorizer | None = None
    """Identifies callers for every route of the service; at most one feature brings it."""
    provides: Sequence[object] = ()
    """What later features and commands get with `core.get(Type)`."""
    middleware: Sequence[Middleware] = ()
    """Added innermost, around the router; the service's own stack is listed in its `middleware` package."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """Of readiness, by name: each returns, or raises while its dependency cannot be used."""
    tasks: Mapping[str, Task | Callable[[], Coroutine[object, object, None]]] = field(default_factory=dict)
    """Background tasks, by name: each is started with the service, supervised, and cancelled at its end.

    If one raises, the process drains and ends with 70 (UNHANDLED_ERRORS); a `Task` can say otherwise."""
    renewals: Sequence[Callable[[], Awaitable[None]]] = ()
    """Called after the process stood still for a while: each lets go of connections that may be dead."""
    lifespan: Mapping[str, Callable[[], AbstractAsyncContextManager[object]]] = field(default_factory=dict)
    """By name, what is entered before the first request and left, in reverse order, after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of the console; *run* gets the core, opened, after every feature was built, and returns the exit code.

    No route is served and no background task runs meanwhile.
    """

    name: str
    """One word, or two for one of a group: `users import`."""
    purpose: str
    run: Callable[[Core, argparse.Namespace], Awaitable[int]]
    arguments: str = ""
    """After the name, as in the example that `--help` shows."""
    configure: Callable[[argparse.ArgumentParser], object] = lambda _parser: None
    """Adds the arguments."""
    long_running: bool = False
    """Whether it goes on until a signal, drains and ends as `serve` does, with health and metrics on PORT.

    *run* then returns when the lifecycle drains, or is cancelled after the deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature; the product itself is the first. Importing its module loads only its settings: *build* the rest."""

    name: str
    build: Callable[[Core], Parts]
    settings: Sequence[type[SettingsGroup]] = ()
    hardened_defaults: Mapping[str, str] = field(default_factory=dict)
    """Defaults of settings, by variable, that hold in staging and production alone."""
    commands: Sequence[Command] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What log lines hold besides the chassis's own fields."""

    processors: Callable[[], Sequence[Callable[[Any, str, Any], Any]]] | None = None
    """Returns those of structlog, in their order, before a line is rendered; called when the log is configured."""
    fields: Callable[[], Mapping[str, object]] | None = None
    """More fields for every line, the access line included; called once for each, in the task that logs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the chassis runs."""

    name: str
    """The slug: of the command, the database's default file, the keys in Redis and the problem types."""
    title: str
    """For people, as its description."""
    description: str
    version: str
    package: str
    """The import name of the package, for `python -m`."""
    settings: Sequence[type[SettingsGroup]]
    features: Sequence[Feature]
    """In the order in which they are built and started; they are closed in reverse."""
    middleware: Callable[[Core], Sequence[Middleware | None]]
    """The layers around the router, outermost first; None is one that is not configured."""
    models: str
    """The import name of the package of the models; its module `base` holds `Base`."""
    versions: Path
    """The folder of the schema's revisions."""
    logging: Logging = Logging()
    background: bool = True
    """Whether the tasks of features run; not where the process stands still between two requests."""
    on_error: OnError | None = None
    """Called with each unexpected exception and what is known of where: the hook of an error tracker."""
