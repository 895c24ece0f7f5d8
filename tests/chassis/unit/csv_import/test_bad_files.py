"""What no import can read is one message, with its line; what came before it is read."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from acme_service.chassis.csv_import import Batch, CsvRejected, Parser

from .files import COLUMNS, pieces, rows

HEADER = "name,email\n"
COLUMNS_ARE = "A file begins with a header, of the columns name, email, [joined_at]"
SAVE_IT = "save it as CSV in UTF-8"


def message(data: bytes | str, **options: Any) -> str:
    with pytest.raises(CsvRejected) as caught:
        rows(data, **options)
    return str(caught.value)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("users.csv", HEADER)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty: it must begin with a header"),
        (b"\n\n\r\n", "the file is empty: it must begin with a header"),
        (b"\xef\xbb\xbf", "the file is empty: it must begin with a header"),
        (HEADER.encode(), "line 1: the file has a header and no records"),
        (b"name,email", "line 1: the file has a header and no records"),
        (zipped(), "the file is a zip archive, as .xlsx and .ods are, not CSV: save it as CSV in UTF-8"),
        (gzip.compress(HEADER.encode(), mtime=0), "the file is compressed with gzip, not CSV: save it as CSV in UTF-8"),
        (
            "name,email\nA,a@b.cc\n".encode("utf-16"),
            "the file is in UTF-16: give that as its encoding, or save it as CSV in UTF-8",
        ),
        (b"name,email\nA,a@b.cc\nB\x00,b@b.cc\n", "line 3: holds a NUL character, so the file is no text in utf-8"),
        (
            b"name,email\nA,a@b.cc\nJos\xe9,j@b.cc\n",
            "line 3: the byte 0xe9 is not text in utf-8: give its encoding, such as windows-1252, or " + SAVE_IT,
        ),
        (
            b"Ada,ada@example.com\n",
            "line 1: the header has no column name and no column email: it has 'Ada', 'ada@example.com'. "
            + COLUMNS_ARE,
        ),
        (
            b"name,phone\nA,1\n",
            "line 1: the header has no column email: it has 'name', 'phone'. " + COLUMNS_ARE,
        ),
        (b"\nemail,name,E-Mail\n", "line 2: the column 'email' stands twice: as fields 1 and 3 of the header"),
        (
            b'name,email\nA,a@b.cc\n"B,b@b.cc\nC,c@b.cc\n',
            "line 3: a quote is opened and not closed before the end of the file",
        ),
        (("a," * 1001 + "\n").encode(), "line 1: the header has 1,002 columns; at most 1,000 are read"),
    ],
    ids=[
        *("empty", "blank lines", "mark alone", "header", "header without an end", "zip", "gzip", "utf-16", "nul"),
        *("windows-1252", "no header", "column missing", "column twice", "open quote", "too many columns"),
    ],
)
def test_a_file_that_is_none_is_named_with_its_line(data: bytes, expected: str) -> None:
    assert expected == message(data)


@pytest.mark.parametrize("size", [1, 7, 262_144])
def test_the_line_of_a_bad_byte_is_right_in_whatever_pieces_it_comes(size: int) -> None:
    data = b"name,email\r\n" + b'"A\nB",a@b.cc\r\n' * 50 + b"\xff"

    assert message(data, size=size).startswith("line 102: the byte 0xff is not text")


def test_a_field_of_ten_megabytes_is_rejected_before_it_is_read_whole() -> None:
    data = b"name,email\n" + b"a" * 10_000_000 + b",a@b.cc\n"
    tracemalloc.start()
    try:
        found = message(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.startswith("line 2: the record that begins here has more than 1,048,576 characters")
    assert peak < 12_000_000


def test_an_open_quote_ends_at_the_largest_field() -> None:
    data = b'name,email\nA,a@b.cc\n"B' + b",b@b.cc\n" * 50_000

    assert "line 3: a field has more than 131,072 characters: is a quote not closed?" == message(data)


@pytest.mark.parametrize(
    "end",
    [b'"C', b"\xff", b"C\x00,", b'"' + b"x" * 200_000, b"x" * 2_000_000],
    ids=["open quote", "bad byte", "nul", "field", "record"],
)
@pytest.mark.parametrize("size", [5, 262_144, 10_000_000])
def test_what_came_before_is_read(end: bytes, size: int) -> None:
    found: list[list[int]] = []

    with pytest.raises(CsvRejected, match="line 4: "):
        found.extend(batch.lines for batch in read(b"name,email\nA,a@b.cc\nB,b@b.cc\n" + end, size))

    assert [[2, 3]] == found


def read(data: bytes, size: int) -> Iterator[Batch]:
    """All of the file in pieces of *size*, the last one as the final one."""
    parser = Parser(COLUMNS)
    *first, last = pieces(data, size)
    for piece in first:
        yield from parser.feed(piece)
    yield from parser.feed(last, final=True)


def test_an_encoding_is_taken_if_it_is_given() -> None:
    data = "name;email\nJosé;j@example.com\n"

    assert [(2, "José", "j@example.com")] == rows(data.encode("cp1252"), encoding="windows-1252")
    assert [(2, "José", "j@example.com")] == rows(data.encode("utf-16"), encoding="utf-16")
    assert [(2, "José", "j@example.com")] == rows(b"\xef\xbb\xbf" + data.encode())
