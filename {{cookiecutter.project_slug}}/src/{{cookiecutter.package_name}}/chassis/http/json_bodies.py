"""JSON bodies, held to their limits before any parser sees them: a parser keeps the event loop until it is done.

An object's key has one colon outside of texts, so the scan also tells whether a parser lost a duplicate key.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson

from ..errors import ContentTooLarge, MalformedRequest
from ..shapes.limits import BodyLimits

SLICE_BYTES = 65_536
"""Of a body that is scanned without a break for other requests; less than a millisecond."""
LONGEST_QUOTE = 200
"""Characters of a client's key in a message."""

_BRACKETS = b"[]{}"
_OPENING = b"[{"
_SPACE = b" \t\r\n"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


async def check_json(body: bytes, limits: BodyLimits) -> None:
    """Reject what is not JSON (RFC 8259), is above *limits*, or has duplicate keys, which others may read differently.

    Raises ContentTooLarge and MalformedRequest. orjson rejects NaN, Infinity and lone surrogates.
    """
    scan = await _scanned(body, limits)
    try:
        # Nothing keeps the document, while others wait with theirs.
        keys = _keys(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(_malformed(body, error)) from None
    if scan is None and keys != body.count(b":"):
        scan = JsonScan(limits)
        scan.feed(body)
    if scan is not None and keys != scan.keys:
        _reject_duplicate_keys(body)
    if len(body) > SLICE_BYTES:
        await asyncio.sleep(0)


async def check_json_size(body: bytes, limits: BodyLimits) -> None:
    """Raise ContentTooLarge for what is above *limits*, whatever else may be wrong with it."""
    await _scanned(body, limits)


async def _scanned(body: bytes, limits: BodyLimits) -> JsonScan | None:
    """The scan of *body*; None where its length alone says that it keeps *limits*: a value takes two bytes."""
    most, deepest = limits.max_json_values or 0, limits.max_json_depth or 0
    if len(body) < 2 * most and body.count(b"[") + body.count(b"{") <= deepest:
        return None
    scan = JsonScan(limits)
    for start in range(0, len(body), SLICE_BYTES):
        if start:
            await asyncio.sleep(0)
        scan.feed(body[start : start + SLICE_BYTES])
    return scan


class JsonScan:
    """Counts the values, keys and levels of JSON that comes in pieces, each in time linear in its length.

    Where the text is not JSON, the counts hold up to the place where a parser stops.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self.values = 1
        """Values and keys together; one too many while the last thing was an opening bracket."""
        self.keys = 0
        self._depth = 0
        self._in_text = False
        self._carry = b""
        """A backslash at the end of the last piece."""
        self._last = b""

    def feed(self, piece: bytes) -> None:
        """Count *piece*; raises ContentTooLarge as soon as a limit is passed."""
        outside = self._outside_texts(self._carry + piece).translate(None, _SPACE)
        opened = outside.count(b"[") + outside.count(b"{")
        colons = outside.count(b":")
        seam = self._last + outside
        self.keys += colons
        self.values += colons + outside.count(b",") + opened - seam.count(b"[]") - seam.count(b"{}")
        self._last = b'"' if self._in_text else seam[-1:]
        most = self._limits.max_json_values or 0
        if self.values - (self._last in {b"[", b"{"}) > most:
            raise ContentTooLarge(f"The body has more than the {most} values and keys that are accepted.")
        self._follow(outside, opened)

    def _outside_texts(self, piece: bytes) -> bytes:
        r"""*piece* without what texts hold; a quote stands for each of their ends. `\\` and `\"` end none."""
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"")
            self._carry = b"\\" if piece.endswith(b"\\") else b""
            piece = piece.replace(b'\\"', b"")
        else:
            self._carry = b""
        parts = piece.split(b'"')
        outside = b'"'.join(parts[self._in_text :: 2])
        self._in_text ^= len(parts) % 2 == 0
        return outside

    def _follow(self, outside: bytes, opened: int) -> None:
        """Count the levels, bracket by bracket where *opened* are enough to pass the limit."""
        deepest = self._limits.max_json_depth or 0
        brackets = outside.translate(None, _NO_BRACKETS)
        depth = self._depth
        if depth + opened <= deepest:
            self._depth = depth + 2 * opened - len(brackets)
            return
        for bracket in brackets:
            depth += 1 if bracket in _OPENING else -1
            if depth > deepest:
                raise ContentTooLarge(f"The body is nested deeper than the {deepest} levels that are accepted.")
        self._depth = depth


def _malformed(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "The body is empty."
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        return f"The body is not UTF-8 at byte {broken.start}."
    return f"The body is not JSON at line {error.lineno}, column {error.colno}: {error.msg}."


def _keys(document: object) -> int:
    """How many keys all objects in *document* have."""
    count = 0
    rest = [document]
    while rest:
        value = rest.pop()
        if type(value) is dict:
            count += len(value)
            rest.extend(value.values())
        elif type(value) is list:
            rest.extend(value)
    return count


def _reject_duplicate_keys(body: bytes) -> None:
    """Find out which key it is. No number is converted: Python rejects those of more than 4,300 digits."""
    try:
        json.loads(body, object_pairs_hook=_object, parse_int=len, parse_float=len)
    except _DuplicateKey as error:
        key = error.key if len(error.key) <= LONGEST_QUOTE else error.key[:LONGEST_QUOTE] + "..."
        raise MalformedRequest(f"The body has an object with the key {key!r} twice.") from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None


class _DuplicateKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise _DuplicateKey(key)
        members[key] = value
    return members
