from __future__ import annotations

from typing import Any

import pytest

from acme_service.chassis.server.framing import Framing

LENGTH_2 = [(b"Content-Length", b"2")]


def test_an_answer_without_a_length_comes_in_chunks_and_shows_a_break() -> None:
    framing = Framing("GET", 200)

    assert [b"transfer-encoding: chunked\r\n"] == framing.field_lines([(b"Transfer-Encoding", b"gzip")], "1.1")
    assert [b"2\r\nab\r\n", b"", b"0\r\n\r\n"] == [
        framing.body(b"ab", more_body=True),
        framing.body(b"", more_body=True),
        framing.body(b"", more_body=False),
    ]
    assert framing.shows_a_break


def test_an_answer_of_known_length_shows_a_break_until_it_is_whole() -> None:
    framing = Framing("GET", 200)

    assert [b"Content-Length: 2\r\n"] == framing.field_lines(LENGTH_2, "1.1")
    assert (b"a", True) == (framing.body(b"a", more_body=True), framing.shows_a_break)
    assert (b"b", False) == (framing.body(b"b", more_body=False), framing.shows_a_break)


@pytest.mark.parametrize(("body", "fault"), [(b"a", "shorter"), (b"abc", "longer")])
def test_an_answer_of_another_length_than_declared_is_a_fault(body: bytes, fault: str) -> None:
    framing = Framing("GET", 200)
    framing.field_lines(LENGTH_2, "1.1")

    with pytest.raises(RuntimeError, match=fault):
        framing.body(body, more_body=False)


def test_a_field_may_be_a_list_of_two_as_in_asgi() -> None:
    fields: list[Any] = [[b"cache-control", b"no-store"], [b"Content-Length", b"2"]]

    assert [b"cache-control: no-store\r\n", b"Content-Length: 2\r\n"] == Framing("GET", 200).field_lines(fields, "1.1")


def test_the_end_of_the_connection_ends_an_answer_to_http_1_0() -> None:
    framing = Framing("GET", 200)

    assert ([], True) == (framing.field_lines([], "1.0"), framing.closes)
    assert (b"ab", False) == (framing.body(b"ab", more_body=False), framing.shows_a_break)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_content_has_no_length(method: str) -> None:
    framing = Framing(method, 204)

    assert [] == framing.field_lines(LENGTH_2, "1.1")
    assert b"" == framing.body(b"ab", more_body=False)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_an_answer_that_has_no_body_declares_what_it_likes(method: str, status: int) -> None:
    framing = Framing(method, status)

    assert [b"Content-Length: 2\r\n"] == framing.field_lines(LENGTH_2, "1.1")
    assert b"" == framing.body(b"ab", more_body=False)


def test_the_application_may_close_the_connection_and_not_keep_it() -> None:
    closing, keeping = Framing("GET", 200), Framing("GET", 200)
    lines = closing.field_lines([*LENGTH_2, (b"Connection", b"Close")], "1.1")

    assert lines == keeping.field_lines([*LENGTH_2, (b"Connection", b"keep-alive")], "1.1")
    assert (True, False) == (closing.closes, keeping.closes)
