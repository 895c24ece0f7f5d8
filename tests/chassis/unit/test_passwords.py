from __future__ import annotations

import asyncio
import os
import sys
from threading import get_native_id
from time import perf_counter, thread_time

import pytest
from argon2 import PasswordHasher

from acme_service.chassis.errors import Unavailable
from acme_service.chassis.passwords import NO_PASSWORD, Checked, Passwords, salt_of

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


async def test_an_accent_matches_however_it_is_typed() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)
    hashed = await passwords.hash("cafe\u0301 au lait")
    for typed in ("cafe\u0301 au lait", "caf\u00e9 au lait"):
        assert Checked(matches=True, outdated=False) == await passwords.check(typed, hashed)

    assert not await passwords.verify("cafe au lait", hashed)
    passwords.close()


async def test_a_hash_of_what_was_not_composed_matches_and_is_renewed() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("cafe\u0301 au lait")
    assert Checked(matches=True, outdated=True) == await passwords.check("cafe\u0301 au lait", old)
    assert Checked(matches=False, outdated=False) == await passwords.check("caf\u00e9 au lait", old)
    renewed = await passwords.renew("cafe\u0301 au lait", old)

    assert (old != renewed, salt_of(old)) == (True, salt_of(renewed))
    assert Checked(matches=True, outdated=False) == await passwords.check("caf\u00e9 au lait", renewed)
    passwords.close()


@pytest.mark.parametrize("salt", [b"s" * 16, b"s" * 8])
async def test_a_hash_with_other_parameters_is_renewed_once(salt: bytes) -> None:
    passwords = Passwords(memory_kib=8, iterations=1)
    old = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1).hash("correct horse", salt=salt)
    assert Checked(matches=True, outdated=True) == await passwords.check("correct horse", old)
    renewed = await passwords.renew("correct horse", old)

    assert Checked(matches=True, outdated=False) == await passwords.check("correct horse", renewed)
    assert (salt_of(old) == salt_of(renewed)) == (len(salt) == 16)
    passwords.close()


async def test_what_is_no_hash_verifies_nothing() -> None:
    passwords = Passwords(memory_kib=8, iterations=1)

    assert not await passwords.verify("correct horse", "!")
    passwords.close()


async def test_a_user_without_a_password_matches_none_at_the_cost_of_one() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("correct horse")
    for _ in range(2):
        assert not await passwords.verify("!", NO_PASSWORD)
    taken = []
    for stored in (hashed, NO_PASSWORD):
        began = perf_counter()
        for _ in range(5):
            assert not await passwords.verify("correct house", stored)
        taken.append(perf_counter() - began)

    assert taken[0] / 3 < taken[1] < taken[0] * 3
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
