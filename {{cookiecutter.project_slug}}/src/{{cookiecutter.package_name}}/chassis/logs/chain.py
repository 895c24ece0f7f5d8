"""structlog's side: its loggers, its one processor, and the output they end in."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import structlog

from .lines import LEVELS
from .writer import LogWriter

Processor = Callable[[Any, str, Any], Any]
"""As structlog calls them: logger, level, event dictionary."""


_configured: list[tuple[LogWriter, Sequence[Processor]]] = []
"""One, and for loggers too that were used before: structlog keeps what it made of them at their first line."""


def configure_structlog(writer: LogWriter, level: str, processors: Sequence[Processor] = ()) -> None:
    """Let every structlog logger write to *writer*, from *level* on, what *processors* make of an event."""
    _configured[:] = [(writer, processors)]
    structlog.configure(
        processors=[_rendered],
        wrapper_class=_bound_logger(level),
        context_class=dict,
        logger_factory=lambda *names: _Output(str(names[0]) if names else "root"),
        cache_logger_on_first_use=True,
    )


def _rendered(output: _Output, method_name: str, event_dict: MutableMapping[str, Any]) -> bytes:
    writer, processors = _configured[-1]
    for process in processors:
        event_dict = process(output, method_name, event_dict)
    return writer.lines.line(method_name, output.name, event_dict)


class _Output:
    """What structlog calls a logger: it knows its name and takes finished lines."""

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, line: bytes) -> None:
        _configured[-1][0].write(line)

    info = warning = debug

    def error(self, line: bytes) -> None:
        _configured[-1][0].write(line, error=True)

    critical = error


def _bound_logger(level: str) -> Any:
    """Return structlog's filtering logger, except that no field's name and no format string makes a call fail.

    Its own methods take `event` by name too, so that `log.info("rejected", **fields)` raises TypeError as soon as the
    fields, perhaps a client's, hold a member `event`.
    """
    methods = {name: _method(name) if number >= LEVELS[level] else _nothing for name, number in LEVELS.items()}
    methods["exception"] = _exception if LEVELS["error"] >= LEVELS[level] else _nothing
    methods |= {"warn": methods["warning"], "fatal": methods["critical"], "msg": methods["info"]}
    return type("Logger", (structlog.make_filtering_bound_logger(level),), methods)


def _method(name: str) -> Callable[..., None]:
    def log(self: Any, event: str = "", /, *args: Any, **fields: Any) -> None:
        _emit(self, name, event, args, fields)

    return log


def _nothing(_self: Any, /, *_args: Any, **_fields: Any) -> None:
    return None


def _exception(self: Any, event: str = "", /, *args: Any, **fields: Any) -> None:
    fields.setdefault("exc_info", True)
    _emit(self, "error", event, args, fields)


def _emit(logger: Any, name: str, event: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
    if args:
        event = _interpolated(event, args)
    if "event" in fields:
        fields["event_"] = fields.pop("event")
    try:
        line, _ = logger._process_event(name, event, fields)  # noqa: SLF001 - offered to subclasses, which this is
        getattr(logger._logger, name)(*line)  # noqa: SLF001 - as above
    except structlog.DropEvent:
        return


def _interpolated(event: str, args: tuple[Any, ...]) -> str:
    try:
        return event % (args[0] if len(args) == 1 and isinstance(args[0], dict) else args)
    except Exception:  # noqa: BLE001 - as in the standard library, a wrong format must not fail the caller
        return f"{event} (its arguments do not fit)"
