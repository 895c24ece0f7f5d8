"""Clients that ask back to back in threads, and what became of each request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import httpx2

from .world import new_client

Ask = Callable[[httpx2.Client, int], httpx2.Response]
"""Sends one request, given its number among those of its client."""


@dataclass(frozen=True)
class Outcome:
    """Of one request: its status, or 0 and what stood in its way."""

    at: float
    seconds: float
    status: int
    retry_after: str | None = None
    error: str = ""

    @property
    def is_told(self) -> bool:
        """Whether it succeeded, or was rejected with a time to come back."""
        return (self.status < 400 and self.status > 0) or (self.status == 503 and self.retry_after is not None)


class Load:
    """*clients* that send what *ask* sends, from entering to leaving; each starts when the one before it has ended."""

    def __init__(self, url: str, ask: Ask, *, token: str = "", clients: int = 4, pause: float = 0.0) -> None:
        self._url, self._ask, self._token, self._pause = url, ask, token, pause
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(clients)]
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self) -> None:
        with new_client(self._url, self._token) as client:
            number = 0
            while not self._ending.is_set():
                self.outcomes.append(self._one(client, number))
                number += 1
                time.sleep(self._pause)

    def _one(self, client: httpx2.Client, number: int) -> Outcome:
        started = time.monotonic()
        try:
            response = self._ask(client, number)
        except httpx2.HTTPError as error:
            return Outcome(started, time.monotonic() - started, 0, error=f"{type(error).__name__}: {error}")
        took = time.monotonic() - started
        reason = f"{response.status_code}: {response.text[:200]}" if response.is_error else ""
        return Outcome(started, took, response.status_code, response.headers.get("retry-after"), reason)

    def statuses(self) -> Counter[int | str]:
        return Counter(outcome.status or outcome.error for outcome in self.outcomes)

    def failures(self) -> Counter[str]:
        return Counter(outcome.error for outcome in self.outcomes if outcome.error)

    def successes_since(self, moment: float) -> int:
        return sum(1 for outcome in self.outcomes if outcome.at >= moment and 0 < outcome.status < 400)

    def not_told(self) -> list[Outcome]:
        """Those that got neither a success nor a 503 with Retry-After."""
        return [outcome for outcome in self.outcomes if not outcome.is_told]

    @property
    def slowest_seconds(self) -> float:
        return max((outcome.seconds for outcome in self.outcomes), default=0.0)


def list_users(client: httpx2.Client, _number: int) -> httpx2.Response:
    return client.get("/api/users?limit=5")
