"""Builds what all parts share, opens it and closes it again: for the server, and for the commands of features."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog

from .background import BackgroundTasks, measure_loop_lag
from .cache import Cache, MemoryCache
from .database import Database
from .database.drift import differences, metadata_of
from .database.required import missing
from .database.schema import is_current
from .errors import SchemaOutdated, StartupFailed
from .memory import MEMORY_SECONDS, heap_bytes, memory_report
from .passwords import Passwords
from .reports import ErrorReporter
from .service import Core, Parts, Restart, Service, Task
from .shapes.problem import ProblemDetails

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from .lifecycle import Lifecycle
    from .logs.access import AccessLog
    from .metrics import Metrics
    from .settings import DatabaseSettings, Settings

CACHE_TTL_SECONDS = 60.0

_log = structlog.get_logger("chassis.wiring")


@dataclass(frozen=True, kw_only=True)
class Process:
    """What the process brings to the application: its phase, metrics, log, and handlers of last resort."""

    lifecycle: Lifecycle
    metrics: Metrics
    access_log: AccessLog
    reporter: ErrorReporter = field(default_factory=ErrorReporter)
    loop_exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None] | None = None
    passwords: Callable[[], Passwords] = Passwords
    """Makes what hashes them; a test may take cheaper hashes than the defaults."""
    migrate: Callable[[], Awaitable[None]] | None = None
    """Brings an old schema up to date before the start; without it, the start fails on an old schema."""


def build_core(service: Service, settings: Settings, process: Process) -> Core:
    """The objects that all parts share; nothing is opened yet."""
    metrics = process.metrics
    core = Core(
        service=service,
        settings=settings,
        database=_database(settings.database, service.name, metrics),
        cache=_cache(settings, service.name),
        passwords=process.passwords(),
        metrics=metrics,
        lifecycle=process.lifecycle,
        tasks=BackgroundTasks(process.lifecycle, metrics.unhandled_exceptions, process.reporter),
        problems=ProblemDetails(service.name),
        access_log=process.access_log,
        reporter=process.reporter,
    )
    _export_metrics(core)
    return core


def build_parts(core: Core) -> list[Parts]:
    """Build every feature in order, each with what the earlier ones provide."""
    parts: list[Parts] = []
    for feature in core.service.features:
        built = feature.build(core)
        core.provided.extend(built.provides)
        core.renewals.extend(built.renewals)
        parts.append(built)
    return parts


def lifespan(
    core: Core, parts: Sequence[Parts], process: Process, *, check: Callable[[], object]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What happens before the first request and after the last; *check* raises what stops the start."""

    @asynccontextmanager
    async def run(_app: Starlette) -> AsyncIterator[None]:
        check()
        asyncio.get_running_loop().set_exception_handler(process.loop_exception_handler)
        async with opened(core, parts, migrate=process.migrate), AsyncExitStack() as stack:
            if core.settings.server.app_env == "development":
                await _warn_of_unwritten_migration(core)
            stack.push_async_callback(_closed, "background tasks", core.tasks.close)
            core.tasks.start_declared("cache watch", Task(core.cache.watch, restart=Restart()))
            if core.service.background:
                _start_tasks(core, parts)
            yield

    return run


def _start_tasks(core: Core, parts: Sequence[Parts]) -> None:
    core.tasks.start("event loop lag", measure_loop_lag(core.metrics.event_loop_lag.observe), critical=True)
    if core.settings.logging.level == "debug":
        core.tasks.start_declared("memory", Task(core.tasks.every(MEMORY_SECONDS, memory_report(core.metrics))))
    for part in parts:
        for name, task in part.tasks.items():
            core.tasks.start_declared(name, task)


