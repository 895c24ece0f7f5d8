from __future__ import annotations

import asyncio
from typing import Any

import pytest
from engineio.packet import MESSAGE, Packet

from acme_service.chassis.chat.link import CLOSED, Link, Outbox

pytestmark = pytest.mark.anyio


def packet(size: int) -> Packet:
    return Packet(MESSAGE, "x" * size)


async def test_what_waits_for_a_client_is_bounded_and_all_dropped_beyond() -> None:
    dropped: list[int] = []
    outbox = Outbox(1000)
    outbox.on_overflow = dropped.append
    for _ in range(3):
        await outbox.put(packet(250))
    assert [] == dropped

    await outbox.put(packet(250))
    await outbox.put(packet(1))

    assert [4] == dropped
    assert outbox.empty()
    async with asyncio.timeout(1):
        await outbox.join()


async def test_what_was_read_waits_no_longer() -> None:
    outbox = Outbox(1000)
    for _ in range(100):
        await outbox.put(packet(500))
        assert 500 == len((await outbox.get()).data)
        outbox.task_done()

    assert 0 == outbox.waiting_bytes
    assert not outbox.overflowed


async def test_one_packet_may_be_larger() -> None:
    outbox = Outbox(100)
    await outbox.put(packet(5000))

    assert not outbox.overflowed


async def test_an_overflow_keeps_the_end_that_the_writer_waits_for() -> None:
    outbox = Outbox(10)
    await outbox.put(None)
    await outbox.put(packet(100))

    assert None is await outbox.get()


class Client:
    """An ASGI websocket whose client has sent *texts*, and then nothing more."""

    def __init__(self, *texts: str | bytes) -> None:
        self.rejected: list[str] = []
        self.link = Link("192.0.2.1", frames_per_second=1000, on_rejected=self.rejected.append)
        self._texts = list(texts)
        self.receive = self.link.over(self._receive)

    async def _receive(self) -> dict[str, Any]:
        if not self._texts:
            await asyncio.Event().wait()
        text = self._texts.pop(0)
        return {"type": "websocket.receive", "bytes" if isinstance(text, bytes) else "text": text}


async def test_frames_pass_and_binary_ones_are_skipped() -> None:
    client = Client("3", b"\x00", "40")

    assert ["3", "40"] == [(await client.receive())["text"] for _ in range(2)]
    assert ["binary"] == client.rejected


async def test_a_malformed_frame_ends_the_session() -> None:
    client = Client("x", "40")

    assert [CLOSED, CLOSED] == [await client.receive() for _ in range(2)]
    assert ["malformed"] == client.rejected


async def test_closing_wakes_the_one_who_waits_for_the_client_and_cancels_nothing_else() -> None:
    client = Client()
    waiting = asyncio.ensure_future(client.receive())
    await asyncio.sleep(0.01)
    client.link.close()

    assert CLOSED == await waiting
    assert CLOSED == await client.receive()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    client = Client()
    waiting = asyncio.ensure_future(client.receive())
    await asyncio.sleep(0.01)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_client_that_sends_faster_is_read_more_slowly() -> None:
    client = Client(*["3"] * 60)
    client.link = Link("", frames_per_second=50, on_rejected=client.rejected.append)
    receive = client.link.over(client._receive)  # noqa: SLF001 - of this file
    started = asyncio.get_running_loop().time()
    for _ in range(60):
        await receive()

    assert asyncio.get_running_loop().time() - started > 0.15
