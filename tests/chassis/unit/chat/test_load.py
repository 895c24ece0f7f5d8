"""Thousands of users, rooms and sessions: the loop stays free, and those who are connected stay so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from acme_service.chassis.chat.gossip import HOST_SECONDS, PART, Gossip

from ...loop_time import MOST_MS, measured, usual_ms
from .direct import UNLIMITED, Direct, direct

pytestmark = pytest.mark.anyio

THOUSANDS = 4000
LISTENERS = 30


async def longest_ms(work: Coroutine[Any, Any, None]) -> float:
    """The longest callback of the loop until *work* is done, and what it has queued is sent."""
    with measured() as found:
        await asyncio.create_task(work)
        await asyncio.sleep(0.1)
    return max(found)


@pytest.mark.parametrize("users", [500, 2000])
async def test_a_process_with_many_users_may_come_and_go(users: int) -> None:
    assert await usual_ms(lambda: _longest_of_coming_and_going(users)) < MOST_MS


async def _longest_of_coming_and_going(users: int) -> float:
    with capture_logs():
        async with direct() as chat:
            people = [await (await chat.client()).join("r", f"here{number}") for number in range(LISTENERS)]
            gossip = Gossip("this", chat.presence, lambda _message: None)
            appearing = await longest_ms(_appear(chat, gossip, users))
            assert [users + LISTENERS] * LISTENERS == [each.heard("online-users")[-1]["total"] for each in people]
            dying = await longest_ms(chat.hub.tell(gossip.expire(HOST_SECONDS + 1)))
            assert [LISTENERS] * LISTENERS == [each.heard("online-users")[-1]["total"] for each in people]
            assert not [each for each in people if each.ended or each.heard("user-left")]
    return max(appearing, dying)


async def _appear(chat: Direct, gossip: Gossip, users: int) -> None:
    members = [("r", f"there{number}", "There") for number in range(users)]
    parts = [members[start : start + PART] for start in range(0, users, PART)]
    for place, part in enumerate(parts):
        told = {"number": 1, "part": place, "parts": len(parts), "members": part}
        await chat.hub.tell(gossip.hear({"method": "chat-members", "host_id": "that", **told}, 0.0))


async def test_the_last_ids_of_many_rooms_are_told_a_room_at_a_time() -> None:
    async with direct() as chat:
        for number in range(THOUSANDS):
            chat.presence.join(f"r{number}", "ada", "Ada", "sid")
            chat.rooms.messages[f"r{number}"] = [None]  # type: ignore[list-item] # only counted
        assert await usual_ms(lambda: longest_ms(chat.hub.tell_last_ids())) < MOST_MS


async def test_what_has_happened_since_a_change_is_not_told_wrongly() -> None:
    with capture_logs():
        async with direct() as chat:
            bob = await (await chat.client()).join("r", "bob")
            gossip = Gossip("this", chat.presence, lambda _message: None)
            await _appear(chat, gossip, 1)
            late = gossip.expire(HOST_SECONDS + 1)
            await _appear(chat, gossip, 1)
            await chat.hub.tell(late)
            await bob.call("typing", 9, roomId="r")

            assert (2, 0) == (len(bob.heard("user-joined")), len(bob.heard("user-left")))


async def test_sessions_that_never_connect_give_way_and_no_others() -> None:
    with capture_logs():
        async with direct(replace(UNLIMITED, connections=2)) as chat:
            bob, idle = await chat.client(), chat.opened()
            await idle.until(lambda: idle.frames)
            ada = await chat.client()
            await idle.until(lambda: idle.ended)
            assert not (await ada.join("r", "ada")).ended
            refused = chat.opened()
            await refused.until(lambda: refused.ended)

            assert [] == refused.frames
            assert not bob.ended


async def test_one_who_leaves_the_chat_and_keeps_the_session_gives_way_too() -> None:
    with capture_logs():
        async with direct(replace(UNLIMITED, connections=1)) as chat:
            bob = await chat.client()
            bob.send("41")
            await asyncio.sleep(0.01)
            await chat.client()
            await bob.until(lambda: bob.ended)
