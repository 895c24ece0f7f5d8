"""Lists by page and by cursor, in every order and with every filter."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from sqlalchemy import Index, MetaData, event, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from acme_service.chassis.database import Database, Listing, UTCDateTime
from acme_service.chassis.errors import Invalid
from acme_service.chassis.shapes import ListQuery, cursor_after, new_id

from ...models.item import Item

pytestmark = pytest.mark.anyio

LISTING = Listing(
    select(Item.id, Item.name, Item.created_at),
    Item.id,
    sorts=(Item.created_at, Item.name),
    filters=(Item.name, Item.code),
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Query(ListQuery):
    sort: Literal["created_at", "-created_at", "name", "-name"] | None = None
    name: str | None = None
    code: str | None = None


@pytest.fixture
async def items(database: Database) -> list[tuple[str, str, datetime]]:
    """Id, name and time of items of which several share a name, and several a time."""
    rows = [(new_id(), "abcab"[n % 5], NOON + timedelta(microseconds=n % 4)) for n in range(23)]
    values = [{"id": i, "name": name, "code": f"code{n}", "created_at": at} for n, (i, name, at) in enumerate(rows)]
    async with database.transaction() as session:
        await session.execute(insert(Item), values)
    return rows


def expected(items: list[tuple[str, str, datetime]], sort: str, name: str | None) -> list[str]:
    field = {"": 0, "name": 1, "created_at": 2}[sort.removeprefix("-")]
    chosen = [item for item in items if name is None or item[1] == name]
    return [item[0] for item in sorted(chosen, key=lambda item: (item[field], item[0]), reverse=sort.startswith("-"))]


@pytest.mark.parametrize("sort", [None, "created_at", "-created_at", "name", "-name"])
@pytest.mark.parametrize("name", [None, "a", "c", "nobody"])
async def test_pages_and_cursors_hold_each_row_once_in_order(
    database: Database, items: list[tuple[str, str, datetime]], sort: str | None, name: str | None
) -> None:
    wanted = expected(items, sort or "", name)
    given = {key: value for key, value in {"sort": sort, "name": name}.items() if value is not None}
    by_page: list[str] = []
    for number in range(1, 13):
        total, rows = await database.read(LISTING.page(Query.model_validate({**given, "page": number, "limit": 2})))
        assert len(wanted) == total, "also past the end"
        by_page += [row[0] for row in rows]
    by_cursor: list[str] = []
    query: Query | None = Query.model_validate({**given, "cursor": "", "limit": 3})
    while query is not None:
        rows, cursor = await database.read(LISTING.after(query))
        by_cursor += [row[0] for row in rows]
        query = Query(cursor=cursor, limit=3) if cursor is not None else None

    assert wanted == by_page == by_cursor


async def test_a_page_and_its_total_are_one_statement(
    database: Database, items: list[tuple[str, str, datetime]]
) -> None:
    sent: list[str] = []
    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    total, rows = await database.read(LISTING.page(Query(page=2, limit=20)))

    assert (1, 23, 3) == (len(sent), total, len(rows))
    assert items[-1][0] == rows[-1][0]
    assert items[-1][2] == rows[-1][2], "a time keeps its zone"


def cursor_of(place: object) -> str:
    content = bytes(16) + json.dumps(place, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.mark.parametrize(
    "place",
    [
        *(
            ["password", "x", {}],
            ["name", "x", {"password": "y"}],
            ["name", "x", {"sort": "y"}],
            ["name", "x", {"ids": "y"}],
        ),
        *(
            ["name", "\0", {}],
            ["name", "\ud800", {}],
            ["name", 1, {}],
            ["name", "x", []],
            ["name", "x", {"name": None}],
        ),
        *(["name", "x"], {}, None, 5, "name", [["name"], "x", {}], ["name", "x", {"name": "\0"}], ["--name", "x", {}]),
        *(["created_at", "now", {}], ["created_at", "2026-01-01T12:00:00", {}], ["created_at", "", {}]),
        *(["created_at", "0001-01-01T00:00:00+14:00", {}], ["created_at", "2026-01-01T12:00:00Z", {}]),
    ],
)
async def test_a_cursor_that_no_list_returned_is_rejected(database: Database, place: object) -> None:
    with pytest.raises((ValueError, Invalid)):
        await database.read(LISTING.after(Query(cursor=cursor_of(place))))


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("name", "x' OR 1=1"),
        ("name", "\N{SNOWMAN}"),
        ("-created_at", "9999-12-31T23:59:59.999999+00:00"),
        ("created_at", "0001-01-01T00:00:00+00:00"),
    ],
)
async def test_a_forged_place_is_a_place_like_another(database: Database, sort: str, value: str) -> None:
    await database.read(LISTING.after(Query(cursor=cursor_after(new_id(), sort, value))))


@pytest.mark.parametrize(
    "other", [{"sort": "-name"}, {"sort": "name", "name": "b"}, {"name": "a", "sort": "created_at"}]
)
def test_a_cursor_continues_no_other_list(other: dict[str, str]) -> None:
    cursor = cursor_after(new_id(), "name", "x", {"name": "a"})
    assert {"name": "a"} == Query.model_validate({"cursor": cursor, "sort": "name", "name": "a"}).filters
    with pytest.raises(ValueError, match=r"was made with another (sort|name)"):
        Query.model_validate({"cursor": cursor, **other})


def test_a_cursor_of_a_sorted_list_is_of_no_list_that_is_not() -> None:
    with pytest.raises(ValueError, match="another list"):
        ListQuery(cursor=cursor_after(new_id(), "name", "x"))


class Base(DeclarativeBase):
    metadata = MetaData()


class Thing(Base):
    __tablename__ = "things"
    __table_args__ = (Index(None, "name", "id"), Index(None, "size"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    size: Mapped[str]
    code: Mapped[str] = mapped_column(unique=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


def test_what_is_declared_without_an_index_is_named() -> None:
    listing = Listing(
        select(Thing.id),
        Thing.id,
        sorts=(Thing.name, Thing.at, Thing.code),
        filters=(Thing.name, Thing.size, Thing.code),
    )

    assert ["at", "code", "size"] == list(listing.without_index())
