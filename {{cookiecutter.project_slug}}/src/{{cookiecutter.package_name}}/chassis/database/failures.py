"""What a failure of the database means: whether it is transient, the error for clients, the reason for operators."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from sqlalchemy import exc
from sqlalchemy.exc import DBAPIError

from ..errors import DatabaseUnavailable

DISK_FULL = "53100"
_READ_ONLY = "25006"
_CONFLICTS = {"40001", "40P01"}
"""Serialization failure and deadlock: of requests with each other. Whether to repeat is for the client to say."""

_SQLITE_BUSY = 5
_SQLITE_TRANSIENT = {5, 6, 8, 9, 10, 13, 14}
"""BUSY, LOCKED, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN (sqlite.org/rescode.html): not the statement's fault."""

_POSTGRESQL_TRANSIENT = ("08", "53", "57", "58", _READ_ONLY, *_CONFLICTS, "55P03", "25P03")
"""Classes and codes (PostgreSQL manual, appendix A): connection, resources, operator, system, deadlock, lock."""

DRIVER_ERRORS = (exc.SQLAlchemyError, ConnectionError, TimeoutError)
"""What a connection in use may raise: drivers also raise the last two as they are."""

_OF_HOME = re.compile(r"/\.(?:pgpass|pg_service\.conf|postgresql)\b")
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def state_of(error: BaseException | None) -> str:
    """The SQLSTATE that PostgreSQL gave *error*, of SQLAlchemy or of the driver; empty for another error."""
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state if isinstance(state, str) else ""


def is_busy(error: BaseException) -> bool:
    """Whether another connection holds the lock of SQLite's file."""
    return _sqlite_code(error) == _SQLITE_BUSY


def is_transient(error: Exception) -> bool:
    """Whether trying again later may help; *error* is one of DRIVER_ERRORS."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, exc.SQLAlchemyError) or isinstance(error, exc.TimeoutError)
    if error.connection_invalidated:
        return True
    return _sqlite_code(error) in _SQLITE_TRANSIENT or state_of(error).startswith(_POSTGRESQL_TRANSIENT)


def raise_if_transient(error: Exception) -> None:
    """Raise DatabaseUnavailable for a failure that passes; the caller raises any other one again."""
    if is_transient(error):
        raise_unavailable(error)


def raise_unavailable(error: Exception) -> NoReturn:
    """Raise DatabaseUnavailable because of *error*, which is raised as it is if it is a programmer's mistake."""
    if isinstance(error, (TypeError, ImportError)):
        raise error
    raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailable:
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailable("Every database connection is in use.")
    state = state_of(error)
    if state in _CONFLICTS:
        return DatabaseUnavailable("Another request changed the same data at the same time; nothing was stored.")
    if state == _READ_ONLY:
        return DatabaseUnavailable("The database is read-only for now.")
    if state == DISK_FULL:
        return DatabaseUnavailable("The database has no space left.")
    return DatabaseUnavailable("The database cannot be reached.")


def _sqlite_code(error: BaseException) -> int | None:
    """The primary result code."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def driver_error(error: BaseException) -> BaseException:
    """The exception of the driver itself, below those that SQLAlchemy and we put around it."""
    seen = [error]  # causes may form a circle
    while not isinstance(error, DBAPIError) and isinstance(cause := error.__cause__, Exception) and cause not in seen:
        error = cause
        seen.append(error)
    if isinstance(error, DBAPIError) and error.orig is not None:
        return getattr(error.orig, "driver_exception", error.orig)
    return error


def reason_of(error: BaseException) -> str:
    """The driver's reason: no statement, no value of one, and no password, none of which a driver's first line has."""
    error = driver_error(error)
    if isinstance(error, TimeoutError):
        return "no reply in time"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror):
        return _of_system(error)
    if isinstance(error, OSError):
        return str(getattr(error, "verify_message", "") or error.strerror or error)
    # The lines after the first are the detail and the hint, which quote values.
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _of_system(error: OSError) -> str:
    """Of several addresses of one name, each reason once: a driver joins theirs into one text."""
    numbers = [error.errno] if error.errno else [int(number) for number in _ERRNO.findall(str(error))]
    reasons = ", ".join(dict.fromkeys(map(os.strerror, numbers))) or str(error).strip() or type(error).__name__
    if isinstance(error, PermissionError) and _OF_HOME.search(str(error.filename)):
        reasons += " (HOME is a folder of another user, and there the driver looks for passwords and certificates; "
        reasons += "set HOME to one that this user can read)"
    return f"{reasons}: {error.filename}" if error.filename else reasons.splitlines()[0]


@contextmanager
def raise_driver_error() -> Iterator[None]:
    """Raise what the driver itself raises, called past SQLAlchemy, as an error of SQLAlchemy's: a DBAPIError."""
    try:
        yield
    except (exc.SQLAlchemyError, OSError, TimeoutError):
        raise
    except Exception as error:
        if not hasattr(error, "sqlstate") and not type(error).__module__.startswith("asyncpg"):
            raise
        lost = state_of(error).startswith("08") or not state_of(error)
        raise DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=lost) from error
