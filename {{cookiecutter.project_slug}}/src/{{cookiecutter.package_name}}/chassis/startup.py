"""The first steps of a process: its log, and what is said when a module cannot even be imported."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from . import exit_codes
from .server.signals import exit_at_once_on_signals

if TYPE_CHECKING:
    from .logs.writer import LogWriter
    from .service import Service
    from .settings import Settings


LAST_STANDARD_DESCRIPTOR = 2


def open_standard_streams() -> None:
    """Let whatever was closed of stdin, stdout and stderr lead nowhere (`>&-`).

    Else the next file that is opened takes its number, and gets what is written there; where that is the event loop's,
    the loop ends the process by SIGABRT.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD_DESCRIPTOR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def report_failed_import(error: Exception) -> int:
    """Say in one line on stderr what failed, and where: there is no log yet to say it in. The exit code."""
    import traceback

    *_, place = traceback.extract_tb(error.__traceback__)
    reason = " ".join(str(error).split())
    sys.stderr.write(f"start-up failed: {type(error).__name__}: {reason} ({place.filename}:{place.lineno})\n")
    return exit_codes.STARTUP_FAILED


def configure_log(service: Service, settings: Settings, *, results_on_stdout: bool = False) -> LogWriter:
    """Send every log line of the process where the settings say.

    With *results_on_stdout*, stdout holds what the command prints and nothing else: the log goes to stderr.

    Raises SystemExit with the exit code if LOG_FILE cannot be opened.
    """
    try:
        from .logs.setup import log_what_is_printed
    except Exception as error:  # noqa: BLE001 - as in `run`
        raise SystemExit(report_failed_import(error)) from None
    try:
        writer = open_log(service, settings, results_on_stdout=results_on_stdout)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(exit_codes.BAD_SETTINGS) from None
    exit_at_once_on_signals(writer.flush)
    if _has_json_lines(settings) and not results_on_stdout:
        log_what_is_printed()
    return writer


def open_log(service: Service, settings: Settings, *, results_on_stdout: bool = False) -> LogWriter:
    """As `configure_log`, but for signals and what is printed. Raises OSError, which names LOG_FILE."""
    from .logs.setup import configure_logging
    from .settings import secret_values

    file = settings.logging.file
    try:
        return configure_logging(
            level=settings.logging.level,
            json_lines=_has_json_lines(settings),
            file=file,
            service=service.name,
            version=service.version,
            environment=settings.server.app_env,
            secrets=secret_values(settings),
            own=service.logging,
            stream=sys.stderr.buffer if results_on_stdout and sys.stderr is not None else None,
            own_threads=service.background,
        )
    except OSError as error:
        raise OSError(f"LOG_FILE: {str(file)!r} cannot be opened for writing: {error.strerror}") from error


def _has_json_lines(settings: Settings) -> bool:
    in_development = settings.server.app_env == "development"
    on_terminal = in_development and sys.stdout is not None and sys.stdout.isatty()
    return (settings.logging.format or ("console" if on_terminal else "json")) == "json"
