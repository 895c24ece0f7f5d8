"""Password hashes: Argon2id in a bounded pool of threads, so that hashing never stops the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import get_native_id
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

HASHING_NICE = 10

Result = TypeVar("Result")

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 4 * 1024 * 1024
"""Less than the memory of any cost that the cheat sheet below accepts."""


class Passwords:
    """Makes and checks hashes, *threads* at a time.

    The defaults are the floor of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, about 25 ms. Memory in
    use is at most *threads* times *memory_kib*, and none between hashes. With more than *max_waiting* callers in line
    it raises Unavailable instead of responding ever later.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19456,
        iterations: int = 2,
        parallelism: int = 1,
        threads: int = 2,
        max_waiting: int = 200,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=parallelism)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords", initializer=_prepare_thread)
        self._max_waiting = max_waiting
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash to store, in the PHC format that names its own parameters."""
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, password: str, hashed: str) -> bool:
        """Whether *hashed* was made from *password*."""

        def matches() -> bool:
            try:
                return self._hasher.verify(hashed, password)
            except (VerificationError, InvalidHashError):
                return False

        return await self._in_thread(matches)

    def close(self) -> None:
        """Forget who waits; a hash being made ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._max_waiting:
            raise Unavailable("Too many passwords are being checked. Try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _prepare_thread() -> None:
    _return_large_blocks_to_the_system()
    if sys.platform == "linux":
        # There a thread has a nice value of its own (setpriority(2)), and while it hashes, the event loop goes first.
        os.setpriority(os.PRIO_PROCESS, get_native_id(), HASHING_NICE)


def _return_large_blocks_to_the_system() -> None:
    """Have the GNU C library give up a hash's memory with the hash (mallopt(3)); with another one, do nothing.

    Left alone, it takes the first such block as a sign that more will come, and from then on each thread keeps one.
    The price is about 5 ms a hash: the system clears the memory that it hands out.
    """
    if "CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", {}):
        return
    import ctypes  # noqa: PLC0415 - paid for by the first hash

    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
