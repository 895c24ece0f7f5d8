"""The commands of jobs: run them in a process of their own, list them, and send dead letters again."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .. import exit_codes
from ..service import Command

if TYPE_CHECKING:
    from ..service import Core

STATES = ("queued", "running", "done", "failed", "cancelled")
_MOST_LISTED = 100_000
_MISUSED = 2
"""As argparse ends a command line that it does not understand."""


async def _work(core: Core, _options: argparse.Namespace) -> int:
    from .jobs import Jobs  # noqa: PLC0415 - every command line lists the commands, and few run one

    await core.get(Jobs).work()
    return exit_codes.CLEAN


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", choices=STATES, help="only these; `failed` are the dead letters")
    parser.add_argument("--limit", type=_positive, default=100, help="the newest so many (default: 100)")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json prints one object a line")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_LISTED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_LISTED}")
    return int(text)


async def _list(core: Core, options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415 - as above

    from .jobs import Jobs  # noqa: PLC0415 - as above

    for row in await core.get(Jobs).store.listing(options.state, options.limit):
        if options.format == "json":
            sys.stdout.write(json.dumps(row._asdict(), default=lambda moment: moment.isoformat()) + "\n")
        else:
            text = (row.error or "").partition("\n")[0]
            sys.stdout.write(f"{row.id}  {row.state:<9}  {row.attempt:>3}  {row.name:<24}  {text}".rstrip() + "\n")
    return exit_codes.CLEAN


def _configure_retry(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="of one dead letter")
    which.add_argument("--all", action="store_true", help="every dead letter")


async def _retry(core: Core, options: argparse.Namespace) -> int:
    from .jobs import Jobs  # noqa: PLC0415 - as above

    sent = await core.get(Jobs).send_again(options.id)
    if options.id is not None and not sent:
        sys.stderr.write(f"no dead letter has the id {options.id!r}: `jobs list --state failed` lists them\n")
        return _MISUSED
    sys.stdout.write("".join(f"{job_id}\n" for job_id in sent))
    return exit_codes.CLEAN


COMMANDS = (
    Command(name="worker", purpose="run background jobs until a signal comes", run=_work, long_running=True),
    Command(
        name="jobs list",
        purpose="list background jobs, the newest first",
        arguments="--state failed",
        configure=_configure_list,
        run=_list,
    ),
    Command(
        name="jobs retry",
        purpose="send background jobs again that are dead letters",
        arguments="--all",
        configure=_configure_retry,
        run=_retry,
    ),
)
"""For the feature that declares the jobs."""
