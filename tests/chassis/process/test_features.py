"""What a feature adds is held to the rules of the whole service."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.http import ApiRoute

from ..sample import SERVICE
from .command import Command


async def answer(_request: Request) -> Response:
    return Response()


def build(_core: Core) -> Parts:
    undeclared: Any = {"GET": answer}
    return Parts(routes=[ApiRoute("/careless", undeclared, name="careless")])


class Careless(Command):
    service = replace(SERVICE, features=(Feature(name="careless", build=build),))


def test_a_route_that_does_not_say_who_may_call_it_stops_the_start(folder: Path) -> None:
    with Careless(folder) as service:
        service.signalled_at = time.monotonic()

        assert 3 == service.exit_code(within_seconds=10)
        assert (
            "GET /careless has no access policy: write allow(POLICY, handler)"
            in service.line("start-up failed")["cause"]
        )
