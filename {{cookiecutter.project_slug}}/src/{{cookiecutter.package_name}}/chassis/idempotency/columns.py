"""The columns of a service's table of keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from ..database import UTCDateTime
from ..database.required import REQUIRED


class IdempotencyColumns:
    """One request that had an Idempotency-Key, and its response.

    A class of the service that derives from this and from its own base, and has a name, is the table.
    """

    scope: Mapped[str] = mapped_column(primary_key=True, info=REQUIRED)
    """SHA-256 of caller, method, path and key; the key itself is not stored."""
    fingerprint: Mapped[str] = mapped_column(info=REQUIRED)
    """SHA-256 of the body that the key came with, without its secrets."""
    status: Mapped[int] = mapped_column(info=REQUIRED)
    """Of the response; 0 inside the transaction of the effect, and never outside it."""
    headers: Mapped[str] = mapped_column(Text, info=REQUIRED)
    """Pairs of name and value, as JSON."""
    body: Mapped[bytes] = mapped_column(info=REQUIRED)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True, info=REQUIRED)
