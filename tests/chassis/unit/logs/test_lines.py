from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis.strategies import (
    binary,
    characters,
    dictionaries,
    floats,
    integers,
    lists,
    sampled_from,
    text,
)

from acme_service import SERVICE_NAME, __version__
from acme_service.chassis.context import request_id
from acme_service.chassis.logs.lines import LogLines
from acme_service.chassis.logs.masking import Masker

LINES = LogLines(service="acme-service", version="0.1.0", environment="test", masker=Masker(["hunter2hunter2"]))
FORGERY = 'a\n{"level":"info"}\r\x00\x1b[31m\x7f\x85\x9b\u2028\u2029\u202e\u2066\ufeff'


def line_of(event: object = "it happened", **fields: object) -> bytes:
    return LINES.line("info", "app.users", {"event": event, **fields})


def fields_of(event: object = "it happened", **fields: object) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads(line_of(event, **fields))
    return parsed


@pytest.fixture
def current_request() -> Iterator[str]:
    reset = request_id.set("r-1")
    yield "r-1"
    request_id.reset(reset)


def test_a_line_tells_what_happened_when_where_and_in_which_service(current_request: str) -> None:
    fields = fields_of(user="1")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields.pop("timestamp"))
    assert {
        "level": "info",
        "event": "it happened",
        "request_id": current_request,
        "user": "1",
        "logger": "app.users",
        "service": SERVICE_NAME,
        "version": __version__,
        "environment": "test",
    } == fields


def test_a_line_outside_a_request_has_no_request_id() -> None:
    assert "request_id" not in fields_of()


def test_a_field_cannot_pass_itself_off_as_the_level_or_the_service() -> None:
    fields = fields_of(level="critical", service="other")

    assert ("info", "critical") == (fields["level"], fields["level_"])
    assert (SERVICE_NAME, "other") == (fields["service"], fields["service_"])


@pytest.mark.parametrize("where", ["event", "value", "name", "nested"])
def test_text_from_outside_cannot_break_or_forge_a_line(where: str) -> None:
    fields: dict[str, object] = {FORGERY if where == "name" else "n": [FORGERY] if where == "nested" else FORGERY}
    line = line_of(FORGERY if where == "event" else "e", **fields)

    assert 1 == len(line.decode().splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\u2066\ufeff]", line.decode())
    assert FORGERY in _texts(orjson.loads(line))


@given(text(), dictionaries(text(), text() | integers() | floats() | binary() | lists(text())))
def test_any_input_gives_one_line_of_json(event: str, fields: dict[str, object]) -> None:
    line = LINES.line("info", "app", {"event": event, "field": fields})

    assert line.endswith(b"}\n")
    assert 1 == len(line.decode().splitlines())
    assert isinstance(orjson.loads(line), dict)


@given(characters(), sampled_from(["a%sb", "%s", "%s%%"]))
def test_ordinary_text_is_read_back_as_it_was(character: str, pattern: str) -> None:
    assert (pattern % character).encode(errors="backslashreplace").decode() == fields_of(pattern % character)["event"]


def test_a_delete_character_is_escaped_where_all_else_is_ascii() -> None:
    assert b'"a\\u007fb"' in line_of("a\x7fb")


def _texts(value: object) -> list[object]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else [value]


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def cyclic() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


def deep(levels: int = 100_000) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        "\udc80 lone",
        b"\xff\x00",
        2**80,
        float("nan"),
        object(),
        Unspeakable(),
        PurePosixPath("/a"),
        frozenset({1}),
        {1: "a", (2, 3): "b"},
        {"\ud800": "\ud800"},
        cyclic(),
        deep(300),
        ValueError("no"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_field_holds_the_line_is_written(value: object) -> None:
    fields = fields_of(value=value)

    assert "it happened" == fields["event"]
    assert "value" in fields


def bushy(depth: int) -> object:
    return {f"{number}{'x' * 100}": bushy(depth - 1) for number in range(10)} if depth else 1


@pytest.mark.parametrize(
    "value",
    ["x" * 5_000_000, list(range(300_000)), {str(n): "x" * 100 for n in range(9_000)}, b"x" * 5_000_000, bushy(4)],
    ids=["text", "list", "object", "bytes", "tree"],
)
def test_a_huge_value_is_cut_to_a_line_of_64_kib(value: object) -> None:
    line = line_of(value=value)

    assert 65_536 >= len(line)
    assert "it happened" == orjson.loads(line)["event"]


def test_a_secret_that_a_cut_would_halve_is_masked_before_the_cut() -> None:
    line = line_of(value="x" * 4_050 + " postgresql://user:" + "s3cret" * 40 + "@host/" + "x" * 20_000)

    assert b"s3cret" not in line


def test_an_exception_is_one_line_with_frames_and_causes_and_without_locals() -> None:
    def fail() -> None:
        local_value = "visible only to a debugger"
        try:
            [0][len(local_value)]
        except IndexError as error:
            raise ValueError("first\nsecond") from error

    try:
        fail()
    except ValueError as error:
        line = line_of("failed", exc_info=error)

    exception = orjson.loads(line)["exception"]
    assert 1 == len(line.decode().splitlines())
    assert ("ValueError", "first\nsecond") == (exception["type"], exception["message"])
    assert ["file", "function", "line"] == sorted(exception["frames"][-1])
    assert exception["frames"][-1]["function"].endswith("fail")
    assert ["IndexError"] == [cause["type"] for cause in exception["causes"]]
    assert b"debugger" not in line


def test_an_exceptions_text_and_notes_are_masked() -> None:
    error = ValueError("password=hunter3 and hunter2hunter2")
    error.add_note("postgresql://u:hunter4@h/d")

    line = line_of("failed", exc_info=error)

    assert (b"hunter" in line, b"password=*** and ***" in line) == (False, True)


def test_an_endless_recursion_is_a_bounded_line() -> None:
    def recur() -> None:
        recur()

    try:
        recur()
    except RecursionError as error:
        exception = fields_of("failed", exc_info=error)["exception"]

    assert "RecursionError" == exception["type"]
    assert 40 == len(exception["frames"])


def test_the_members_of_an_exception_group_are_told() -> None:
    group = ExceptionGroup("both", [ValueError("a"), KeyError("b")])

    exception = fields_of("failed", exc_info=group)["exception"]

    assert ["ValueError", "KeyError"] == [member["type"] for member in exception["exceptions"]]


def test_an_exception_that_cannot_be_printed_is_still_named() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert fields_of("failed", exc_info=Mute())["exception"]["type"].endswith("Mute")