def working(
    core: Core, parts: Sequence[Parts], run: Callable[[Core], Awaitable[int]]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What a long-running command does between its start and its end: *run*, on the opened core."""

    async def work() -> None:
        if code := await run(core):
            raise RuntimeError(f"the command returned {code}")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with opened(core, parts), AsyncExitStack() as stack:
            stack.push_async_callback(_closed, "background tasks", core.tasks.close)
            core.tasks.start_declared("event loop lag", lambda: measure_loop_lag(core.metrics.event_loop_lag.observe))
            core.tasks.start_declared("command", work)
            yield

    return lifespan


@asynccontextmanager
async def opened(
    core: Core, parts: Sequence[Parts], *, migrate: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[None]:
    """Open what *core* and *parts* hold, and close it in reverse order, also when a later step fails.

    Raises SchemaOutdated, unless *migrate* can mend that, and StartupFailed.
    """
    async with AsyncExitStack() as stack:
        await _started(stack, "database", core.database.start, core.database.close)
        await core.database.verify()
        await _ensure_schema(core, migrate)
        await _started(stack, "cache", core.cache.start, core.cache.close)
        stack.callback(core.passwords.close)
        for part in parts:
            for name, context in part.lifespan.items():
                await stack.enter_async_context(_logged(name, context()))
        yield


def _database(database: DatabaseSettings, service: str, metrics: Metrics) -> Database:
    return Database(
        database.url.get_secret_value(),
        application_name=service,
        pooled=database.direct_url is not None,
        pool_size=database.pool_size,
        max_overflow=database.max_overflow,
        pool_timeout_seconds=database.pool_timeout_seconds,
        statement_timeout_seconds=database.statement_timeout_seconds,
        connect_timeout_seconds=database.connect_timeout_seconds,
        pool_recycle_seconds=database.pool_recycle_seconds,
        on_wait=metrics.database_waits.observe,
        on_statement=metrics.database_statements.observe,
    )


def _cache(settings: Settings, service: str) -> Cache:
    url = settings.redis.url
    if url is None:
        return MemoryCache(max_entries=settings.redis.cache_entries, ttl_seconds=CACHE_TTL_SECONDS)
    from .cache.redis import RedisCache  # noqa: PLC0415 - the client is 60 ms of start-up

    return RedisCache(
        url.get_secret_value(), prefix=f"{service}:{settings.server.app_env}", ttl_seconds=CACHE_TTL_SECONDS
    )


def _export_metrics(core: Core) -> None:
    metrics, cache = core.metrics, core.cache
    metrics.read_gauges("db_pool_connections", "Database connections by state.", "state", core.database.pool_state)
    metrics.read_gauge("process_heap_bytes", "Private memory of the process: heap and stacks.", heap_bytes)
    metrics.read_gauge(
        "database_degraded", "1 while the database's server has no space for writes.", lambda: core.database.degraded
    )
    metrics.read_gauge("background_tasks", "Supervised tasks that run now.", lambda: len(core.tasks))
    metrics.read_counters(
        "cache_requests",
        "Look-ups in the cache by result.",
        "result",
        lambda: {"hit": cache.stats.hits, "miss": cache.stats.misses},
    )
    metrics.read_counter("cache_evictions", "Entries pushed out of a full cache.", lambda: cache.stats.evictions)


async def _ensure_schema(core: Core, migrate: Callable[[], Awaitable[None]] | None) -> None:
    """Do not serve on a schema other than the one this version was written for, or bring it there."""
    if not await is_current(core.database, core.service.versions):
        if migrate is None:
            command = f"`{core.service.name} migrate`"
            raise SchemaOutdated(f"the database's schema is not current: run {command} before `serve`")
        _log.info("schema not current, migrating")
        await migrate()
    metadata = metadata_of(core.service.models)
    if lacking := await core.database.read(lambda connection: missing(connection, metadata)):
        raise StartupFailed(
            f"the database lacks what the chassis needs: {', '.join(lacking)}",
            hint=f'write the migration, {core.service.name} makemigration "follow the chassis", and run '
            f"{core.service.name} migrate; with nothing to write, restore a revision that was edited after it "
            "had run",
        )


async def _warn_of_unwritten_migration(core: Core) -> None:
    """Name what the models say and no revision makes; whatever fails meanwhile is no reason not to start."""
    try:
        metadata = metadata_of(core.service.models)
        unwritten = await core.database.read(lambda connection: differences(connection, metadata))
    except Exception as error:  # noqa: BLE001 - a courtesy to the developer
        _log.warning("models not compared with the schema", reason=f"{type(error).__name__}: {error}")
        return
    if unwritten:
        hint = f'write it: {core.service.name} makemigration "what it does"'
        _log.warning("models have changes without a migration", missing=unwritten, hint=hint)


async def _started(
    stack: AsyncExitStack, name: str, start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]
) -> None:
    """Start a resource; the stack closes it, also when it, or a later one, fails to start."""
    stack.push_async_callback(_closed, name, close)
    await start()


@asynccontextmanager
async def _logged(name: str, context: AbstractAsyncContextManager[object]) -> AsyncIterator[None]:
    """*context*, whose end is logged as that of the other resources."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(context)
        yield
        await _closed(name, stack.aclose)


async def _closed(name: str, close: Callable[[], Awaitable[None]]) -> None:
    started = perf_counter()
    await close()
    _log.info("resource closed", resource=name, duration_ms=round((perf_counter() - started) * 1000, 1))
