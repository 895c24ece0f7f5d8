"""How long a request holds the event loop's thread: the longest of the callbacks that the loop runs meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from asyncio.events import Handle
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from starlette.types import ASGIApp, Message

MOST_MS = 20.0
RUNS = 5
PIECE_BYTES = 65_536


@contextmanager
def measured() -> Iterator[list[float]]:
    """The milliseconds of the thread in each callback of the loop, by `time.thread_time`: others' load does not count.

    asyncio's own loop calls `_run` of each of its handles; no other loop does. What was there before is kept from the
    garbage collector meanwhile: to look through all that the tests have made takes longer than what is measured.
    """
    found: list[float] = []
    original = Handle._run  # noqa: SLF001 - the loop has no other place to look from

    def run(handle: Handle) -> None:
        started = time.thread_time()
        original(handle)
        found.append((time.thread_time() - started) * 1000)

    gc.freeze()
    Handle._run = run  # type: ignore[method-assign, assignment]  # noqa: SLF001 - as above
    try:
        yield found
    finally:
        gc.unfreeze()
        Handle._run = original  # type: ignore[method-assign]  # noqa: SLF001 - as above


async def request_ms(app: ASGIApp, scope: dict[str, Any], body: bytes = b"") -> tuple[float, int]:
    """The longest callback while *app* serves a request, and the status; the body comes in pieces, as from a socket."""
    pieces = [body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES)] or [b""]
    waiting: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting[-1]["more_body"] = False
    status = 0

    async def receive() -> Message:
        await asyncio.sleep(0)
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    with measured() as found:
        await asyncio.get_running_loop().create_task(app({**ORDINARY, **scope}, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
    return max(found), status


async def usual_ms(measure: Callable[[], Awaitable[float]]) -> float:
    """What *measure* finds the first time if that is good, and else the median of five times."""
    if (first := await measure()) <= MOST_MS:
        return first
    return median([first, *[await measure() for _ in range(RUNS - 1)]])


async def median_ms(app: ASGIApp, scope: dict[str, Any], body: bytes = b"") -> tuple[float, int]:
    """As `request_ms`, by `usual_ms`."""
    statuses = set[int]()

    async def measure() -> float:
        longest, status = await request_ms(app, scope, body)
        statuses.add(status)
        return longest

    longest = await usual_ms(measure)
    (status,) = statuses
    return longest, status


ORDINARY: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


def post(path: str, body: bytes, content_type: bytes = b"application/json", **scope: Any) -> dict[str, Any]:
    """The scope of a POST of *body*."""
    headers = [(b"host", b"localhost"), (b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    return {"method": "POST", "path": path, "headers": headers, **scope}
