"""How the command line is made of commands."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

import pytest

from acme_service.chassis import Command, Core, Feature, Parts, run

from ..sample import SERVICE


async def do_nothing(_core: Core, _options: Namespace) -> int:
    return 0


def printed(capsys: pytest.CaptureFixture[str], names: list[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a service with commands called *names*, and what it says."""
    commands = [Command(name=name, purpose=f"do {name}", run=do_nothing) for name in names]
    feature = Feature(name="own", build=lambda _core: Parts(), commands=commands)
    try:
        code = run(replace(SERVICE, features=(feature,)), arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    output = capsys.readouterr()
    return code, output.out + output.err


def test_a_name_of_two_words_makes_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["users import", "users export"]

    code, listed = printed(capsys, names, "users", "--help")
    assert 0 == code
    assert "do users import" in listed
    assert "do users export" in listed
    assert f"example: {SERVICE.name} users export" in printed(capsys, names, "users", "export", "--help")[1]
    assert 2 == printed(capsys, names, "users")[0]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["users import", "users import"], "the command 'users import' of the feature 'own' is there: rename it"),
        (["users", "users import"], "'users' is a command and cannot be the first word of others: rename one"),
        (["serve import"], "'serve' is a command and cannot be the first word of others: rename one"),
        (["users import", "users"], "the command 'users' of the feature 'own' is there: rename it"),
    ],
)
def test_a_name_that_is_taken_stops_every_command(
    capsys: pytest.CaptureFixture[str], names: list[str], problem: str
) -> None:
    code, said = printed(capsys, names, "routes")

    assert 3 == code
    assert problem in said
