"""What a signal costs the clients: runs of load through a balancer that notices late, and what became of each request.

Runs in the rendered project's environment. Thirty clients ask back to back, half of them over kept connections, half
over a new one for each request. Like a balancer that reads readiness seldom, they go on for LAG_SECONDS after SIGTERM,
within the drain delay. A request counts as dropped when its bytes were sent and no whole answer came, and as refused
when no connection was to be had. The environment configures the service; a header line for each request may be the
last argument. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter

CLIENTS = 30
MOST_RUNS = 60
BEFORE_SECONDS = 0.5
DRAIN_DELAY_SECONDS = 2.5
LAG_SECONDS = 2.0
LINES = ("GET /api/users HTTP/1.1", "host: 127.0.0.1")


class Balancer:
    """Sends requests until it is told that the service leaves, and *LAG_SECONDS* longer."""

    def __init__(self, port: int, header: str) -> None:
        self.port = port
        self.request = "\r\n".join([*LINES, *([header] if header else []), "", ""]).encode()
        self.ends = float("inf")
        self.signalled = False
        self.outcomes: Counter[str] = Counter()

    async def client(self, *, keep_alive: bool) -> None:
        """One client, which asks as soon as it is answered."""
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < self.ends:
            if streams is None or streams[0].at_eof():
                streams = await self._connected()
            if streams is not None and not await self._asked(*streams, keep_alive=keep_alive):
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            self.outcomes["refused"] += 1
            await asyncio.sleep(0.05)
            return None

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep_alive: bool) -> bool:
        """Ask once; whether the connection can be used again."""
        try:
            writer.write(self.request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.outcomes["dropped"] += 1
            return False
        whole = "answered after the signal" if self.signalled else "answered before"
        self.outcomes[whole if b" 200 " in head.split(b"\r")[0] else "failed"] += 1
        return keep_alive and b"connection: close" not in head


async def readiness_flip_seconds(port: int) -> float:
    """Seconds until readiness answers 503."""
    started = time.monotonic()
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        status = (await reader.readline()).split()[1]
        writer.close()
        if status == b"503":
            return time.monotonic() - started


async def one_run(package: str, header: str) -> tuple[Counter[str], float, float, int]:
    """Outcomes, seconds to the flip, seconds to the exit, exit code."""
    environment = {**os.environ, "PORT": "0", "DRAIN_DELAY_SECONDS": str(DRAIN_DELAY_SECONDS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", package, "serve", env=environment, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    port = 0
    while not port:
        line = json.loads(await process.stdout.readline())
        port = line["port"] if line["event"] == "listening" else 0
    reading = asyncio.get_running_loop().create_task(process.stdout.read())
    balancer = Balancer(port, header)
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(balancer.client(keep_alive=number % 2 == 0))
        await asyncio.sleep(BEFORE_SECONDS)
        process.send_signal(signal.SIGTERM)
        signalled_at = time.monotonic()
        balancer.signalled, balancer.ends = True, signalled_at + LAG_SECONDS
        flip = await readiness_flip_seconds(port)
    code = await process.wait()
    exit_seconds = time.monotonic() - signalled_at
    await reading
    return balancer.outcomes, flip, exit_seconds, code


async def main(package: str, runs: int, requests: int, header: str = "") -> None:
    """Add up runs until there were *runs* of them and *requests* were answered after a signal; at most MOST_RUNS."""
    outcomes: Counter[str] = Counter()
    flips, exits, codes = [], [], set()
    while len(exits) < MOST_RUNS and (len(exits) < runs or outcomes["answered after the signal"] < requests):
        counted, flip, exit_seconds, code = await one_run(package, header)
        outcomes += counted
        flips.append(flip)
        exits.append(exit_seconds)
        codes.add(code)
    print(
        json.dumps(
            {
                "runs": len(exits),
                "lag_seconds": LAG_SECONDS,
                "drain_delay_seconds": DRAIN_DELAY_SECONDS,
                **{name: outcomes[name] for name in ("answered after the signal", "dropped", "refused", "failed")},
                "slowest_flip_ms": max(flips) * 1000,
                "slowest_exit_s": max(exits),
                "codes": sorted(codes),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
