"""Every line of this process's log, from structlog and from the standard library, in one shape to one writer.

What a line holds is `lines`, what it hides `masking` and `assignments`, how it leaves the process `writer`.
"""

from __future__ import annotations

import atexit
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from .access import AccessLog
from .chain import configure_structlog
from .console import console_format
from .destinations import RotatedFile, destination_of
from .hooks import UnhandledExceptionHooks
from .lines import LEVELS, LogLines
from .masking import Masker
from .stdout import log_what_is_printed
from .writer import LogQueue, LogWriter

if TYPE_CHECKING:
    from ..service import Logging

__all__ = ["AccessLog", "LogWriter", "UnhandledExceptionHooks", "configure_logging", "log_what_is_printed"]

_NOISY = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "redis",
    "sqlalchemy",
    "urllib3",
    "watchfiles",
    "websockets",
)
"""Libraries that tell of each query, request, file or plugin at info or debug: they are heard from warning on."""
_SERVERS = (
    *("uvicorn", "uvicorn.error", "uvicorn.asgi"),
    *("gunicorn", "gunicorn.error", "hypercorn", "hypercorn.error", "_granian"),
)
"""Of servers, which give their loggers handlers of their own before the application starts."""
_SILENT = ("uvicorn.access", "gunicorn.access", "hypercorn.access", "granian.access")
_EXIT_FLUSH_SECONDS = 2.0
_opened: list[LogWriter] = []
"""The writer that the process logs to; none before the first `configure_logging`."""
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def configure_logging(  # noqa: PLR0913 - one value for each setting
    *,
    level: str,
    json_lines: bool,
    file: Path | None,
    service: str,
    version: str,
    environment: str,
    secrets: Iterable[str] = (),
    own: Logging | None = None,
    stream: IO[bytes] | None = None,
    own_threads: bool = True,
) -> LogWriter:
    """Send every log line of the process to *stream* (stdout if `None`) and *file*, and return what writes them.

    *own* is what the service adds to the lines. *file* is in JSON whatever *json_lines* says, and `FILE.error` holds
    the lines of level error and above. What is queued is written when the interpreter ends; code that ends the process
    by `os._exit` calls `flush` before. Without *own_threads*, lines are written by `flush` alone. What an earlier call
    returned is closed: a process has one log.

    Raises OSError if *file* cannot be opened, except on a full disk.
    """
    level = level.lower()
    masker = Masker(secrets)
    destination = destination_of(stream)
    lines = LogLines(
        service=service,
        version=version,
        environment=environment,
        masker=masker,
        fields=own.fields if own else None,
    )
    finish = lines.finished if json_lines else console_format(lines, colours=destination.is_terminal)
    writer = _open_writer(lines, LogQueue("stdout", destination, finish=finish, own_thread=own_threads), file)
    atexit.register(writer.flush, _EXIT_FLUSH_SECONDS)
    configure_structlog(writer, level, own.processors() if own and own.processors else ())
    _configure_standard_library(writer, LEVELS[level])
    UnhandledExceptionHooks().install()  # so that a failing import is logged too; `serve` counts as well
    _close_earlier(writer)
    return writer


def process_log() -> LogWriter | None:
    """What writes the log of the process; None before it is open."""
    return _opened[-1] if _opened else None


def _close_earlier(writer: LogWriter) -> None:
    """A server's last lines come after the application's end, so the log is closed only when the next one is open."""
    while _opened:
        earlier = _opened.pop()
        atexit.unregister(earlier.flush)
        earlier.close()
    _opened.append(writer)


def _open_writer(lines: LogLines, stdout: LogQueue, file: Path | None) -> LogWriter:
    if file is None:
        return LogWriter(lines, everything=[stdout])
    return LogWriter(
        lines,
        everything=[stdout, _file_queue("file", lines, stdout, file)],
        errors=[_file_queue("errors", lines, stdout, file.with_name(f"{file.name}.error"))],
    )


def _file_queue(name: str, lines: LogLines, stdout: LogQueue, file: Path) -> LogQueue:
    """The queue of *file*; that it cannot be written is logged to *stdout*."""

    def report(reason: str) -> None:
        fields: dict[str, object] = {"event": "log file cannot be written", "file": str(file), "reason": reason}
        stdout.put(lines.line("error", "chassis.logs", fields))

    return LogQueue(name, RotatedFile(file), finish=lines.finished, on_failure=report)


class _Bridge(logging.Handler):
    """Gives the records of the standard library the shape of structlog's lines; their `extra` become fields."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def createLock(self) -> None:  # noqa: N802 - the standard library's name
        """Do without: the writer needs none, and a lock here would serialise all threads that log."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As the standard library does, without its lock: Python 3.13 enters one without asking whether it is there."""
        passed = bool(self.filter(record))
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        level = _level_name(record.levelno)
        fields: dict[str, object] = {"event": _message(record)}
        for name, value in vars(record).items():
            if name not in _RECORD_FIELDS:
                fields["event_" if name == "event" else name] = value
        fields["exc_info"] = record.exc_info
        if record.stack_info:
            fields["stack"] = record.stack_info
        self._writer.write(self._writer.lines.line(level, record.name, fields), error=record.levelno >= logging.ERROR)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format string must not fail the caller
        return f"{record.msg!s} (its arguments do not fit)"


def _level_name(number: int) -> str:
    return max((name for name, least in LEVELS.items() if least <= number), key=LEVELS.__getitem__, default="debug")


def _configure_standard_library(writer: LogWriter, level: int) -> None:
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [_Bridge(writer)]
    root.setLevel(level)
    for name in (*_SERVERS, "py.warnings"):
        known = logging.getLogger(name)
        known.handlers, known.propagate, known.disabled = [], True, False
        known.setLevel(logging.NOTSET)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _SILENT:
        silent = logging.getLogger(name)
        silent.handlers, silent.propagate, silent.disabled = [], False, True
    warnings.showwarning = _show_warning


def _show_warning(  # noqa: PLR0913, PLR0917 - the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - its signature
    line: str | None = None,  # noqa: ARG001 - its signature
) -> None:
    fields: dict[str, object] = {"category": category.__name__, "file": filename, "line": lineno}
    logging.getLogger("py.warnings").warning("%s", message, extra=fields)
