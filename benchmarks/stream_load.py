"""Streams of completions, several at a time, for a number of them; the tokens a second that came, and the streams."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time


async def stream(port: int, header: str) -> int:
    """The tokens of one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"message":"Say something."}'
    lines = [
        "POST /api/ai/chat HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *([header] if header else []),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    text = await reader.read()
    writer.close()
    if b"event: error" in text or not text.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"no completion: {text[-500:]!r}")
    return text.count(b"event: token")


async def main(port: int, header: str, *, streams: int, parallel: int) -> None:
    """Print the figures as JSON."""
    free = asyncio.Semaphore(parallel)

    async def one() -> int:
        async with free:
            return await stream(port, header)

    await one()
    started = time.perf_counter()
    tokens = sum(await asyncio.gather(*(one() for _ in range(streams))))
    seconds = time.perf_counter() - started
    print(json.dumps({"tokens": tokens, "tokens_per_second": tokens / seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--header", default="")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--cpu", type=int, required=True)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.cpu})
    asyncio.run(main(options.port, options.header, streams=options.streams, parallel=options.parallel))
