"""The impure edge: reads the environment once, configures the process, and runs one command.

What a command needs is imported when it runs, so that `healthcheck` does not pay for the server.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import SERVICE_NAME, __version__
from . import exit_codes
from .server.signals import exit_at_once_on_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.applications import Starlette

    from .application import Application, Process
    from .logs.setup import LogWriter
    from .settings.core import Settings
    from .metrics import Metrics
    from .server.options import ServerOptions
    from .service import Command, Feature

HEALTHCHECK_TIMEOUT_SECONDS = 2.5
LOG_FLUSH_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None, features: Sequence[Feature] | None = None) -> int:
    """Run the command that *arguments* name, and return the process's exit code.

    *features* are those of the registry, unless a test names others.
    """
    try:
        from .settings.core import SettingsError, load_settings
        from ..features import FEATURES
    except Exception as error:  # noqa: BLE001 - whatever a module raises, there is no service
        return _failed_import(error)
    features = FEATURES if features is None else features
    options = _parser(features).parse_args(arguments, argparse.Namespace(features=features))
    groups = [feature.settings for feature in features if feature.settings]
    hardened_defaults = {name: text for feature in features for name, text in feature.hardened_defaults.items()}
    try:
        settings = load_settings(os.environ, Path.cwd(), groups, hardened_defaults)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.BAD_SETTINGS
    command: Callable[[Settings, argparse.Namespace], int] = options.command
    return command(settings, options)


def _failed_import(error: Exception) -> int:
    """Say in one line on stderr what failed, and where: there is no log yet to say it in. The exit code."""
    import traceback

    *_, place = traceback.extract_tb(error.__traceback__)
    reason = " ".join(str(error).split())
    sys.stderr.write(f"start-up failed: {type(error).__name__}: {reason} ({place.filename}:{place.lineno})\n")
    return exit_codes.STARTUP_FAILED


def _parser(features: Sequence[Feature]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=SERVICE_NAME,
        description="Run and keep the service. Settings come from the environment, .env.{APP_ENV} and .env.",
        epilog="exit codes: 0 clean, 3 start-up failed, 70 a critical task died, 75 the shutdown deadline cut work "
        "off, 78 settings are missing, malformed or insecure, 128+n forced by signal n",
    )
    parser.add_argument("--version", action="version", version=f"{SERVICE_NAME} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "serve", _serve, "answer requests until a signal comes", f"PORT=8080 {SERVICE_NAME} serve")
    _add(commands, "migrate", _migrate, "bring the database's schema up to date", f"{SERVICE_NAME} migrate")
    config = _add(commands, "config", _config, "print the settings, secrets masked", f"{SERVICE_NAME} config --check")
    config.add_argument("--check", action="store_true", help="only validate: print nothing, exit 0 or 78")
    _add(commands, "routes", _routes, "list every route, and who may call it", f"{SERVICE_NAME} routes | grep users")
    _add(commands, "healthcheck", _healthcheck, "ask the running service if it lives", f"{SERVICE_NAME} healthcheck")
    for command in (command for feature in features for command in feature.commands):
        example = f"{SERVICE_NAME} {command.name} {command.arguments}"
        added = _add(commands, command.name, partial(_run_of_feature, command), command.purpose, example)
        command.configure(added)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[Settings, argparse.Namespace], int],
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=purpose, description=f"{purpose.capitalize()}.", epilog=f"example: {example}"
    )
    parser.set_defaults(command=command)
    return parser


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    writer = _configure_logging(settings)
    import structlog

    log = structlog.get_logger(__name__)
    for warning in settings.warnings:
        log.warning("questionable setting", problem=warning)
    try:
        from .application import create_app
        from .server.process import serve
    except Exception as error:
        hint = "the frames in this line lead to the import that fails"
        log.critical("start-up failed", cause=str(error), hint=hint, exc_info=error)
        return exit_codes.STARTUP_FAILED
    process = _process(settings, writer)

    def build() -> tuple[Application, Starlette]:
        app = create_app(settings, process, options.features)
        return app, app.operations

    return serve(build, _server_options(settings, process.metrics), process.lifecycle, flush=writer.flush)


def _process(settings: Settings, writer: LogWriter) -> Process:
    from .application import Process
    from .logs.setup import AccessLog, LastResort
    from .lifecycle import Lifecycle
    from .metrics import Metrics

    metrics = Metrics()
    metrics.read_counter(
        "log_messages_dropped", "Log lines given up because stdout or the file took no more.", lambda: writer.dropped
    )
    last_resort = LastResort(lambda where: metrics.unhandled_exceptions.labels(where).inc())
    last_resort.install()
    return Process(
        lifecycle=Lifecycle(),
        metrics=metrics,
        access_log=AccessLog(writer, level=settings.logging.level),
        loop_exception_handler=last_resort.loop_exception_handler,
        migrate=None if settings.server.app_env.hardened else _migrate_in_subprocess,
    )


def _server_options(settings: Settings, metrics: Metrics) -> ServerOptions:
    from .server.options import ServerOptions

    server = settings.server
    return ServerOptions(
        host=server.host,
        port=server.port,
        operations_port=server.operations_port,
        drain_delay_seconds=server.drain_delay_seconds,
        shutdown_deadline_seconds=server.shutdown_deadline_seconds,
        max_header_bytes=server.max_header_bytes,
        on_refusal=metrics.requests.observe_refusal,
        on_exception=metrics.count_exception,
    )


def _configure_logging(settings: Settings, *, answers_on_stdout: bool = False) -> LogWriter:
    from .settings.core import secret_values

    try:
        from .logs.setup import configure_logging, log_what_is_printed
    except Exception as error:  # noqa: BLE001 - as in `main`
        raise SystemExit(_failed_import(error)) from None
    environment, file = settings.server.app_env, settings.logging.file
    on_terminal = environment == "development" and sys.stdout is not None and sys.stdout.isatty()
    json_lines = (settings.logging.format or ("console" if on_terminal else "json")) == "json"
    try:
        writer = configure_logging(
            level=settings.logging.level,
            json_lines=json_lines,
            file=file,
            environment=environment,
            secrets=secret_values(settings),
        )
    except OSError as error:
        sys.stderr.write(f"LOG_FILE: {str(file)!r} cannot be opened for writing: {error.strerror}\n")
        raise SystemExit(exit_codes.BAD_SETTINGS) from None
    exit_at_once_on_signals(writer.flush)
    if json_lines and not answers_on_stdout:
        log_what_is_printed()
    return writer


async def _migrate_in_subprocess() -> None:
    """Run `migrate` in a process of its own, so that this one never loads Alembic; its log lines join ours.

    Raises RuntimeError if it fails.
    """
    import asyncio

    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __package__, "migrate")
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if code != exit_codes.CLEAN:
        raise RuntimeError(f"the migration ended with exit code {code}; its own log lines say why")


def _migrate(settings: Settings, _options: argparse.Namespace) -> int:
    writer = _configure_logging(settings)
    import structlog

    from .database.migrations import MigrationFailed, migrate

    try:
        migrate(settings.database.url.get_secret_value())
    except MigrationFailed as error:
        structlog.get_logger(__name__).error("migration failed", reason=str(error))
        return exit_codes.STARTUP_FAILED
    finally:
        writer.flush(LOG_FLUSH_SECONDS)
    return exit_codes.CLEAN


def _config(settings: Settings, options: argparse.Namespace) -> int:
    from .settings.core import masked_lines

    for warning in settings.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if not options.check:
        sys.stdout.write("".join(f"{line}\n" for line in masked_lines(settings)))
    return exit_codes.CLEAN


def _run_of_feature(command: Command, settings: Settings, options: argparse.Namespace) -> int:
    """Run a feature's command on the opened core; what refuses it is one line on stderr."""
    import asyncio

    from .application import opened_core
    from .errors import SchemaOutdated, ServiceError

    writer = _configure_logging(settings)

    async def run() -> int:
        async with opened_core(settings) as core:
            return await command.run(core, options)

    try:
        return asyncio.run(run())
    except (SchemaOutdated, ServiceError) as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.STARTUP_FAILED
    finally:
        writer.flush(LOG_FLUSH_SECONDS)


