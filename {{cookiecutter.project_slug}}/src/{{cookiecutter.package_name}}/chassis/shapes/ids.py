"""Ids: UUIDs that sort by time of creation, in their one spelling."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable

ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""The one spelling of an id; another one (upper case, braces) names nothing."""


class IdSource:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7) that sort by time, also within a millisecond.

    The 12 bits after the version hold the fraction of the millisecond (section 6.2, method 3), and within one source
    every id is larger than the one before, even when the clock is set back.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last_tick = 0

    def __call__(self) -> str:
        milliseconds, nanoseconds = divmod(self._clock(), 1_000_000)
        tick = max((milliseconds << 12) | (nanoseconds * 4096 // 1_000_000), self._last_tick + 1)
        self._last_tick = tick
        version_7 = ((tick >> 12) << 80) | (0x7 << 76) | ((tick & 0xFFF) << 64)
        variant = 0b10 << 62
        return str(uuid.UUID(int=version_7 | variant | secrets.randbits(62)))


new_id = IdSource()
