"""Standard output as the rest of the program sees it, where every line of it has to be a log line."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LONGEST_LINE = 65_536

_log = structlog.get_logger("stdout")


def log_what_is_printed() -> None:
    """Log each line that is printed from now on; the log's own lines go to the descriptor and not through here.

    Standard error stays what it is: it is for people, and for what happens when there is no log.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    buffer = io.BufferedWriter(_Lines(instead_of=sys.stdout))
    sys.stdout = io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Lines(io.RawIOBase):
    """Keeps what is written until its line ends, or is longer than a log line may be."""

    def __init__(self, *, instead_of: TextIO | None) -> None:
        self._instead_of = instead_of  # with its last reference it would close the descriptor
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        written = bytes(data)
        *lines, self._rest = (self._rest + written).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            if text := line.decode("utf-8", "backslashreplace").rstrip():
                _log.info(text)
        return len(written)
