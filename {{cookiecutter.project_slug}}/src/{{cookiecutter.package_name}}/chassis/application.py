"""The composition root: every object is built here, bottom up, from validated settings; importing it does nothing."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware

from .. import SERVICE_NAME
from .http.documentation import DocumentationController
from .http.operations import IdentityController, OperationsController
from ..controllers.users import UsersController
from .errors import SchemaOutdated
from .lifecycle import Lifecycle
from .metrics import Metrics
from .middleware.errors import Errors
from .middleware.hosts import AllowedHosts
from .middleware.limits import BodyLimit, RequestTimeout
from .middleware.instrumentation import AccessLine, Observation
from .middleware.rate_limit import RateLimited
from .http.documentation_routes import documentation_routes
from .http.operations_routes import identity_routes, operations_routes
from .http.routing import declared
from ..routes.users import user_routes
from .background import BackgroundTasks, measure_loop_lag
from .cache.memory import Cache, MemoryCache
from .database.database import Database
from .health import Readiness
from .passwords import Passwords
from .rate_limits import RateLimit
from .database.schema import is_current
from ..services.users import Users
from .service import Core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from .settings.core import DatabaseSettings, RedisSettings, ServerSettings, Settings
    from .http.routing import ApiRoute
    from .service import Feature, Parts

_log = structlog.get_logger(__name__)

USER_CACHE_ENTRIES = 10_000
USER_CACHE_TTL_SECONDS = 60.0


class Application(Starlette):
    """A Starlette whose only middleware is the one it is given.

    Starlette adds one layer that answers unexpected exceptions as text and raises them again, and one that looks up
    exception handlers; `middleware/errors.py` does the work of both.
    """

    operations: Starlette
    """Health and metrics alone, for a listener of their own."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = self.router
        for cls, args, kwargs in reversed(self.user_middleware):
            app = cls(app, *args, **kwargs)
        return app


@dataclass(frozen=True, kw_only=True)
class Process:
    """What the process brings to the application: its phase, its figures, its log, and its last resorts."""

    lifecycle: Lifecycle
    metrics: Metrics
    access_log: AccessLine
    loop_exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None] | None = None
    migrate: Callable[[], Awaitable[None]] | None = None
    """Brings an old schema up to date before the start; without it, an old schema refuses the start."""


def create_app(settings: Settings, process: Process, features: Sequence[Feature]) -> Application:
    """Build the service with *features*; nothing outside the process is touched before its lifespan starts.

    Raises UndeclaredPolicy for a route that does not say who may call it.
    """
    metrics, server = process.metrics, settings.server
    core = build_core(settings)
    added = [feature.build(core) for feature in features]
    background = BackgroundTasks(process.lifecycle, metrics.unhandled_exceptions)
    readiness = Readiness({"database": core.database.ping}, process.lifecycle)
    _read_figures(metrics, core.database, core.cache, background)

    operations = operations_routes(OperationsController(readiness, metrics))
    observation = Middleware(Observation, metrics=metrics.requests, access_log=process.access_log)
    errors = Middleware(Errors, count=metrics.count_exception, debug=server.debug)
    around = [observation, *_at_the_edge(server), errors, *_guards(server)]
    app = _application(_routes(core, operations, added), around)
    app.router.lifespan_context = _lifespan(process, core, background, added)
    app.operations = _application(operations, [observation, errors])
    return app


def _routes(core: Core, operations: Sequence[ApiRoute], added: Sequence[Parts]) -> list[ApiRoute]:
    """Every route of the main listener, held to its policy where a feature tells callers apart."""
    server = core.settings.server
    gate = next((parts.gate for parts in added if parts.gate), None)
    routes: list[ApiRoute] = [
        *identity_routes(IdentityController(server.app_env)),
        *(operations if server.operations_port is None else ()),
        *user_routes(UsersController(core.users)),
        *(route for parts in added for route in parts.routes),
    ]
    if server.docs_enabled:
        routes += documentation_routes(DocumentationController(routes, gate.scheme if gate else None))
    for route in declared(routes):
        if gate:
            route.guard(gate)
    return routes


