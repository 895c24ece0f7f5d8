"""What a driver says of a failure, as one line for an operator."""

from __future__ import annotations

import os
import re
import socket
import ssl

from sqlalchemy.exc import DBAPIError

_ERRNO = re.compile(r"\[Errno (\d+)\]")


def driver_error(error: BaseException) -> BaseException:
    """The exception of the driver itself, below those that SQLAlchemy and we put around it."""
    while not isinstance(error, DBAPIError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
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
    return f"{reasons}: {error.filename}" if error.filename else reasons.splitlines()[0]
