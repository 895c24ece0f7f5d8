"""What the pre-wired parts cost one request in process, beside the same route on bare Starlette; in microseconds.

Runs in the rendered project's environment, takes its package name and the rounds, and prints one JSON object. Both
applications are called with the same scope, turn and turn about.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import bare_starlette
import uvloop
from application import build, microseconds

HEADERS = [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip")]


async def compare(service: Any, rounds: int) -> dict[str, float]:
    """Medians of both sides over alternating *rounds*."""
    figures: dict[str, list[float]] = {"service": [], "bare": []}
    for _ in range(rounds):
        figures["service"].append(await microseconds(service, "/", HEADERS))
        figures["bare"].append(await microseconds(bare_starlette.app, "/", HEADERS))
    return {side: statistics.median(values) for side, values in figures.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(uvloop.run(compare(build(sys.argv[1], Path(temporary)), int(sys.argv[2])))))
