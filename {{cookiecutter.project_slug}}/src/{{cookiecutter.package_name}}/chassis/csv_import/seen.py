"""Which keys a file had before, and at which line; in 12 to 40 bytes each, whatever their length."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_FIRST_SLOTS = 1 << 14
_FULLEST = 0.6


class SeenKeys:
    """A hash table of open addressing, of the keys' 64 bit hashes: a dict of integers would take 110 bytes a key.

    Two keys are taken for one if `hash` returns the same for both. For a million keys the odds are 1 in 36 million,
    and no file can be made for it, because Python's hash of a text has a secret seed in each process.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allocate(_FIRST_SLOTS)

    def _allocate(self, slots: int) -> None:
        self._mask = slots - 1
        self._hashes = array("q", bytes(8 * slots))
        self._lines = array("I", bytes(4 * slots))
        """0 where nothing is."""

    def add(self, keys: Sequence[str | None], lines: Sequence[int]) -> dict[int, int]:
        """Note each key with its line; the index of each that was there already, and the line of the first one.

        None is no key.
        """
        while self._count + len(keys) > _FULLEST * (self._mask + 1):
            self._grow()
        earlier: dict[int, int] = {}
        mask, hashes, firsts = self._mask, self._hashes, self._lines
        for index, hashed in enumerate(map(hash, keys)):
            slot = hashed & mask
            while firsts[slot] and hashes[slot] != hashed:
                slot = (slot + 1) & mask
            if keys[index] is None:
                continue
            if firsts[slot]:
                earlier[index] = firsts[slot]
            else:
                hashes[slot], firsts[slot] = hashed, lines[index]
        self._count += len(keys) - len(earlier)
        return earlier

    def _grow(self) -> None:
        old = zip(self._hashes, self._lines, strict=True)
        self._allocate(2 * (self._mask + 1))
        mask, hashes, firsts = self._mask, self._hashes, self._lines
        for hashed, line in old:
            if line:
                slot = hashed & mask
                while firsts[slot]:
                    slot = (slot + 1) & mask
                hashes[slot], firsts[slot] = hashed, line
