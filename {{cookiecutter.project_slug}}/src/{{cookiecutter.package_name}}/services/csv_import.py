"""What a CSV file of users holds, and what its records become."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, cast

from ..chassis.csv_import import EMAIL, NAME, Column, Moments, TableSink, Target
from ..chassis.passwords import NO_PASSWORD
from ..chassis.shapes import new_ids
from ..models.user import User

if TYPE_CHECKING:
    from sqlalchemy import Table

    from ..chassis.csv_import import Batch
    from .users import Users

COLUMNS = (
    Column("name", NAME, aliases=("full_name",)),
    Column("email", EMAIL, aliases=("e_mail", "email_address", "mail"), unique=True),
    Column("joined_at", Moments(latest=lambda: datetime.now(UTC)), aliases=("created_at",), required=False),
)
"""No password: an imported user has none until an admin sets one."""

ROW = ("id", "name", "email", "password_hash", "created_at", "updated_at")


def users_of(batch: Batch) -> list[tuple[Any, ...]]:
    """The rows of a batch's records, as ROW: `joined_at` becomes `created_at`."""
    now, count, values = datetime.now(UTC), len(batch.lines), batch.columns
    joined = values.get("joined_at") or [None] * count
    created = [moment or now for moment in joined]
    columns = (new_ids(count), values["name"], values["email"], repeat(NO_PASSWORD, count), created, repeat(now, count))
    return list(zip(*columns, strict=True))


def user_target(users: Users) -> Target:
    """Users from a file; of one who is there already, `update` changes the name alone."""

    async def forget(user_ids: Sequence[str]) -> None:
        await asyncio.gather(*map(users.forget, user_ids))

    table = cast("Table", User.__table__)
    sink = TableSink(table, key="email", changes=["name"], touch=["updated_at"])
    return Target(columns=COLUMNS, row_columns=ROW, rows=users_of, sink=sink, forget=forget)
