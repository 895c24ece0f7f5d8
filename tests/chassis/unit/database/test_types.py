from __future__ import annotations

import itertools
import re
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import make_url, select
from sqlalchemy.engine import Dialect

from acme_service.chassis.database import Database, DatabaseNow, UTCDateTime
from acme_service.chassis.shapes import ID_PATTERN, new_id
from acme_service.chassis.shapes.ids import IdSource


def dialect_of(url: str) -> Dialect:
    return make_url(url).get_dialect()()


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_ids_sort_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(10_000)]

    assert ids == sorted(set(ids))


def test_ids_made_at_once_are_like_those_made_one_by_one() -> None:
    source = IdSource()
    before, many, after = source(), source.many(5000), source()

    assert sorted({before, *many, after}) == [before, *many, after]
    assert {(7, uuid.RFC_4122)} == {(uuid.UUID(made).version, uuid.UUID(made).variant) for made in many}
    assert many == [str(uuid.UUID(made)) for made in many]


@pytest.mark.parametrize("step", [0, -1, -1_000_000_000], ids=["standing", "creeping back", "set back"])
def test_ids_keep_their_order_when_the_clock_is(step: int) -> None:
    source = IdSource(itertools.count(time.time_ns(), step).__next__)
    ids = [source() for _ in range(100)]

    assert ids == sorted(set(ids))


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time() -> None:
    before, made, after = time.time_ns() // 1_000_000, uuid.UUID(IdSource()()), time.time_ns() // 1_000_000

    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert before <= made.int >> 80 <= after


def test_an_id_is_spelt_as_paths_and_queries_expect() -> None:
    assert re.fullmatch(ID_PATTERN, new_id())


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://"])
def test_a_time_comes_back_in_utc_whatever_zone_it_had(url: str) -> None:
    column, dialect = UTCDateTime(), dialect_of(url)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert NOON == column.process_result_value(column.process_bind_param(elsewhere, dialect), dialect)


def test_no_time_is_processed_that_the_driver_gives_with_its_zone() -> None:
    assert UTCDateTime().result_processor(dialect_of("sqlite://"), None) is not None
    assert UTCDateTime().result_processor(dialect_of("postgresql://"), None) is None


def test_a_time_without_a_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="time zone"):
        UTCDateTime().process_bind_param(NOON.replace(tzinfo=None), dialect_of("sqlite://"))


@pytest.mark.anyio
async def test_the_databases_clock_is_read_as_an_aware_time_that_goes_on_in_a_transaction(database: Database) -> None:
    async with database.transaction() as session:
        first = (await session.execute(select(DatabaseNow()))).scalar_one()
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs
        second = (await session.execute(select(DatabaseNow()))).scalar_one()

    assert first.tzinfo is not None
    assert timedelta(milliseconds=8) < second - first < timedelta(seconds=10)
    assert abs(datetime.now(UTC) - second) < timedelta(minutes=1)
