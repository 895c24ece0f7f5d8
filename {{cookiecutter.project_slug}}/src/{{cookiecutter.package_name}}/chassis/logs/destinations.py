"""Where log lines end up: an open descriptor such as stdout, or a file that is rotated."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_ATOMIC_BYTES = getattr(select, "PIPE_BUF", 512)
_LARGEST_WRITE = 262_144
_FILE_BYTES = 50 * 1000 * 1000
_KEPT_FILES = 5
_NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


class Nowhere:
    """Takes the place of a stdout that was closed before the process began; its number may be another file's by now."""

    is_terminal = False
    failure = ""

    def write(self, lines: Sequence[bytes]) -> int:  # noqa: ARG002 - part of the protocol
        return 0

    def close(self) -> None:
        """Nothing is open."""


class Stream:
    """A Python stream without a descriptor, such as `io.BytesIO`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.is_terminal = False
        self.failure = ""

    def write(self, lines: Sequence[bytes]) -> int:
        self._stream.write(b"".join(lines))
        self._stream.flush()
        return len(lines)

    def close(self) -> None:
        """The stream stays open: its opener closes it."""


class Descriptor:
    """An open descriptor; keeps a duplicate, so that closing the original cannot send our lines elsewhere.

    Into a pipe it writes only what fits at once, or whole lines of at most PIPE_BUF bytes, which the kernel takes whole
    or not at all (pipe(7)): a process that ends while its reader is asleep leaves no half line behind. Only a line that
    is longer than what the pipe can hold may be cut.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self.is_terminal = os.isatty(self._descriptor)
        self._capacity = _pipe_capacity(self._descriptor)
        self._torn = False
        self.failure = ""

    def write(self, lines: Sequence[bytes]) -> int:
        written = 0
        while written < len(lines):
            chunk = self._next_chunk(lines, written)
            if not self._write_all(b"".join(chunk)):
                break
            written += len(chunk)
        return written

    def close(self) -> None:
        os.close(self._descriptor)

    def _next_chunk(self, lines: Sequence[bytes], start: int) -> list[bytes]:
        room = _LARGEST_WRITE if self._capacity is None else self._room(len(lines[start]))
        end, size = start + 1, len(lines[start])
        while end < len(lines) and size + len(lines[end]) <= room:
            size += len(lines[end])
            end += 1
        return list(lines[start:end])

    def _room(self, needed: int) -> int:
        """Return how many bytes the pipe takes at once, waiting for *needed* of them if these are more than atomic."""
        capacity = self._capacity or 0
        while True:
            unread = int.from_bytes(fcntl.ioctl(self._descriptor, _FIONREAD, bytes(4)), "little")
            # Small writes may leave pages half empty, so unread bytes can occupy twice their size.
            room = capacity - 2 * unread - 4096 if unread else capacity
            if needed <= max(room, _ATOMIC_BYTES) or needed > capacity or self._wait(select.POLLERR):
                return max(room, _ATOMIC_BYTES)

    def _wait(self, events: int) -> bool:
        """Wait for at most 50 ms; `True` if the reader has gone or *events* came."""
        poll = select.poll()
        poll.register(self._descriptor, events)
        return bool(poll.poll(50))

    def _write_all(self, chunk: bytes) -> bool:
        if self._torn:
            chunk = b"\n" + chunk
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError as error:
                self.failure = str(error.strerror)
                self._torn = len(view) < len(chunk)
                return False
        self._torn = False
        return True


class RotatedFile:
    """Appends to *path*; at *max_bytes* it becomes `path.1`, and so on up to *kept* old ones.

    A full disk costs the lines it has no room for and leaves no half line; the next batch is tried again. A file that
    was moved or deleted is made again.
    """

    def __init__(self, path: Path, *, max_bytes: int = _FILE_BYTES, kept: int = _KEPT_FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self.failure = ""
        self._descriptor = -1
        self._size = 0
        try:
            self._open()
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise

    def write(self, lines: Sequence[bytes]) -> int:
        written = 0
        while written < len(lines):
            self._reopen_if_moved()
            chunk = self._next_chunk(lines, written)
            whole = self._append(chunk)
            written += whole
            if whole < len(chunk):
                break
        return written

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _next_chunk(self, lines: Sequence[bytes], start: int) -> Sequence[bytes]:
        if self._size and self._size + len(lines[start]) > self._max_bytes:
            # Where the folder may not be written to, a file that grows is better than no file.
            with suppress(OSError):
                self._rotate()
        end, size = start, 0
        while end < len(lines) and (end == start or self._size + size + len(lines[end]) <= self._max_bytes):
            size += len(lines[end])
            end += 1
        return lines[start:end]

    def _append(self, chunk: Sequence[bytes]) -> int:
        data = b"".join(chunk)
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self._descriptor, data[taken:])
        except OSError as error:
            self.failure = str(error.strerror)
            whole = data.rfind(b"\n", 0, taken) + 1
            with suppress(OSError):  # a device such as /dev/full keeps nothing anyway
                os.ftruncate(self._descriptor, self._size + whole)
            self._size += whole
            return data.count(b"\n", 0, whole)
        self._size += taken
        return len(chunk)

    def _open(self) -> None:
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def _reopen_if_moved(self) -> None:
        if self._descriptor >= 0:
            with suppress(FileNotFoundError):
                found = self._path.stat()
                if os.path.samestat(found, os.fstat(self._descriptor)):
                    self._size = found.st_size  # another process, such as `migrate`, may append to the same file
                    return
        self._open()

    def _rotate(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def destination_of(stream: IO[bytes] | None) -> Descriptor | Stream | Nowhere:
    """Return the way to *stream*, by its descriptor if it has one; to stdout if `None`, if the process has a stdout."""
    if stream is None:
        return Nowhere() if sys.__stdout__ is None else Descriptor(sys.__stdout__.fileno())
    try:
        return Descriptor(stream.fileno())
    except OSError:
        return Stream(stream)


def _pipe_capacity(descriptor: int) -> int | None:
    """Return how many bytes the pipe behind *descriptor* holds; `None` if it is no pipe or the system does not tell."""
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode) or not hasattr(fcntl, "F_GETPIPE_SZ"):
        return None
    return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


_FIONREAD = 0x541B
"""Linux's number (asm-generic/ioctls.h); used only where F_GETPIPE_SZ exists, which is Linux alone."""
