"""A closed-loop HTTP/1.1 load: so many connections, each asks again as soon as it is answered.

Runs in the rendered project's environment (it needs uvloop) and prints one JSON object: requests per second, and the
50th and 99th percentile of the latency in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop


class Connection(asyncio.Protocol):
    """Sends *requests* one by one; every answer must have the status 200 or 201 and a Content-Length."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self.requests = requests
        self.latencies = latencies
        self.buffer = b""
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        length_at = head.index(b"content-length: ") + len(b"content-length: ")
        length = int(head[length_at : (head.find(b"\r", length_at) + 1 or len(head) + 1) - 1])
        if len(self.buffer) < head_end + 4 + length:
            return
        if not self.buffer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise SystemExit(f"neither 200 nor 201: {self.buffer[:200]!r}")
        self.buffer = b""
        self.latencies.append(time.perf_counter() - self.sent_at)
        if self.running:
            self.ask()


async def load(
    host: str, port: int, requests: Iterator[bytes], *, connections: int, seconds: float
) -> dict[str, float]:
    """Load the server for *seconds*; requests of the first tenth are not counted."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(requests, latencies), host, port) for _ in range(connections)
    ]
    await asyncio.sleep(seconds / 10)
    warming = len(latencies)
    latencies.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    counted = sorted(latencies)
    for transport, connection in opened:
        connection.running = False
        transport.close()
    return {
        "requests": warming + len(counted),
        "requests_per_second": len(counted) / elapsed,
        "p50_ms": counted[len(counted) // 2] * 1000,
        "p99_ms": counted[len(counted) * 99 // 100] * 1000,
    }


def requests_of(  # noqa: PLR0913 (what the command line gives)
    path: str, host: str, header: str, *, ids: list[str], first: int, body: str
) -> Iterator[bytes]:
    """GETs, or POSTs of *body*, without end.

    `{id}` in *path* is each of *ids* in turn, from number *first* on; `{unique}` in *body* is new each time.
    """
    method = "POST" if body else "GET"
    lines = [f"{method} {{target}} HTTP/1.1", f"host: {host}", "user-agent: load", "accept: */*"]
    lines += [header] if header else []
    lines += ["content-type: application/json", "content-length: {length}"] if body else []
    head = "\r\n".join([*lines, "", ""])
    if not ids and not body:  # the same bytes each time, made once
        yield from itertools.repeat(head.replace("{target}", path).encode())
    run = secrets.token_hex(4)
    ids = ids or [""]
    start = first % len(ids)
    for number, item in enumerate(itertools.cycle(ids[start:] + ids[:start])):
        content = body.replace("{unique}", f"{run}{number}")
        target = head.replace("{target}", path.replace("{id}", item)).replace("{length}", str(len(content)))
        yield (target + content).encode()


def main() -> None:
    """Parse the arguments, take the given processor, load, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--header", default="", help="a line more, as in 'authorization: Bearer ...'")
    parser.add_argument("--ids", type=Path, help="a file with one id a line, for `{id}` in the path")
    parser.add_argument("--first", type=int, default=0, help="which of the ids to begin with")
    parser.add_argument("--body", default="", help="JSON to POST, with `{unique}` for what is new each time")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cpu", type=int)
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    host = "127.0.0.1"
    ids = options.ids.read_text().split() if options.ids else []
    requests = requests_of(options.path, host, options.header, ids=ids, first=options.first, body=options.body)
    figures = uvloop.run(load(host, options.port, requests, connections=options.connections, seconds=options.seconds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
