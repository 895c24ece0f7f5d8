"""How many tokens a caller may use a day: reserved before a request, and settled after it, by one statement each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import structlog
from sqlalchemy import case, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from ..cancellation import to_its_end
from ..errors import DatabaseUnavailable, TooManyRequests

if TYPE_CHECKING:
    from sqlalchemy import Table

    from ..database import Database
    from .tables import TokenBudgetColumns

KEPT = timedelta(days=2)
"""The present day and the one before, for requests that began then."""

_log = structlog.get_logger("chassis.ai_chat")


@dataclass(slots=True)
class Reservation:
    """Tokens of one request; `used` is what they are settled with."""

    holder: str
    day: str
    tokens: int
    used: int = 0
    made: bool = False


class TokenBudget:
    """*daily_tokens* of a holder; what a provider counts beyond a reservation is missing from the next one.

    A process that is killed amid a request costs its holder what was reserved for it, until the next day.
    """

    def __init__(self, database: Database, table: type[TokenBudgetColumns], *, daily_tokens: int) -> None:
        self._database = database
        self._table = cast("Table", table.__table__)  # type: ignore[attr-defined]
        self._daily_tokens = daily_tokens

    @asynccontextmanager
    async def reserved(self, holder: str, tokens: int) -> AsyncIterator[Reservation]:
        """Count *tokens* as used during the block, and after it what the reservation says.

        Raises TooManyRequests and DatabaseUnavailable.
        """
        reservation = Reservation(holder, _today(), tokens)
        try:
            await to_its_end(self._reserve(reservation))
            yield reservation
        finally:
            if reservation.made:
                await to_its_end(self._settle(reservation))

    async def tidy(self) -> None:
        """Remove the days that are over."""
        before = (datetime.now(UTC) - KEPT).date().isoformat()
        async with self._database.transaction() as session:
            await session.execute(delete(self._table).where(self._table.c.day < before))

    async def _reserve(self, reservation: Reservation) -> None:
        t, tokens = self._table.c, reservation.tokens
        dialect: Any = postgresql if self._database.kind == "postgresql" else sqlite
        new = dialect.insert(self._table).values(holder=reservation.holder, day=reservation.day, tokens=tokens)
        counted = new.on_conflict_do_update(
            index_elements=[t.holder, t.day],
            set_={"tokens": t.tokens + tokens},
            where=t.tokens + tokens <= self._daily_tokens,
        ).returning(t.tokens)
        if tokens <= self._daily_tokens:
            async with self._database.transaction() as session:
                made = (await session.execute(counted)).scalar_one_or_none() is not None
            if made:
                reservation.made = True
                return
        detail = f"This would take more than the {self._daily_tokens} tokens that you may use in a day."
        raise TooManyRequests(detail, retry_after_seconds=_seconds_of_today())

    async def _settle(self, reservation: Reservation) -> None:
        """Take back what was reserved and not used; an error of the request itself is the one to show."""
        t = self._table.c
        left = t.tokens - reservation.tokens + reservation.used
        own = update(self._table).where(t.holder == reservation.holder, t.day == reservation.day)
        try:
            async with self._database.transaction() as session:
                await session.execute(own.values(tokens=case((left > 0, left), else_=0)))
        except DatabaseUnavailable:
            _log.warning("tokens stay reserved until tomorrow", tokens=reservation.tokens - reservation.used)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _seconds_of_today() -> int:
    now = datetime.now(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, round((tomorrow - now).total_seconds()))
