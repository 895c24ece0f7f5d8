"""What the watch for RTSP costs; that it finds it is in `process/test_other_protocols.py`."""

from __future__ import annotations

import pytest

from acme_service.chassis.server.foreign import MOST_LOOKS, RtspWatch


@pytest.mark.parametrize("text", [b"GET / RTSP/1.0 ", b" RTSP/", b"a R", b" "])
def test_a_text_about_rtsp_is_fed_in_a_bounded_number_of_parts(text: bytes) -> None:
    piece = text * (262_144 // len(text))

    parts = list(RtspWatch().parts(piece))

    assert piece == b"".join(parts)
    assert 2 * (MOST_LOOKS + 1) >= len(parts)
