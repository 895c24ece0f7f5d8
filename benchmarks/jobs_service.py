"""The service of a rendered project with one job more, and a command that sends it: for `jobs.py` alone.

BENCH_PACKAGE is the project's package; each run of the job adds a line to the file BENCH_RUNS: when it was sent, when
it began, and when it ended, in seconds since the epoch.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PACKAGE = os.environ["BENCH_PACKAGE"]
chassis = importlib.import_module(f"{PACKAGE}.chassis")
jobs = importlib.import_module(f"{PACKAGE}.chassis.jobs")
rendered = importlib.import_module(f"{PACKAGE}.app").SERVICE


class Work(BaseModel):
    """When it was sent, and how long it takes."""

    sent: float = 0.0
    seconds: float = 0.0


async def work(run: Any) -> None:
    """Wait, and write it down."""
    began = time.time()
    await asyncio.sleep(run.payload.seconds)
    with Path(os.environ["BENCH_RUNS"]).open("a") as file:  # noqa: ASYNC230 - a line
        file.write(f"{run.payload.sent} {began} {time.time()}\n")


JOB = jobs.Job(name="bench", payload=Work, run=work)


def build(core: Any) -> Any:
    """Declare the job."""
    core.get(jobs.Jobs).add(JOB)
    return chassis.Parts()


def configure(parser: argparse.ArgumentParser) -> None:
    """How many, how long each takes, and how long to wait between two."""
    parser.add_argument("count", type=int)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--pause", type=float, default=0.0)


async def send(core: Any, options: argparse.Namespace) -> int:
    """Send them one by one, each in a transaction of its own."""
    for _ in range(options.count):
        await core.get(jobs.Jobs).send(JOB, Work(sent=time.time(), seconds=options.seconds))
        await asyncio.sleep(options.pause)
    return 0


SEND = chassis.Command(name="send", purpose="send jobs", arguments="1000", configure=configure, run=send)
SERVICE = replace(rendered, features=(*rendered.features, chassis.Feature(name="bench", build=build, commands=(SEND,))))
