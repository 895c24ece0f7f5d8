"""The database's clock for due times and leases: machines that share a database have clocks of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Float, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ..database import UTCDateTime


class Clock(FunctionElement[datetime]):
    """The moment at which the statement began, and *seconds* more; to the millisecond on SQLite.

    Unlike `DatabaseNow` it is the same for every row, so that PostgreSQL may look it up in an index.
    """

    type = UTCDateTime()
    inherit_cache = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(literal(seconds, Float))


@compiles(Clock, "postgresql")
def _postgresql(element: Clock, compiler: Any, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() + make_interval(secs => {seconds}))"


@compiles(Clock, "sqlite")
def _sqlite(element: Clock, compiler: Any, **options: Any) -> str:
    """As SQLAlchemy stores a time, with six digits after the point."""
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {seconds}))"
