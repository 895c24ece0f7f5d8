"""What anybody may send to a chat as a whole: nobody else notices, and nothing stays."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from .direct import direct

pytestmark = pytest.mark.anyio

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
)
MEMBERS = st.dictionaries(
    st.sampled_from(["roomId", "userId", "username", "message", "messageType", "clientMessageId", "since", "limit"]),
    st.sampled_from(["r", "q", "u", "hello", 1, 0]) | VALUES,
    max_size=4,
)
EVENTS = st.sampled_from(
    ["join-room", "leave-room", "send-message", "typing", "history", "authenticate", "connect", "disconnect", "message"]
)
PACKETS = st.builds(
    lambda start, number, data: f"{start}{number}{json.dumps(data)}",
    st.sampled_from(["42", "42/,", "42/x,", "40", "41", "43", "44", "451-", "461-", "450-", "47", "4", "42/?a=b,"]),
    st.sampled_from(["", "7", "0", "9" * 30, "9" * 130, "-1", "\u0663"]),
    st.tuples(EVENTS, MEMBERS).map(list) | VALUES,
)
FRAMES = st.one_of(
    PACKETS,
    st.sampled_from(["", "1", "2", "2probe", "3", "5", "6", "0{}", "40", "41", "b", "bAAAA", "42[]", "40{}", "41/x,"]),
    st.text(max_size=10),
    st.binary(max_size=10),
)


@given(frames=st.lists(FRAMES, max_size=12), connects=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_nothing_fails_and_nothing_stays(*, frames: list[str | bytes], connects: bool) -> None:
    asyncio.run(_survives(frames, connects=connects))


async def _survives(frames: list[str | bytes], *, connects: bool) -> None:
    with capture_logs() as logs:
        async with direct() as chat:
            bob = await (await chat.client()).join("r", "bob")
            eve = chat.opened()
            if connects:
                eve.send("40")
                eve.send('421["join-room",{"roomId":"r","userId":"eve","username":"Eve"}]')
            for frame in frames:
                eve.send(frame)
            for number in range(2):  # the second is done after what eve sent
                assert (await bob.call("typing", number + 10, roomId="r"))["ok"]
            await eve.leave()
            chat.clients.remove(eve)

            assert 1 == len(chat.connections)
            assert ["r"] == chat.presence.rooms()
            assert 1 == chat.presence.listeners("r")
            assert bob.ended is False

    assert [] == [line for line in logs if line["log_level"] in {"error", "critical"}]


async def test_a_client_that_has_closed_its_session_is_read_no_further() -> None:
    with capture_logs() as logs:
        async with direct() as chat:
            eve = await chat.client()
            for frame in ("1", "40", '427["typing",{"roomId":"r"}]'):
                eve.send(frame)
            await eve.until(lambda: eve.ended)

    assert [] == [line for line in logs if line["log_level"] == "error"]
