"""The commands that every service has; each imports what it needs when it runs, and returns the exit code."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from . import exit_codes
from .startup import configure_log, report_failed_import

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from starlette.applications import Starlette

    from .application import Application
    from .logs.writer import LogWriter
    from .server.options import ServerOptions
    from .service import Command, Core, Service
    from .settings import Settings
    from .wiring import Process

HEALTHCHECK_TIMEOUT_SECONDS = 2.5
LOG_FLUSH_SECONDS = 2.0


def serve(service: Service, settings: Settings, _options: argparse.Namespace) -> int:
    """Serve requests until a signal comes."""
    return _serve(service, settings)


def _serve(service: Service, settings: Settings, work: Callable[[Core], Awaitable[int]] | None = None) -> int:
    """Serve requests until a signal comes, or do *work* instead, with health and metrics alone."""
    writer = configure_log(service, settings)
    import structlog

    log = structlog.get_logger("chassis.cli")
    for warning in settings.warnings:
        log.warning("setting warning", problem=warning)
    try:
        from .application import create_app, create_worker
        from .server.process import serve as run_server
    except Exception as error:
        hint = "the frames in this line lead to the import that fails"
        log.critical("start-up failed", cause=str(error), hint=hint, exc_info=error)
        return exit_codes.STARTUP_FAILED
    process = new_process(service, settings, writer)

    def build() -> tuple[Application, Starlette]:
        if work is not None:
            app = create_worker(service, settings, process, work)
        else:
            app = create_app(service, settings, process)
        return app, app.operations

    options = server_options(service, settings, process)
    if work is not None:  # no balancer sends it anything
        options = replace(options, drain_delay_seconds=0.0)
    try:
        return run_server(build, options, process.lifecycle, flush=writer.flush)
    except Exception as error:  # noqa: BLE001 - the last frame of the main thread
        return _crashed(error, writer)


def _crashed(error: Exception, writer: LogWriter) -> int:
    """Log and count what nothing in the main thread caught, as the interpreter would, and return the exit code."""
    sys.excepthook(type(error), error, error.__traceback__)
    writer.flush(LOG_FLUSH_SECONDS)
    return exit_codes.CRASHED


def new_process(service: Service, settings: Settings, writer: LogWriter) -> Process:
    """What one process brings to the application; the interpreter's hooks for unhandled exceptions are installed."""
    from platform import python_version

    from .lifecycle import Lifecycle
    from .logs.access import AccessLog
    from .logs.hooks import UnhandledExceptionHooks
    from .manifest import version as chassis_version
    from .metrics import Metrics
    from .migration_process import migrate_in_subprocess
    from .reports import ErrorReporter
    from .wiring import Process

    metrics, reporter = Metrics(), ErrorReporter(service.on_error)
    metrics.read_counter(
        "log_messages_dropped", "Log lines given up because stdout or the file took no more.", lambda: writer.dropped
    )

    def on_unhandled(where: str, error: BaseException | None) -> None:
        metrics.unhandled_exceptions.labels(where).inc()
        if error is not None:
            reporter.report(error, where=where)

    metrics.set_build_info(
        service=service.name, version=service.version, chassis=chassis_version(), python=python_version()
    )
    lifecycle = Lifecycle(exits_on_unhandled=settings.server.unhandled_errors == "exit")
    hooks = UnhandledExceptionHooks(on_unhandled, lifecycle.fail_unhandled)
    hooks.install()
    return Process(
        lifecycle=lifecycle,
        metrics=metrics,
        access_log=AccessLog(writer, level=settings.logging.level, fields=service.logging.fields),
        reporter=reporter,
        loop_exception_handler=hooks.loop_exception_handler,
        migrate=None if settings.server.app_env.hardened else lambda: migrate_in_subprocess(service.package),
    )


def server_options(service: Service, settings: Settings, process: Process) -> ServerOptions:
    """The settings that are the server's own."""
    from .server.admission import Admission
    from .server.options import ServerOptions
    from .shapes.problem import ProblemDetails

    server, metrics, reporter = settings.server, process.metrics, process.reporter
    admission = Admission()
    metrics.read_gauge("open_connections", "Connections that are open, with websockets.", lambda: admission.open)
    metrics.read_counters(
        "connections_shed",
        "Connections closed or rejected because of a limit: of descriptors (an idle one, or the new one), or of one "
        "address.",
        "reason",
        lambda: admission.shed,
    )

    def on_exception(error: BaseException, scope: MutableMapping[str, Any]) -> None:
        metrics.count_exception(error, scope)
        reporter.request(error, scope)

    return ServerOptions(
        problems=ProblemDetails(service.name),
        host=server.host,
        port=server.port,
        operations_port=server.operations_port,
        drain_delay_seconds=server.drain_delay_seconds,
        shutdown_deadline_seconds=server.shutdown_deadline_seconds,
        keep_alive_seconds=server.keep_alive_seconds,
        max_connections_per_address=server.max_connections_per_address,
        admission=admission,
        max_header_bytes=server.max_header_bytes,
        websocket_max_bytes=server.websocket_max_bytes,
        cors_origins=server.cors_origins,
        on_rejection=metrics.requests.observe_rejection,
        on_exception=on_exception,
    )


