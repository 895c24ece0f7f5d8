"""Log lines for a person at a terminal, made from the JSON line, so that both forms tell and hide the same."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Iterator

import orjson

from .lines import Line, LogLines
from .masking import Masker

_COLOURS = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[1;31m",
}
_RESET = "\x1b[0m"
_OWN = frozenset({"timestamp", "level", "event", "logger", "service", "version", "environment", "exception"})
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def console_format(lines: LogLines, *, colours: bool) -> Callable[[Line], bytes]:
    """Return what turns a queued line into `12:00:00.123 info     event  name=value  [logger]` and a traceback."""

    def render(line: Line) -> bytes:
        fields = orjson.loads(lines.finished(line))
        level = fields["level"]
        colour, reset = (_COLOURS.get(level, ""), _RESET) if colours else ("", "")
        head = f"{fields['timestamp'][11:23]} {colour}{level:<8}{reset} {_safe(str(fields['event']))}"
        members = " ".join(f"{_safe(name)}={_value(value)}" for name, value in fields.items() if name not in _OWN)
        text = "  ".join(filter(None, [head, members, f"[{_safe(fields['logger'])}]"]))
        return "\n".join([text, *_traceback(fields.get("exception"), lines.masker), ""]).encode()

    return render


def _traceback(exception: object, masker: Masker) -> Iterator[str]:
    if not isinstance(exception, dict):
        return
    for cause in reversed(exception.get("causes", [])):
        yield from _one(cause, masker)
        yield "  which led to"
    yield from _one(exception, masker)


def _one(exception: dict[str, object], masker: Masker) -> Iterator[str]:
    frames = exception.get("frames")
    for frame in frames if isinstance(frames, list) else []:
        if not isinstance(frame, dict):  # but how many of a long line were left out
            yield f"  {_safe(str(frame))}"
            continue
        yield f"  {_safe(frame['file'])}:{frame['line']} in {_safe(frame['function'])}"
        if source := linecache.getline(frame["file"], frame["line"]).strip():
            yield f"      {_safe(masker.text(source))}"
    yield f"  {_safe(str(exception.get('type')))}: {_safe(str(exception.get('message')))}"
    members = exception.get("exceptions")
    for number, member in enumerate(members if isinstance(members, list) else [], 1):
        yield f"  member {number} of the group"
        yield from _one(member, masker)


def _value(value: object) -> str:
    if isinstance(value, str) and value and " " not in value:
        return _safe(value)
    return _safe(orjson.dumps(value).decode())


def _safe(text: str) -> str:
    """Return *text* with what could break the line or drive the terminal written as an escape."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
