from __future__ import annotations

import asyncio
import os
import sys
from threading import get_native_id
from time import perf_counter, thread_time

import pytest

from acme_service.chassis.errors import Unavailable
from acme_service.chassis.passwords import Passwords

pytestmark = pytest.mark.anyio


async def test_a_hash_at_real_cost_verifies_only_its_password() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("correct horse")

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (True, False) == (
        await passwords.verify("correct horse", hashed),
        await passwords.verify("correct house", hashed),
    )
    passwords.close()


async def test_one_password_has_a_new_hash_each_time() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)

    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")
    passwords.close()


async def test_what_is_no_hash_verifies_nothing() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)

    assert not await passwords.verify("correct horse", "!")
    passwords.close()


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords(memory_kib=65536, iterations=3)
    started, before = perf_counter(), thread_time()
    await passwords.hash("correct horse")

    assert thread_time() - before < (perf_counter() - started) / 2
    passwords.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no nice value of its own")
async def test_the_event_loop_goes_before_hashing() -> None:
    passwords = Passwords()
    hashing = await passwords._in_thread(lambda: os.getpriority(os.PRIO_PROCESS, get_native_id()))  # noqa: SLF001 - its thread

    assert hashing > os.getpriority(os.PRIO_PROCESS, get_native_id())
    passwords.close()


async def test_more_callers_than_may_wait_are_sent_away() -> None:
    passwords = Passwords(threads=1, max_waiting=3)
    results = await asyncio.gather(*(passwords.hash("correct horse") for _ in range(5)), return_exceptions=True)

    assert 2 == sum(isinstance(result, Unavailable) for result in results)
    assert (await passwords.hash("correct horse")).startswith("$argon2id$")
    passwords.close()
