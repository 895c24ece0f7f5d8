"""A service with commands that go on until a signal, or should."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from dataclasses import replace

from acme_service.chassis import Command, Core, Feature, Parts

from .. import sample


async def patient(core: Core, _options: argparse.Namespace) -> int:
    with core.lifecycle.unfinished():
        await core.lifecycle.wait_until_draining()
        await asyncio.sleep(0.5)
    return 0


async def failing(_core: Core, _options: argparse.Namespace) -> int:
    await asyncio.sleep(0.1)
    raise ZeroDivisionError


async def giving_up(_core: Core, _options: argparse.Namespace) -> int:
    return 4


async def deaf(_core: Core, _options: argparse.Namespace) -> int:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


RUNS = {"patient": patient, "failing": failing, "giving-up": giving_up, "deaf": deaf}
COMMANDS = [Command(name=name, purpose="go on", run=run, long_running=True) for name, run in RUNS.items()]
LONG = Feature(name="long", build=lambda _core: Parts(), commands=COMMANDS)
SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, LONG))
