"""The scan agrees with a parser about what it counts, wherever the pieces of a body end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_service.chassis.errors import ContentTooLarge, MalformedRequest
from acme_service.chassis.http.json_bodies import JsonScan, check_json
from acme_service.chassis.shapes.limits import DEFAULT_LIMITS, BodyLimits

pytestmark = pytest.mark.anyio

TEXTS = st.text(alphabet='ab[]{},:"\\ \n\u00e9', max_size=6)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
TEN = BodyLimits(max_bytes=100, max_json_values=10, max_json_depth=3)


def counted(document: Any) -> tuple[int, int, int]:
    """Values and keys, keys alone, levels."""
    if isinstance(document, dict):
        inner = [counted(value) for value in document.values()]
        own = len(document)
    elif isinstance(document, list):
        inner, own = [counted(value) for value in document], 0
    else:
        return 1, 0, 0
    values = 1 + own + sum(values for values, _, _ in inner)
    return values, own + sum(keys for _, keys, _ in inner), 1 + max((depth for *_, depth in inner), default=0)


def scanned(pieces: list[bytes], limits: BodyLimits) -> JsonScan | None:
    scan = JsonScan(limits)
    try:
        for piece in pieces:
            scan.feed(piece)
    except ContentTooLarge:
        return None
    return scan


@given(DOCUMENTS, st.integers(1, 7), st.sampled_from([None, 1]), st.booleans())
def test_the_scan_counts_what_a_parser_finds(document: Any, size: int, indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001 - Hypothesis passes it
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    values, keys, depth = counted(document)

    scan = scanned(pieces, BodyLimits(max_json_values=values, max_json_depth=depth))
    assert scan is not None
    assert (values, keys) == (scan.values, scan.keys)
    assert scanned(pieces, BodyLimits(max_json_values=values - 1, max_json_depth=depth)) is None
    assert depth == 0 or scanned(pieces, BodyLimits(max_json_values=values, max_json_depth=depth - 1)) is None


@given(DOCUMENTS)
async def test_a_body_within_the_limits_is_accepted(document: Any) -> None:
    await check_json(json.dumps(document).encode(), DEFAULT_LIMITS)


async def test_the_first_key_that_is_repeated_is_named_whatever_the_numbers() -> None:
    with pytest.raises(MalformedRequest, match="'a' twice"):
        await check_json(b'{"a": 1, "b": %s, "a": 2}' % (b"9" * 300), DEFAULT_LIMITS)


async def test_a_repeated_key_is_quoted_in_part() -> None:
    member = b'"%s": 1' % (b"k" * 5000)
    with pytest.raises(MalformedRequest) as raised:
        await check_json(b"{" + member + b"," + member + b"}", DEFAULT_LIMITS)

    assert 300 > len(raised.value.detail)


@pytest.mark.parametrize("body", [b"[" * 11, b'["' + b"\\", b'{"a":' * 4, b'[[["', b",,,,,,,,,,,", b"]]]]", b'"""""'])
async def test_what_is_no_json_is_rejected_as_such_or_as_too_large(body: bytes) -> None:
    with pytest.raises((ContentTooLarge, MalformedRequest)):
        await check_json(body, TEN)
