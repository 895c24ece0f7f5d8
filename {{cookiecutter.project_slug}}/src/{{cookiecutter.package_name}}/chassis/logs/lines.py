"""One log event as one line of JSON: the shape, the bounds, the escaping; masking is the last step before the bytes.

A line is UTF-8, at most 64 KiB, and holds no control character, no U+2028 or U+2029 and no text direction mark except
escaped, so that neither a newline in a path nor an ESC in a name can forge a line or drive a terminal.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import orjson

from ..context import request_id as current_request_id
from ..context import trace_id as current_trace_id
from .exceptions import describe, exception_of, text_of
from .masking import Masker

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
ACCESS_LOGGER = "chassis.access"
RequestFields = tuple[int, str, str, str, str, str, int, float, str]
"""Nanoseconds since the epoch, level, request id, method, path, route, status, milliseconds, client."""
Line = bytes | RequestFields
"""A finished line, or what the line of a request is made from."""

_RESERVED = frozenset({"timestamp", "level", "logger", "service", "version", "environment"})
_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf")
_LONGEST_LINE = 65_536
_SHORT = 1_024
_UNTOUCHED = 16_384
_MOST_LOGGERS = 1_000
_BOUNDS: tuple[tuple[int, int, int], ...] = ((4_096, 100, 10), (512, 40, 6), (64, 10, 4))
"""(characters of a text, members of a list or object, depth): the next is tried while the line is still too long."""


class LogLines:
    """Builds the lines of one process, each with what *fields* returns; never raises."""

    def __init__(
        self,
        *,
        service: str,
        version: str,
        environment: str,
        masker: Masker,
        fields: Callable[[], Mapping[str, object]] | None = None,
    ) -> None:
        self.masker = masker
        self._fields = fields
        self._tail = _members({"service": service, "version": version, "environment": environment}) + b"}\n"
        self._tails: dict[str, bytes] = {}
        self._second = (0, b"")
        self._routes: dict[str, str] = {}

    def line(self, level: str, logger: str, fields: MutableMapping[str, Any]) -> bytes:
        """Return the line of the event `fields["event"]`; `exc_info` among the *fields* becomes `exception`."""
        try:
            if self._fields is not None:
                fields = {**self._fields(), **fields}
            return self._assemble(time.time_ns(), level, logger, self._members(_completed(fields)))
        except Exception as error:  # noqa: BLE001 - a line that cannot be built must not fail what it tells about
            members = _members({"event": "a log line could not be built", "reason": type(error).__name__})
            return self._assemble(time.time_ns(), level, logger, members)

    def _members(self, fields: Mapping[str, object]) -> bytes:
        """Return *fields* as the inside of a JSON object: bounded, masked and escaped."""
        try:
            data = orjson.dumps(fields, default=text_of)
        except (TypeError, RecursionError):
            data = orjson.dumps(_plain(fields, 0))
        if len(data) > _UNTOUCHED or self.masker.suspects(data):
            data = _bounded(self.masker.masked(orjson.loads(data)))
        if not data.isascii() or b"\x7f" in data:
            data = _UNSAFE.sub(_escaped, data)
        return data[1:-1]

    def finished(self, line: Line) -> bytes:
        """Return *line* if it is one already, and else the line with these fields."""
        return line if isinstance(line, bytes) else self._request_line(line)

    def _request_line(self, fields: RequestFields) -> bytes:
        time_ns, level, request_id, method, path, route, status, duration_ms, client = fields
        text = f"{method}/{path}/{request_id}/{client}"
        if len(text) <= _SHORT and self.masker.clears(text):
            # Then nothing of it needs an escape or a bound either, and this is half the cost of serialising a dict.
            members = (
                f'"event":"request","request_id":"{request_id}","method":"{method}","path":"{path}",'
                f'{self._routes.get(route) or self._remember_route(route)},"status":{int(status)},'
                f'"duration_ms":{duration_ms:.3f},"client":"{client}"'
            ).encode()
        else:
            members = self._members(
                {
                    "event": "request",
                    "request_id": request_id,
                    "method": method,
                    "path": path,
                    "route": route,
                    "status": status,
                    "duration_ms": round(duration_ms, 3),
                    "client": client,
                }
            )
        return self._assemble(time_ns, level, ACCESS_LOGGER, members)

    def _remember_route(self, route: str) -> str:
        """Return the member of a path template; there are no more of them than the service has routes."""
        member = self._routes[route] = self._members({"route": route}).decode()
        return member

    def _assemble(self, time_ns: int, level: str, logger: str, members: bytes) -> bytes:
        """Return the whole line around *members*, which `_members` made; *time_ns* is that since the epoch."""
        tail = self._tails.get(logger) or self._remember_tail(logger)
        return b'{"timestamp":"%b","level":"%b",%b%b' % (self._timestamp(time_ns), level.encode(), members, tail)

    def _remember_tail(self, logger: str) -> bytes:
        tail = b"," + self._members({"logger": logger}) + b"," + self._tail
        if len(self._tails) < _MOST_LOGGERS:
            self._tails[logger] = tail
        return tail

    def _timestamp(self, time_ns: int) -> bytes:
        """Return the time in UTC (RFC 3339, section 5.6); the text of the second is made once a second."""
        seconds, micros = divmod(time_ns // 1_000, 1_000_000)
        known, text = self._second
        if known != seconds:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
            self._second = (seconds, text)
        return b"%b.%06dZ" % (text, micros)


def _completed(fields: MutableMapping[str, Any]) -> dict[str, object]:
    complete: dict[str, object] = {"event": fields.pop("event", "")}
    exc_info = fields.pop("exc_info", None)
    if "request_id" not in fields and (request_id := current_request_id.get()):
        complete["request_id"] = request_id
    if "trace_id" not in fields and (trace_id := current_trace_id.get()):
        complete["trace_id"] = trace_id
    if _RESERVED.isdisjoint(fields):
        complete.update(fields)
    else:
        # A field may not pass itself off as the line's own level or service.
        complete.update((f"{name}_" if name in _RESERVED else name, value) for name, value in fields.items())
    if exc_info and (exception := exception_of(exc_info)) is not None:
        complete["exception"] = describe(exception)
    return complete


def _members(fields: Mapping[str, object]) -> bytes:
    return orjson.dumps(fields)[1:-1]


def _plain(value: object, depth: int) -> object:
    """Return *value* as something orjson takes: no lone surrogates, no cycles, no integers beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if depth >= _BOUNDS[0][2]:
        return "..."
    if isinstance(value, Mapping):
        return {str(_plain(_name(name), depth)): _plain(item, depth + 1) for name, item in list(value.items())[:1_000]}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth + 1) for item in list(value)[:1_000]]
    try:
        return orjson.loads(orjson.dumps(value, default=text_of))
    except (TypeError, RecursionError):
        return _plain(text_of(value), depth)


def _name(name: object) -> str:
    return name if isinstance(name, str) else text_of(name)


def _bounded(value: object) -> bytes:
    data = orjson.dumps(value)
    for characters, members, depth in _BOUNDS:
        if len(data) <= _UNTOUCHED:
            return data
        data = orjson.dumps(_cut(value, characters, members, depth))
    if len(data) <= _LONGEST_LINE:
        return data
    event = value.get("event") if isinstance(value, dict) else None
    return orjson.dumps({"event": _cut(str(event), *_BOUNDS[0]), "fields_left_out_bytes": len(data)})


def _cut(value: object, characters: int, members: int, depth: int) -> object:
    if isinstance(value, str):
        return value if len(value) <= characters else f"{value[:characters]}... ({len(value) - characters} more)"
    if isinstance(value, (list, dict)) and depth == 0:
        return f"... ({len(value)} members)"
    if isinstance(value, list):
        cut = [_cut(item, characters, members, depth - 1) for item in value[:members]]
        return cut if len(value) <= members else [*cut, f"... ({len(value) - members} more)"]
    if isinstance(value, dict):
        kept = list(value.items())[:members]
        return {name[:characters]: _cut(item, characters, members, depth - 1) for name, item in kept}
    return value


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match.group().decode())