def _lifespan(
    process: Process, core: Core, background: BackgroundTasks, added: Sequence[Parts]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """What happens before the first request and after the last; what was started is closed the other way round."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(process.loop_exception_handler)
        async with AsyncExitStack() as stack:
            await _started(stack, "database", core.database.start, core.database.close)
            await _ensure_schema(core.database, process.migrate)
            await _started(stack, "cache", core.cache.start, core.cache.close)
            stack.callback(core.passwords.close)
            for name, close in (item for parts in added for item in parts.closing.items()):
                stack.push_async_callback(_closed, name, close)
            stack.push_async_callback(_closed, "background tasks", background.close)
            background.start("cache watch", core.cache.watch())
            background.start("event loop lag", measure_loop_lag(process.metrics.event_loop_lag.observe), critical=True)
            yield

    return lifespan


def build_core(settings: Settings) -> Core:
    """What the features, and the commands of features, share; nothing is opened yet."""
    database, cache, passwords = _database(settings.database), _cache(settings.redis), Passwords()
    users = Users(database, cache, passwords)
    return Core(settings=settings, database=database, cache=cache, passwords=passwords, users=users)


@asynccontextmanager
async def opened_core(settings: Settings) -> AsyncIterator[Core]:
    """The core, opened for one command; raises SchemaOutdated and DatabaseUnavailable."""
    core = build_core(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(core.database.close)
        await core.database.start()
        await _ensure_schema(core.database, None)
        stack.push_async_callback(core.cache.close)
        await core.cache.start()
        stack.callback(core.passwords.close)
        yield core


def _application(routes: Sequence[BaseRoute], middleware: Sequence[Middleware]) -> Application:
    app = Application(routes=routes, middleware=middleware)
    # A redirect to the path without its slash would be built from the Host header, and hide a client's mistake.
    app.router.redirect_slashes = False
    return app


def _at_the_edge(server: ServerSettings) -> list[Middleware]:
    """What reads or writes headers on behalf of proxies and browsers; absent unless it is configured."""
    layers: list[Middleware] = []
    if server.trusted_proxies:
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: PLC0415 - unused without proxies

        layers.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=list(server.trusted_proxies)))
    if server.cors_origins:
        from .middleware.cors import Cors  # noqa: PLC0415 - unused without browsers

        layers.append(
            Middleware(
                Cors,
                hosts=server.allowed_hosts,
                allow_origins=server.cors_origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                expose_headers=["X-Request-ID", "Retry-After", "Location"],
            )
        )
    return layers


def _guards(server: ServerSettings) -> list[Middleware]:
    hosts = [Middleware(AllowedHosts, hosts=server.allowed_hosts)] if server.allowed_hosts else []
    return [
        *hosts,
        *_rate_limit(server),
        Middleware(BodyLimit, max_bytes=server.max_body_bytes),
        Middleware(RequestTimeout, seconds=server.request_timeout_seconds),
    ]


def _rate_limit(server: ServerSettings) -> list[Middleware]:
    if not server.rate_limit_per_minute:
        return []
    limit = RateLimit(server.rate_limit_per_minute)
    return [Middleware(RateLimited, hit=limit.hit, proxies_trusted=bool(server.trusted_proxies))]


def _database(database: DatabaseSettings) -> Database:
    return Database(
        url=database.url.get_secret_value(),
        pool_size=database.pool_size,
        max_overflow=database.max_overflow,
        pool_timeout_seconds=database.pool_timeout_seconds,
        statement_timeout_seconds=database.statement_timeout_seconds,
    )


def _cache(redis: RedisSettings) -> Cache:
    if redis.url is None:
        return MemoryCache(max_entries=USER_CACHE_ENTRIES, ttl_seconds=USER_CACHE_TTL_SECONDS)
    from .cache.redis import RedisCache  # noqa: PLC0415 - the client is 60 ms of start-up

    return RedisCache(redis.url.get_secret_value(), prefix=SERVICE_NAME, ttl_seconds=USER_CACHE_TTL_SECONDS)


def _read_figures(metrics: Metrics, database: Database, cache: Cache, background: BackgroundTasks) -> None:
    metrics.read_gauges("db_pool_connections", "Database connections by state.", "state", database.pool_state)
    metrics.read_gauge("background_tasks", "Supervised tasks that run now.", lambda: len(background))
    metrics.read_counters(
        "cache_requests",
        "Look-ups in the cache by result.",
        "result",
        lambda: {"hit": cache.stats.hits, "miss": cache.stats.misses},
    )
    metrics.read_counter("cache_evictions", "Entries pushed out of a full cache.", lambda: cache.stats.evictions)


async def _ensure_schema(database: Database, migrate: Callable[[], Awaitable[None]] | None) -> None:
    """Refuse to serve on a schema other than the one this version was written for, or bring it there."""
    if await is_current(database):
        return
    if migrate is None:
        raise SchemaOutdated(f"the database's schema is not current: run `{SERVICE_NAME} migrate` before `serve`")
    _log.info("schema not current, migrating")
    await migrate()


async def _started(
    stack: AsyncExitStack, name: str, start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]
) -> None:
    """Start a resource; the stack closes it, in reverse order, also when a later one fails to start."""
    stack.push_async_callback(_closed, name, close)
    await start()


async def _closed(name: str, close: Callable[[], Awaitable[None]]) -> None:
    started = perf_counter()
    await close()
    _log.info("resource closed", resource=name, duration_ms=round((perf_counter() - started) * 1000, 1))
