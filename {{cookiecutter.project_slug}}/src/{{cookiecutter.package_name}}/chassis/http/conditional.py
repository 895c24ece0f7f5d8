"""Conditional requests (RFC 9110, section 13): a change applies to the version that its client has read, or fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import MalformedRequest

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_TAGS = 50
_TAG = re.compile(r'[ \t]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|\Z)')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def version_headers(version: int) -> dict[str, str]:
    """Those of a resource in *version*: its strong entity tag, for If-Match; still nothing may store the response."""
    return {"ETag": f'"{version}"', "Cache-Control": "no-store"}


def read_if_match(request: Request) -> frozenset[int] | None:
    """The versions that the request's `If-Match` accepts; None if every one is, without the field or with `*`.

    The comparison is strong: a weak tag, or one of another form, is no version. Raises MalformedRequest.
    """
    given = request.headers.getlist("if-match")
    if not given or [value.strip() for value in given] == ["*"]:
        return None
    tags = list(_tags(", ".join(given)))
    return frozenset(int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))


def _tags(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(text) and len(found) < MAX_TAGS:
        tag = _TAG.match(text, place)
        if tag is None:
            break
        found.append((tag[1] or "", tag[2]))
        place = tag.end()
    if place < len(text) or not found:
        raise MalformedRequest(f'If-Match must be * or up to {MAX_TAGS} entity tags such as "3", with commas between.')
    return found
