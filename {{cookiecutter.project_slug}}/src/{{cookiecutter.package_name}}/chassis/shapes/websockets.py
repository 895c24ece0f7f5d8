"""How a websocket ends: the codes (RFC 6455, section 7.4.1), and the ASGI message."""

from __future__ import annotations

from typing import Any

NORMAL_CLOSURE = 1000
ABNORMAL_CLOSURE = 1006
"""In ASGI, of a connection that ended without a Close frame; it is in no frame itself."""
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

_LONGEST_REASON_BYTES = 123
"""A control frame has at most 125 bytes, two of which are the code (RFC 6455, section 5.5)."""


def close_message(code: int, reason: str = "") -> dict[str, Any]:
    """The ASGI message that closes a websocket; a *reason* that is too long for its frame is cut."""
    cut = reason.encode()[:_LONGEST_REASON_BYTES].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": cut}
