"""How quickly a service answers probes while so many people log in at the same time, over and over.

Runs in the environment of a rendered project, against its service on a port of this machine that has the feature
`auth` and no limits, and prints one JSON object: logins per second, and percentiles of `/health/live` in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import httpx2

PASSWORD = "correct horse battery"  # noqa: S105 (of an account that lives as long as the benchmark)


async def measure(address: str, *, parallel: int, seconds: float) -> dict[str, float]:
    """Let *parallel* people log in for *seconds*, and probe as often as a hundred times a second meanwhile."""
    limits = httpx2.Limits(max_connections=parallel + 5)
    async with httpx2.AsyncClient(base_url=address, timeout=30, limits=limits) as client:
        for number in range(parallel):
            body = {"name": "Ada", "email": f"ada{number}@example.com", "password": PASSWORD}
            (await client.post("/api/auth/register", json=body)).raise_for_status()
        ends = time.perf_counter() + seconds
        logins = asyncio.gather(*(_log_in(client, number, ends) for number in range(parallel)))
        probes = await _probe(client, ends)
        count = sum(await logins)
    probes.sort()
    return {
        "logins_per_second": count / seconds,
        "p50_ms": probes[len(probes) // 2] * 1000,
        "p99_ms": probes[int(len(probes) * 0.99)] * 1000,
    }


async def _log_in(client: httpx2.AsyncClient, number: int, ends: float) -> int:
    count = 0
    while time.perf_counter() < ends:
        body = {"email": f"ada{number}@example.com", "password": PASSWORD}
        (await client.post("/api/auth/login", json=body)).raise_for_status()
        count += 1
    return count


async def _probe(client: httpx2.AsyncClient, ends: float) -> list[float]:
    seconds = []
    while (started := time.perf_counter()) < ends:
        (await client.get("/health/live")).raise_for_status()
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(0.01)
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--parallel", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    figures = measure(f"http://127.0.0.1:{options.port}", parallel=options.parallel, seconds=options.seconds)
    print(json.dumps(asyncio.run(figures)))
