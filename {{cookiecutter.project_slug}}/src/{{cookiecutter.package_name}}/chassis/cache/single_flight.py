"""One load for all who ask for the same thing at the same time. It stores nothing and knows no cache."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class _Abandoned(Exception):
    """The task that ran the load was cancelled; one of its waiters has to run it."""


class Flight(Generic[T]):
    """One load under way, and those who wait for it."""

    __slots__ = ("_error", "_landed", "_value", "_waiters", "outdated", "token")

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.outdated = False
        """True once what is being loaded may have changed: the result goes to those who wait, and is not kept."""
        self._landed = False
        self._value: T | None = None
        self._error: Exception | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def land(self, value: T | None, error: Exception | None = None) -> None:
        """Give the waiters *value*, or raise *error* in each; only the first call counts."""
        if self._landed:
            return
        self._landed, self._value, self._error = True, value, error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def outcome(self) -> T:
        """The result, once it is there; each waiter has a future of its own, so that it is cancelled alone."""
        if not self._landed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class SingleFlight(Generic[T]):
    """Concurrent calls for one key share one load; the cancellation of one call reaches no other.

    It starts no task: the first caller runs the load, and if that one is cancelled, the next takes it over.
    """

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T]] = {}

    def has(self, key: str, token: bytes) -> bool:
        """Whether a load for *key* with this *token* is under way."""
        flight = self._flights.get(key)
        return flight is not None and flight.token == token

    def detach(self, key: str) -> None:
        """Let no later call share the load under way for *key*, and mark its result as outdated."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.outdated = True

    async def run(self, key: str, load: Callable[[Flight[T]], Awaitable[T]], *, token: bytes = b"") -> T:
        """What *load* returns, or raises: our own, or that of the flight for *key* that has the same *token*.

        *load* may call `flight.land` to release the waiters before it has finished.
        """
        while (shared := self._flights.get(key)) is not None and shared.token == token:
            try:
                return await shared.outcome()
            except _Abandoned:
                continue
        flight: Flight[T] = Flight(token)
        self._flights[key] = flight
        try:
            value = await load(flight)
        except Exception as error:
            self._forget(key, flight)
            flight.land(None, error)
            raise
        except BaseException:
            self._forget(key, flight)
            flight.land(None, _Abandoned())
            raise
        self._forget(key, flight)
        flight.land(value)
        return value

    def _forget(self, key: str, flight: Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
