"""Records, lines, cleaning and rejects."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acme_service.chassis.csv_import import EMAIL, NAME
from acme_service.chassis.csv_import.columns import Text
from acme_service.chassis.csv_import.reading import RecordReader
from acme_service.chassis.csv_import.seen import SeenKeys
from acme_service.chassis.shapes.credentials import Email, Name

from .files import batches, rejects, rows


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_found_out_and_each_line_end_read(delimiter: str, end: str) -> None:
    data = end.join([delimiter.join(["E-Mail", "x", "Full Name"]), delimiter.join(["A@B.cc", "1", " A "]), ""])

    assert [(2, "A", "a@b.cc")] == rows(data)


def test_a_given_delimiter_is_used() -> None:
    assert [(2, "A", "a@b.cc")] == rows("name|email\nA|a@b.cc\n".replace("|", ";"), delimiter=";")


def test_lines_are_those_of_the_file_with_quoted_line_ends_and_empty_lines() -> None:
    data = 'name,email\r\n\r\nA,a@b.cc\r\n"B\r\nb",b@b.cc\r\n\r\nC,c@b.cc\r\n"D ""d""",d@b.cc'

    assert [(3, "A", "a@b.cc"), (7, "C", "c@b.cc"), (8, 'D "d"', "d@b.cc")] == rows(data)
    assert [(4, '"B\r\nb",b@b.cc', ("name holds a control character or a line break",))] == rejects(data)


def test_a_reject_keeps_its_line_its_text_and_every_reason() -> None:
    data = "name,email,joined_at\n ,nothing,yesterday\nA,a@b.cc,2099-01-01\nB,b@b.cc,2024-05-31\n"
    email = (
        "email is not an e-mail address: name@host.domain, without spaces, invisible characters or two dots in a row"
    )
    moment = "joined_at is no date or time of ISO 8601, as 2024-05-31 or 2024-05-31T14:30:00Z are"

    assert [
        (2, " ,nothing,yesterday", ("name is empty", email, moment)),
        (3, "A,a@b.cc,2099-01-01", ("joined_at lies in the future",)),
    ] == rejects(data)
    assert [(4, "B", "b@b.cc", datetime(2024, 5, 31, tzinfo=UTC))] == rows(data)


def test_records_of_another_width_or_with_a_broken_quote_are_rejects() -> None:
    wide = "," * 100_000
    data = f'name,email\nA,a@b.cc,\n{wide}\n"B"b,b@b.cc\nC\nD,d@b.cc\n'

    assert [
        (2, "A,a@b.cc,", ("has 3 fields, and the header has 2",)),
        (3, wide[:10_000], ("has 100,001 fields, and the header has 2",)),
        (4, '"B"b,b@b.cc', ('text stands behind a closing quote: write a quote inside a quoted field twice, as ""',)),
        (5, "C", ("has 1 fields, and the header has 2",)),
    ] == rejects(data)
    assert [(6, "D", "d@b.cc")] == rows(data)


def test_the_first_of_two_records_with_one_key_counts_if_it_is_no_reject() -> None:
    data = "name,email\n,a@b.cc\nA,A@b.cc\nB,b@b.cc\nC,a@B.CC\n"

    assert [(3, "A", "a@b.cc"), (4, "B", "b@b.cc")] == rows(data)
    assert (5, "C,a@B.CC", ("email is a duplicate of line 3",)) == rejects(data)[1]


def test_batches_are_the_same_in_whatever_pieces_the_file_comes() -> None:
    data = "name,email\n" + "".join(
        f'"N\n{i}",n{i % 2500}@b.cc\n' if i % 7 == 0 else f"N,n{i}@b.cc\n" for i in range(3500)
    )
    whole = [(b.records, b.lines, b.columns, b.rejects) for b in batches(data)]

    assert [1000, 2000, 3000, 3500] == [records for records, *_ in whole]
    assert 3500 == sum(len(lines) + len(rejected) for _, lines, _, rejected in whole)
    for size in (61, 1000, 4096):
        assert whole == [(b.records, b.lines, b.columns, b.rejects) for b in batches(data, size=size)]


def test_a_batch_of_long_records_has_fewer() -> None:
    data = "name,email\n" + f"{'x' * 50_000},a@b.cc\n" * 100

    assert all(batch.characters < 1_200_000 for batch in batches(data))
    assert 100 == list(batches(data))[-1].records


FIELDS = st.lists(st.text(alphabet='a"\n\r,é ', max_size=6), min_size=1, max_size=3)


@given(st.lists(FIELDS, max_size=12), st.sampled_from(["\n", "\r\n"]), st.integers(1, 9))
@settings(deadline=None)
def test_whatever_was_written_is_read_again(table: list[list[str]], end: str, size: int) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(table)
    text = file.getvalue()
    reader = RecordReader(",")
    found, texts = [], []
    for begin in range(0, len(text), size):
        records = reader.feed(text[begin : begin + size])
        found += records.rows
        texts += records.texts
    records = reader.feed("", final=True)

    assert table == found + records.rows
    assert text == "".join(texts + records.texts)


PRINTABLE = st.text(alphabet=st.characters(min_codepoint=9, max_codepoint=0x250), max_size=110)
ADDRESSES = st.from_regex(r"[a-z0-9_+.A-Z-]{0,66}@[a-zA-Z0-9.-]{0,70}", fullmatch=True)


SHORT = st.from_regex(r"[ab+.]{1,4}@[ab1-]{1,4}(\.[ab1-]{1,4}){0,2}", fullmatch=True)
LONG = st.text(alphabet="a b", min_size=95, max_size=105)


@given(st.one_of(PRINTABLE, ADDRESSES, SHORT, LONG, st.emails()))
@settings(deadline=None, max_examples=500)
def test_what_is_ordinary_is_what_the_full_rule_makes_of_it(text: str) -> None:
    for quick, kind in ((NAME, Name), (EMAIL, Email)):
        never = Text(kind, ordinary="(?!)")

        assert never.clean([text]) == quick.clean([text])
        assert never.clean([text, "a"]) == quick.clean([text, "a"])


def test_keys_are_found_after_the_table_has_grown() -> None:
    seen, keys = SeenKeys(), [f"k{number}" for number in range(60_000)]
    for begin in range(0, len(keys), 1000):
        assert {} == seen.add(keys[begin : begin + 1000], range(begin + 2, begin + 1002))

    found = seen.add(keys, range(60_000))
    assert sum(index + 2 == line for index, line in found.items()) == 60_000  # whose difference takes minutes to show
    assert {1: 100_000} == seen.add(["new", "new", None, None], [100_000, 100_001, 100_002, 100_003])