def migrate(service: Service, settings: Settings, _options: argparse.Namespace) -> int:
    """Bring the database's schema up to date."""
    writer = configure_log(service, settings)
    import structlog

    from .database.migrations import MigrationFailed, Schema
    from .database.migrations import migrate as run_migrations

    try:
        run_migrations(settings.database.migrations_url, Schema(service.models, service.versions))
    except MigrationFailed as error:
        structlog.get_logger("chassis.cli").error("migration failed", reason=str(error))
        return exit_codes.STARTUP_FAILED
    finally:
        writer.flush(LOG_FLUSH_SECONDS)
    return exit_codes.CLEAN


def makemigration(service: Service, _settings: Settings, options: argparse.Namespace) -> int:
    """Write the next migration from the models."""
    import logging

    import structlog

    from .database.migrations import MigrationFailed, Schema, unwritten_changes, write_revision

    # That the scratch database was migrated is no news, and would read as if yours were.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    schema = Schema(service.models, service.versions)
    try:
        if options.check:
            changes = unwritten_changes(schema)
            sys.stdout.write("".join(f"{change}\n" for change in changes))
            return exit_codes.UNHEALTHY if changes else exit_codes.CLEAN
        written = write_revision(schema, options.message, empty=options.empty)
    except MigrationFailed as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.STARTUP_FAILED
    if not written:
        sys.stdout.write("nothing to write: the revisions make what the models say (--empty writes one to fill in)\n")
    return exit_codes.CLEAN


def config(_service: Service, settings: Settings, options: argparse.Namespace) -> int:
    """Print the settings, secrets masked."""
    from .settings import masked_lines

    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not options.check:
        sys.stdout.write("".join(f"{line}\n" for line in masked_lines(settings)))
    return exit_codes.CLEAN


def write_documents(service: Service, document: str) -> int:
    """Print what *document* names, `example` or `markdown`, or `write` both; no setting is read for it."""
    from pathlib import Path

    from .settings import documents

    if document == "write":
        sys.stdout.write("".join(f"{name} was written\n" for name in documents.write(service, Path.cwd())))
    else:
        sys.stdout.write(documents.example(service) if document == "example" else documents.tables(service))
    return exit_codes.CLEAN


def routes(service: Service, settings: Settings, _options: argparse.Namespace) -> int:
    """List every route and its access policy."""
    from .application import create_app
    from .errors import ConfigurationError
    from .http.policies import ProtectedRoute

    process = new_process(service, settings, configure_log(service, settings, results_on_stdout=True))
    try:
        app = create_app(service, settings, process)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.STARTUP_FAILED
    except Exception as error:  # noqa: BLE001 - whatever a feature's `build` raises, there are no routes
        return report_failed_import(error)
    elsewhere = app.operations.routes if settings.server.operations_port is not None else ()
    listed = [route for route in (*app.routes, *elsewhere) if isinstance(route, ProtectedRoute)]
    for route in listed:
        for method, policy in route.policies():
            sys.stdout.write(f"{method:<7} {route.path:<32} {route.name:<16} {policy}\n")
    return exit_codes.CLEAN


def healthcheck(_service: Service, settings: Settings, _options: argparse.Namespace) -> int:
    """Ask `/health/live` over HTTP; the container's health check runs this."""
    import http.client

    from .shapes.operations import LIVE_PATH

    server = settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(server.host, server.host)  # noqa: S104 - compared, not bound
    port = server.port if server.operations_port is None else server.operations_port
    connection = http.client.HTTPConnection(host, port, timeout=HEALTHCHECK_TIMEOUT_SECONDS)
    try:
        connection.request("GET", LIVE_PATH)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"nothing listens on {host}:{port}: {error}\n")
        return exit_codes.UNHEALTHY
    finally:
        connection.close()
    if status != http.client.OK:
        sys.stderr.write(f"{host}:{port} responded with {status}\n")
        return exit_codes.UNHEALTHY
    return exit_codes.CLEAN


def run_of_feature(command: Command, service: Service, settings: Settings, options: argparse.Namespace) -> int:
    """Run a feature's command on the opened core; an expected failure is one line on stderr."""
    if command.long_running:
        return _serve(service, settings, lambda core: command.run(core, options))
    import asyncio

    from .errors import ConfigurationError, SchemaOutdated, ServiceError, StartupFailed
    from .wiring import build_core, build_parts, opened

    writer = configure_log(service, settings, results_on_stdout=True)
    process = new_process(service, settings, writer)

    async def run() -> int:
        core: Core = build_core(service, settings, process)
        async with opened(core, build_parts(core)):
            return await command.run(core, options)

    try:
        return asyncio.run(run())
    except (ConfigurationError, SchemaOutdated, ServiceError, StartupFailed) as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.STARTUP_FAILED
    except Exception as error:  # noqa: BLE001 - the last frame of the main thread
        return _crashed(error, writer)
    finally:
        writer.flush(LOG_FLUSH_SECONDS)
