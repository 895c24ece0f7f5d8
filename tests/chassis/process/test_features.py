"""What a feature adds is held to the rules of the whole service."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from acme_service.chassis import Command as FeatureCommand
from acme_service.chassis import Core, Feature, Parts, run
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


async def nothing(_core: Core, _options: Namespace) -> int:
    return 0


@pytest.mark.parametrize("name", ["serve", "tidy"])
def test_a_command_is_not_called_as_another(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = FeatureCommand(name=name, purpose="do nothing", run=nothing)
    features = tuple(Feature(name=each, build=build, commands=(command,)) for each in ("one", "two"))

    assert 3 == run(replace(SERVICE, features=features), ["serve"])
    assert f"ConfigurationError: the command {name!r} of the feature" in capsys.readouterr().err
