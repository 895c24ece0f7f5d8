from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from acme_service.chassis.chat.batches import Batches

pytestmark = pytest.mark.anyio


class Work:
    def __init__(self) -> None:
        self.done: list[list[int]] = []
        self.error: Exception | None = None
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.done.append(list(items))
        await self.may_end.wait()
        if self.error:
            raise self.error
        return [item * 10 for item in items]


@asynccontextmanager
async def running(work: Work, most: int = 200) -> AsyncIterator[Batches[int, int]]:
    batches = Batches(work, most=most)
    task = asyncio.ensure_future(batches.run())
    yield batches
    task.cancel()
    await asyncio.wait([task])


async def test_what_comes_together_is_done_together_in_its_order() -> None:
    work = Work()
    async with running(work) as batches:
        results = await asyncio.gather(*(batches.add(number) for number in range(5)))

    assert [0, 10, 20, 30, 40] == results
    assert [[0, 1, 2, 3, 4]] == work.done


async def test_what_comes_meanwhile_is_done_next_up_to_a_limit() -> None:
    work = Work()
    async with running(work, most=2) as batches:
        work.may_end.clear()
        first = asyncio.ensure_future(batches.add(0))
        while not work.done:
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(batches.add(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        work.may_end.set()
        await asyncio.gather(first, *rest)

    assert [[0], [1, 2], [3]] == work.done


async def test_a_failure_is_everyones_and_the_next_batch_goes_on() -> None:
    work = Work()
    work.error = ValueError("no")
    async with running(work) as batches:
        results = await asyncio.gather(batches.add(1), batches.add(2), return_exceptions=True)
        work.error = None

        assert [ValueError, ValueError] == [type(result) for result in results]
        assert 30 == await batches.add(3)


async def test_whose_waiter_left_costs_the_others_nothing() -> None:
    work = Work()
    async with running(work) as batches:
        leaving = asyncio.ensure_future(batches.add(1))
        await asyncio.sleep(0)
        leaving.cancel()

        assert 20 == await batches.add(2)


async def test_who_waits_when_the_work_is_interrupted_learns_of_it() -> None:
    work = Work()
    work.may_end.clear()
    async with running(work) as batches:
        waiting = asyncio.ensure_future(batches.add(1))
        while not work.done:
            await asyncio.sleep(0.001)

    with pytest.raises(RuntimeError, match="interrupted"):
        await waiting


async def test_what_comes_a_moment_later_is_in_the_same_batch() -> None:
    work = Work()
    batches = Batches(work, window_seconds=0.2)
    task = asyncio.ensure_future(batches.run())
    first = asyncio.ensure_future(batches.add(1))
    await asyncio.sleep(0.02)
    await asyncio.gather(first, batches.add(2))
    task.cancel()
    await asyncio.wait([task])

    assert [[1, 2]] == work.done


async def test_a_failure_whose_waiter_left_is_not_the_end() -> None:
    work = Work()
    async with running(work) as batches:
        work.may_end.clear()
        work.error = ValueError("no")
        leaving = asyncio.ensure_future(batches.add(1))
        while not work.done:
            await asyncio.sleep(0.001)
        leaving.cancel()
        await asyncio.wait([leaving])
        work.may_end.set()
        await asyncio.sleep(0.01)
        work.error = None

        async with asyncio.timeout(5):
            assert 20 == await batches.add(2)
