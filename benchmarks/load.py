"""A closed-loop HTTP/1.1 load: so many connections, each asks again as soon as it is answered.

Runs in the rendered project's environment (it needs uvloop) and prints one JSON object: requests per second, and the
50th and 99th percentile of the latency in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

import uvloop


class Connection(asyncio.Protocol):
    """Sends *request* over and over; every answer must have the status 200 and a Content-Length."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self.request = request
        self.latencies = latencies
        self.buffer = b""
        self.running = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.request)

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
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"not a 200: {self.buffer[:200]!r}")
        self.buffer = b""
        self.latencies.append(time.perf_counter() - self.sent_at)
        if self.running:
            self.ask()


async def load(host: str, port: int, request: bytes, *, connections: int, seconds: float) -> dict[str, float]:
    """Load the server for *seconds*; requests of the first tenth are not counted."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(request, latencies), host, port) for _ in range(connections)
    ]
    await asyncio.sleep(seconds / 10)
    latencies.clear()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    counted = sorted(latencies)
    for transport, connection in opened:
        connection.running = False
        transport.close()
    return {
        "requests_per_second": len(counted) / elapsed,
        "p50_ms": counted[len(counted) // 2] * 1000,
        "p99_ms": counted[len(counted) * 99 // 100] * 1000,
    }


def request_of(path: str, host: str, header: str) -> bytes:
    """The bytes of a GET with one *header* line more, if there is one."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", "user-agent: load", "accept: */*", *([header] if header else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def main() -> None:
    """Parse the arguments, take the given processor, load, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--header", default="", help="a line more, as in 'authorization: Bearer ...'")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--cpu", type=int)
    options = parser.parse_args()
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    host = "127.0.0.1"
    request = request_of(options.path, host, options.header)
    figures = uvloop.run(load(host, options.port, request, connections=options.connections, seconds=options.seconds))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
