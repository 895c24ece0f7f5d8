"""The table of keys: expiry, clean-up, and two transactions that want one key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from acme_service.chassis.database import Database
from acme_service.chassis.errors import IdempotencyKeyInUse
from acme_service.chassis.idempotency.keys import AlreadyStored, IdempotencyKeys, StoredResponse
from acme_service.models.base import IdempotencyKey

pytestmark = pytest.mark.anyio

RESPONSE = StoredResponse("f", 201, [("etag", '"1"'), ("x", "\xe9")], b"\x00body")


@pytest.fixture
def keys(database: Database) -> IdempotencyKeys:
    return IdempotencyKeys(database, IdempotencyKey)


async def take(database: Database, keys: IdempotencyKeys, scope: str = "a") -> None:
    async with database.transaction() as session:
        await keys.claim(session, scope, "f")
        await keys.store(session, scope, RESPONSE)


async def age(database: Database, hours: float) -> None:
    async with database.transaction() as session:
        await session.execute(update(IdempotencyKey).values(expires_at=datetime.now(UTC) + timedelta(hours=24 - hours)))


async def rows(database: Database) -> int:
    return int(await database.fetch_value(select(func.count()).select_from(IdempotencyKey)))


async def test_what_was_stored_is_found_for_a_day(database: Database, keys: IdempotencyKeys) -> None:
    await take(database, keys)
    assert RESPONSE == await keys.find("a")
    assert await keys.find("b") is None

    await age(database, 23.9)
    assert RESPONSE == await keys.find("a")
    with pytest.raises(AlreadyStored):
        await take(database, keys)

    await age(database, 24.1)
    assert await keys.find("a") is None
    await take(database, keys)
    assert RESPONSE == await keys.find("a")


async def test_a_failed_effect_leaves_no_row(database: Database, keys: IdempotencyKeys) -> None:
    with suppress(ZeroDivisionError):
        async with database.transaction() as session:
            await keys.claim(session, "a", "f")
            raise ZeroDivisionError

    assert 0 == await rows(database)


async def test_tidying_deletes_what_has_expired_in_any_number_of_batches(
    database: Database, keys: IdempotencyKeys
) -> None:
    many: list[dict[str, Any]] = [
        {"scope": str(number), "fingerprint": "", "status": 200, "headers": "[]", "body": b"", "expires_at": moment}
        for number, moment in enumerate([datetime.now(UTC) - timedelta(seconds=1)] * 2500)
    ]
    async with database.transaction() as session:
        await session.execute(insert(IdempotencyKey), many)
    await take(database, keys, "fresh")
    await keys.tidy()

    assert 1 == await rows(database)
    assert RESPONSE == await keys.find("fresh")


async def test_above_the_most_rows_the_oldest_end_early(database: Database) -> None:
    keys = IdempotencyKeys(database, IdempotencyKey, most_rows=2)
    for scope in "abcd":
        await take(database, keys, scope)
    await keys.tidy()

    assert [False, False, True, True] == [(await keys.find(scope)) is not None for scope in "abcd"]


@pytest.fixture
async def another(postgresql_url: str) -> AsyncIterator[Database]:
    opened = Database(postgresql_url)
    await opened.start()
    yield opened
    await opened.close()


async def test_another_process_waits_at_most_a_second_for_a_key_and_has_its_own_limits_after(
    another: Database, postgresql_url: str
) -> None:
    first, second = Database(postgresql_url), another
    keys = IdempotencyKeys(second, IdempotencyKey)
    async with first.transaction() as session:
        await IdempotencyKeys(first, IdempotencyKey).claim(session, "a", "f")
        started = time.monotonic()
        with pytest.raises(IdempotencyKeyInUse):
            await take(second, keys)
        assert 0.9 < time.monotonic() - started < 1.9

        waiting = asyncio.ensure_future(take(second, keys))
        await asyncio.sleep(0.2)
        await IdempotencyKeys(first, IdempotencyKey).store(session, "a", RESPONSE)
    with pytest.raises(AlreadyStored):
        await waiting
    async with second.transaction() as session:
        await keys.claim(session, "b", "f")
        assert "0" == (await session.execute(select(func.current_setting("lock_timeout")))).scalar_one()
    await first.close()


async def test_a_claim_that_was_rolled_back_passes_the_key_on(another: Database, postgresql_url: str) -> None:
    first, keys = Database(postgresql_url), IdempotencyKeys(another, IdempotencyKey)
    with suppress(ZeroDivisionError):
        async with first.transaction() as session:
            await IdempotencyKeys(first, IdempotencyKey).claim(session, "a", "f")
            waiting = asyncio.ensure_future(take(another, keys))
            await asyncio.sleep(0.2)
            raise ZeroDivisionError
    await waiting

    assert RESPONSE == await keys.find("a")
    await first.close()
