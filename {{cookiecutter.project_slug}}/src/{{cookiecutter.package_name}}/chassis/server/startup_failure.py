"""One log line for a start that failed: what, why, and what to do about it."""

from __future__ import annotations

import errno
import socket

import structlog

from ..errors import ConfigurationError, SchemaOutdated, StartupFailed, Unavailable
from .lifespan import LifespanFailed
from .options import ServerOptions

log = structlog.get_logger("chassis.server.startup_failure")


def report_startup_failure(error: Exception, options: ServerOptions) -> None:
    """Log why there is no service; the cause's frames stand in the same line."""
    cause = (error.cause or error) if isinstance(error, LifespanFailed) else error
    hint = _hint(cause, options)
    # Of a port, or of a schema that has its remedy in the message: the frames of our code would not help.
    expected = isinstance(error, OSError) or isinstance(cause, (SchemaOutdated, ConfigurationError, StartupFailed))
    log.critical(
        "start-up failed",
        cause=str(cause),
        cause_type=type(cause).__name__,
        hint=hint,
        exc_info=None if expected else cause,
    )


def _hint(cause: BaseException, options: ServerOptions) -> str:  # noqa: PLR0911 - one for each kind of cause
    if isinstance(cause, StartupFailed):
        return cause.hint
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        return "another process listens there: stop it, or set PORT or OPERATIONS_PORT"
    if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.errno == errno.EADDRNOTAVAIL):
        return f"HOST must be an address of this machine, and {options.host!r} is not"
    if isinstance(cause, PermissionError):
        return "a port below 1024 needs a privilege: set PORT to a higher one"
    if isinstance(cause, ConfigurationError):
        return "mend the service's code as the cause says"
    if isinstance(cause, SchemaOutdated):
        return "run that command with the same settings, then start again"
    if isinstance(cause, OSError | Unavailable):
        return "a service that this one depends on cannot be reached: check its address, and that it runs"
    return "the frames in this line lead to the failing step"