def _routes(settings: Settings, options: argparse.Namespace) -> int:
    from .application import create_app
    from .http.routing import ApiRoute

    process = _process(settings, _configure_logging(settings, answers_on_stdout=True))
    app = create_app(settings, process, options.features)
    routes = {route.path: route for route in [*app.routes, *app.operations.routes] if isinstance(route, ApiRoute)}
    for route in routes.values():
        for method, endpoint in route.endpoints.items():
            sys.stdout.write(f"{method:<7} {route.path:<32} {route.name:<16} {endpoint.policy}\n")
    return exit_codes.CLEAN


def _healthcheck(settings: Settings, _options: argparse.Namespace) -> int:
    """Ask `/health/live` over HTTP; the container's health check runs this."""
    import http.client

    from .shapes.operations import LIVE_PATH

    server = settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - compared, not bound
    port = server.port if server.operations_port is None else server.operations_port
    connection = http.client.HTTPConnection(host, port, timeout=HEALTHCHECK_TIMEOUT_SECONDS)
    try:
        connection.request("GET", LIVE_PATH)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"nothing answers on {host}:{port}: {error}\n")
        return exit_codes.UNHEALTHY
    finally:
        connection.close()
    if status != http.client.OK:
        sys.stderr.write(f"{host}:{port} answered {status}\n")
        return exit_codes.UNHEALTHY
    return exit_codes.CLEAN
