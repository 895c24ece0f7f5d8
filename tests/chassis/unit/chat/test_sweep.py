from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest

from acme_service.chassis.access import Identities, Identity
from acme_service.chassis.chat.connections import Connection, Connections
from acme_service.chassis.chat.limits import ChatLimits
from acme_service.chassis.chat.link import Link
from acme_service.chassis.chat.sweep import ASKED_AT_ONCE, IDLE_SECONDS, Sweep, move_clients
from acme_service.chassis.errors import DatabaseUnavailable, ServiceError
from acme_service.chassis.lifecycle import Lifecycle, Phase

from ...loop_time import MOST_MS, measured, usual_ms

pytestmark = pytest.mark.anyio


class Known(Identities):
    def __init__(self) -> None:
        self.dead: set[object] = set()
        self.questions: list[int] = []
        self.lost = False

    async def live(self, identities: Sequence[Identity]) -> frozenset[object]:
        self.questions.append(len(identities))
        if self.lost:
            raise DatabaseUnavailable("The database cannot be reached.")
        return frozenset(identity.login for identity in identities) - self.dead


def link() -> Link:
    return Link("", frames_per_second=1, on_rejected=lambda _: None)


class Swept:
    def __init__(self, number: int = 0, expires_in: float = 60) -> None:
        self.identities = Known()
        self.connections = Connections(ChatLimits())
        self.links: list[Link] = []
        self.ended: list[str] = []
        self.closed: list[Link] = []
        for place in range(number):
            self.add(str(place), expires_in)
        self.sweep = Sweep(
            self.connections,
            links=lambda: self.links,
            identities=self.identities,
            end=self._end,
            close=self._close,
        )

    def add(self, login: str, expires_in: float = 60) -> None:
        identity = Identity(user_id=login, name="", expires_at=time.time() + expires_in, login=login)
        self.connections.add(Connection(login, link(), identity))

    async def _end(self, connection: Connection, _error: ServiceError) -> None:
        self.ended.append(connection.sid)

    async def _close(self, link: Link) -> None:
        self.closed.append(link)


async def test_one_question_is_asked_for_all() -> None:
    swept = Swept(3)
    await swept.sweep.sweep()
    assert ([3], []) == (swept.identities.questions, swept.ended)
    swept.identities.dead = {"1"}
    await swept.sweep.sweep()

    assert ["1"] == swept.ended


async def test_so_many_are_in_one_question() -> None:
    swept = Swept(ASKED_AT_ONCE + 1)
    await swept.sweep.sweep()

    assert [ASKED_AT_ONCE, 1] == swept.identities.questions


async def test_an_expired_token_needs_no_question() -> None:
    swept = Swept(1, expires_in=-1)
    await swept.sweep.sweep()

    assert (["0"], []) == (swept.ended, swept.identities.questions)


async def test_thousands_of_tokens_that_expire_at_once_hold_up_nobody() -> None:
    async def sweep() -> float:
        swept = Swept(2000, expires_in=-1)
        for place in range(2000):
            swept.add(f"valid {place}")
        with measured() as found:
            await asyncio.create_task(swept.sweep.sweep())
        assert 2000 == len(swept.ended)
        return max(found)

    assert await usual_ms(sweep) < MOST_MS


async def test_nobody_is_ended_because_the_database_is_lost() -> None:
    swept = Swept(2)
    swept.identities.lost = True
    await swept.sweep.sweep()

    assert [] == swept.ended


async def test_a_session_that_never_connects_is_closed() -> None:
    swept = Swept()
    swept.links = [link(), link(), link()]
    swept.links[0].idle_since = time.monotonic() - IDLE_SECONDS - 1
    swept.links[1].idle_since = None
    await swept.sweep.sweep()

    assert swept.links[:1] == swept.closed


async def test_clients_move_spread_over_the_drain_delay_and_none_before() -> None:
    lifecycle, moved, links = Lifecycle(), list[float](), [link() for _ in range(20)]

    async def close(_link: Link) -> None:
        moved.append(asyncio.get_running_loop().time())

    task = asyncio.ensure_future(
        move_clients(lifecycle, 1.2, links=lambda: links if len(moved) < 20 else (), close=close)
    )
    lifecycle.advance(Phase.READY)
    await asyncio.sleep(0.05)
    assert [] == moved
    started = asyncio.get_running_loop().time()
    lifecycle.advance(Phase.DRAINING)
    await task

    assert 20 == len(moved)
    assert 0.5 < moved[-1] - started < 1.15
    assert max(later - earlier for earlier, later in pairwise(moved)) < 0.3
