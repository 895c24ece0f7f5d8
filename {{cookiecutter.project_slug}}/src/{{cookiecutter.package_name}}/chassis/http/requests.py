"""The request that handlers get: Starlette's, whose bodies no parser reads for long at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from ..errors import MalformedRequest
from ..shapes.limits import DEFAULT_LIMITS, BodyLimits
from .json_bodies import check_json_size

if TYPE_CHECKING:
    from starlette._utils import AwaitableOrContextManager
    from starlette.datastructures import FormData

SLICE_BYTES = 16_384
"""Of a form that is read without a break for other requests: 4 ms at worst, with a file in every 60 bytes."""
MOST_ENCODED_BYTES = 131_072
"""Of one field of a form in the query's encoding, which is decoded in one go: 12 ms if all of it is escapes."""
PART_BYTES = 1_048_576
"""Of one field of a multipart form: Starlette's default."""


MOST_DIGITS = 1_000
"""Of an integer: the time that Python takes for one grows with the square of its digits."""


class BoundedRequest(Request):
    """Starlette's request; JSON above the limits is rejected unread, and a form is read in slices."""

    _reads_form = False

    async def json(self) -> Any:
        """As Starlette's, which raises ValueError for what is no JSON.

        Raises ContentTooLarge for too many values or levels, and MalformedRequest for a number with too many digits.
        """
        if not hasattr(self, "_json"):
            body = await self.body()
            await check_json_size(_utf8(body), limits_of(self))
            self._json = json.loads(body, parse_int=_integer)
        return self._json

    def form(
        self,
        *,
        max_files: float = 1000,
        max_fields: float = 1000,
        max_part_size: int | None = None,
    ) -> AwaitableOrContextManager[FormData]:
        """As Starlette's; without *max_part_size* a field has at most 128 KiB, and 1 MiB in a multipart form."""
        self._reads_form = True
        if max_part_size is None:
            multipart = self.headers.get("content-type", "").lower().startswith("multipart/")
            max_part_size = PART_BYTES if multipart else MOST_ENCODED_BYTES
        return super().form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)

    def stream(self) -> AsyncGenerator[bytes, None]:
        return _sliced(super().stream()) if self._reads_form else super().stream()


def limits_of(request: Request) -> BodyLimits:
    """What the request may send, by its route and the settings."""
    exchange = request.scope.get("exchange")
    return DEFAULT_LIMITS if exchange is None else exchange.body_limits


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise MalformedRequest(f"The body has a number with more than {MOST_DIGITS} digits.")
    return int(text)


def _utf8(body: bytes) -> bytes:
    """*body* in UTF-8, for Python's parser reads JSON in UTF-16 and UTF-32 as well; as it is if it is in none."""
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8"):
        return body
    return body.decode(encoding, "replace").encode("utf-8", "replace")


async def _sliced(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield *pieces* in slices, between which other requests are served."""
    async for piece in pieces:
        for start in range(0, len(piece), SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            yield piece[start : start + SLICE_BYTES]
        if not piece:
            yield piece
