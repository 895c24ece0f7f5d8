"""Messages in the database: a number for each, in the order of the commits, whatever comes at once or twice."""

from __future__ import annotations

import asyncio

import pytest

from {{ cookiecutter.package_name }}.chassis.chat import NewMessage, Stored
from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.models.chat import MessageQuery
from {{ cookiecutter.package_name }}.services.chat import ChatRooms

pytestmark = pytest.mark.anyio


def new(content: str, room: str = "r", user: str = "ada", named: str | None = None) -> NewMessage:
    return NewMessage(
        room_id=room, user_id=user, username=user.title(), content=content, kind="text", client_message_id=named
    )


def ids(stored: list[Stored] | tuple[Stored, ...]) -> list[tuple[int, bool]]:
    return [(each.message.id, each.again) for each in stored]


async def test_each_room_counts_for_itself(database: Database) -> None:
    rooms = ChatRooms(database)
    batch = [new("a", "one"), new("b", "two"), new("c", "one")]

    assert [(1, False), (1, False), (2, False)] == ids(list(await rooms.store(batch)))
    assert [(3, False)] == ids(list(await rooms.store([new("d", "one")])))
    assert {"one": 3, "two": 1} == await rooms.last_ids(["one", "two", "none"])
    assert {} == await rooms.last_ids([])
    assert ["a", "c", "d"] == [message.content for message in await rooms.since("one", 0, 10)]
    assert ["c"] == [message.content for message in await rooms.since("one", 1, 1)]
    assert ["c", "d"] == [message.content for message in await rooms.newest("one", 2)]


async def test_what_is_sent_again_is_stored_once(database: Database) -> None:
    rooms = ChatRooms(database)
    await rooms.store([new("first", named="1")])
    batch = [new("x"), new("first", named="1"), new("second", named="2"), new("second", named="2"), new("y")]
    stored = list(await rooms.store(batch))

    assert [(2, False), (1, True), (3, False), (3, True), (4, False)] == ids(stored)
    assert stored[1].message.content == "first"
    assert [1, 2, 3, 4] == [message.id for message in await rooms.since("r", 0, 10)]
    assert [(5, False)] == ids(list(await rooms.store([new("another's", user="bob", named="1")])))
    assert [(1, False)] == ids(list(await rooms.store([new("elsewhere", room="s", named="1")])))
    assert [(1, True)] == ids(list(await rooms.store([new("first", named="1")])))


async def test_no_number_is_missing_or_twice_whoever_stores_at_once(database: Database) -> None:
    rooms = [ChatRooms(database) for _ in range(4)]

    async def speak(place: int) -> None:
        for number in range(5):
            order = ("bac", "abc", "cba", "cab")[place]  # of each another, which must not be that of the locks
            batch = [new(f"{place} {number}", room, named=f"{place}-{number}") for room in order]
            await rooms[place].store(batch)
            await rooms[place].store(batch[:1])

    await asyncio.gather(*map(speak, range(4)))

    for room in ("a", "b", "c"):
        assert list(range(1, 21)) == [message.id for message in await rooms[0].since(room, 0, 100)]


async def test_pages_lead_back_to_the_first_message(database: Database) -> None:
    rooms = ChatRooms(database)
    await rooms.store([new(str(number)) for number in range(1, 6)])
    found, cursor = [], ""
    while True:
        page = await rooms.page("r", MessageQuery(cursor=cursor, limit=2))
        found.append([message.id for message in page.items])
        if page.next_cursor is None:
            break
        cursor = page.next_cursor

    assert [[5, 4], [3, 2], [1]] == found
    assert page.items[0].timestamp.microsecond % 1000 == 0
    assert (await rooms.page("none", MessageQuery())).items == []
