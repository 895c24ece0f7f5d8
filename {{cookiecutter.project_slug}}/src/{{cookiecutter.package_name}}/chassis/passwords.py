"""Password hashes: Argon2id in a bounded pool of threads, so that hashing never stops the event loop."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import get_native_id
from typing import TYPE_CHECKING, TypeVar
from unicodedata import normalize

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

HASHING_NICE = 10
NO_PASSWORD = "!"  # noqa: S105 - it is none
"""In place of the hash of a user who has no password: nothing matches it, and the comparison takes as long."""

Result = TypeVar("Result")

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 4 * 1024 * 1024
"""Less than the memory of any cost that the cheat sheet below accepts."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a comparison."""

    matches: bool
    outdated: bool
    """The hash matches, and `renew` would make another one: of the composed password, or with other parameters."""


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
        self._decoy = ""

    async def hash(self, password: str) -> str:
        """The hash to store, in the PHC format that names its own parameters.

        Of *password* composed (NFC), because keyboards differ in how they type an accent (RFC 8265, section 4.2.2).
        """
        return await self._in_thread(lambda: self._hasher.hash(normalize("NFC", password)))

    async def verify(self, password: str, hashed: str) -> bool:
        """Whether *hashed* was made from *password*."""
        return (await self.check(password, hashed)).matches

    async def check(self, password: str, hashed: str) -> Checked:
        """Compare *password*, composed or, as before that was done, as it is given, with *hashed*.

        It takes twice as long where the two differ and the first is wrong, whatever *hashed* is.
        """
        return await self._in_thread(lambda: self._check(password, hashed))

    async def renew(self, password: str, hashed: str) -> str:
        """The hash to store in place of an outdated *hashed*, which *password* matches; with the same salt."""
        salt = salt_of(hashed)
        kept = b64decode(salt + "=" * (-len(salt) % 4))
        composed = normalize("NFC", password)
        same = kept if len(kept) == self._hasher.salt_len else None  # one of another length would be outdated for ever
        return await self._in_thread(lambda: self._hasher.hash(composed, salt=same))

    def _check(self, password: str, hashed: str) -> Checked:
        composed = normalize("NFC", password)
        if not self._decoy:  # made by whatever comes first: its time tells nothing
            self._decoy = self._hasher.hash(secrets.token_urlsafe(16))
        if hashed == NO_PASSWORD:
            hashed = self._decoy
        if self._verified(composed, hashed):
            return Checked(matches=True, outdated=self._hasher.check_needs_rehash(hashed))
        matches = composed != password and self._verified(password, hashed)
        return Checked(matches=matches, outdated=matches)

    def _verified(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

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


def salt_of(hashed: str) -> str:
    """The salt of a hash: another one for each password that is set, the same when a hash is renewed."""
    return hashed.rpartition("$")[0].rpartition("$")[2] or hashed


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
