"""An exception as data: type, message, frames and causes, bounded, without source text and without local variables."""

from __future__ import annotations

import sys
from traceback import walk_tb
from types import TracebackType

_MAX_FRAMES = 40
_MAX_CAUSES = 5
_MAX_TEXT = 4_096


def exception_of(exc_info: object) -> BaseException | None:
    """Return the exception that *exc_info* means: `True` is the current one, a tuple holds it, or it is one."""
    if isinstance(exc_info, BaseException):
        return exc_info
    found = exc_info if isinstance(exc_info, tuple) else sys.exc_info()
    return found[1] if len(found) > 1 and isinstance(found[1], BaseException) else None


def describe(exception: BaseException) -> dict[str, object]:
    """Return *exception* as `{type, message, frames: [{file, line, function}], causes: [...]}`.

    `frames` run from the outermost to the place that raised; of more than 40 the middle is left out. `causes` are what
    it was raised from or while handling, nearest first, and the members of a group under `exceptions`; at most five.
    """
    described = _one(exception)
    described["causes"] = [_one(cause) for cause in _causes(exception)]
    return described


def text_of(value: object) -> str:
    """Return the text of any object, at most 4,096 characters, whatever its `repr` does."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[:_MAX_TEXT]).decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{_type_name(value)}: {message_of(value)}"
    try:
        return repr(value)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - a broken __repr__ must not cost the log line
        return f"<{_type_name(value)} without a repr>"


def message_of(exception: BaseException) -> str:
    """Return the exception's text with its notes, at most 4,096 characters."""
    try:
        notes = [str(note) for note in getattr(exception, "__notes__", ())]
        return "\n".join([str(exception), *notes])[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide which exception it was
        return "<no text>"


def _one(exception: BaseException) -> dict[str, object]:
    described: dict[str, object] = {
        "type": _type_name(exception),
        "message": message_of(exception),
        "frames": _frames(exception.__traceback__),
    }
    if isinstance(exception, BaseExceptionGroup):
        described["exceptions"] = [_one(member) for member in exception.exceptions[:_MAX_CAUSES]]
    return described


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frames(traceback: TracebackType | None) -> list[dict[str, object]]:
    walked = [(frame.f_code, line) for frame, line in walk_tb(traceback)]
    if len(walked) > _MAX_FRAMES:
        walked = walked[: _MAX_FRAMES // 4] + walked[-_MAX_FRAMES * 3 // 4 :]
    return [{"file": code.co_filename, "line": line, "function": code.co_qualname} for code, line in walked]


def _causes(exception: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current = _cause(exception)
    seen = {id(exception)}
    while current is not None and len(found) < _MAX_CAUSES and id(current) not in seen:
        seen.add(id(current))
        found.append(current)
        current = _cause(current)
    return found


def _cause(exception: BaseException) -> BaseException | None:
    if exception.__cause__ is not None or exception.__suppress_context__:
        return exception.__cause__
    return exception.__context__
