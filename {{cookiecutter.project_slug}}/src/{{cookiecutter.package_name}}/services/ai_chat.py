"""What the assistant is told before each conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..chassis.access import Caller

PROMPT = """\
You are the assistant of this service. Be helpful, brief and exact. Say so where you do not know something.
Write plain text, without Markdown."""


async def instructions(caller: Caller, message: str) -> str:  # noqa: ARG001 - a prompt of your own may depend on them
    """The system prompt for *caller*, who says *message*; what a user wrote does not belong into it."""
    return f"{PROMPT}\nToday is {datetime.now(UTC).date()}."
