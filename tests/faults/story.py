"""Scenarios, and what they tell: what each did, and what held."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from .world import World


class BrokenPromise(Exception):
    """What the service promises did not hold."""


class CannotRun(Exception):
    """This machine lacks what a scenario needs; the message names it."""


@dataclass
class Story:
    """The lines that a scenario writes; they are printed together when it ends."""

    lines: list[str] = field(default_factory=list)

    def did(self, what: str) -> None:
        self.lines.append(f"   did   {what}")

    def holds(self, condition: object, what: str) -> None:
        """Write *what* down as held. Raises BrokenPromise with it if *condition* is false."""
        if not condition:
            raise BrokenPromise(what)
        self.lines.append(f"   held  {what}")

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for *condition* at most *seconds*, write *what* down, and return how long it took."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > seconds:
                raise BrokenPromise(f"{what}: not within {seconds:g} s")
            time.sleep(0.02)
        taken = time.monotonic() - started
        self.lines.append(f"   held  {what}: after {taken:.2f} s, allowed {seconds:g} s")
        return taken


@dataclass(frozen=True)
class Scenario:
    """A function, and what it tries."""

    name: str
    play: Callable[[World, Story], None]
    is_long: bool = False
    """Whether it takes minutes, and so belongs to the long form alone."""
    is_patient: bool = False
    """Whether it waits for half a minute, and so begins before the others."""

    @property
    def promise(self) -> str:
        return " ".join((self.play.__doc__ or "").partition("\n\n")[0].split())


SCENARIOS: dict[str, Scenario] = {}


Play = Callable[["World", Story], None]


def scenario(play: Play) -> Play:
    """List *play* as a scenario of its own name; its docstring is the promise."""
    return _listed(play)


def long_scenario(play: Play) -> Play:
    """As `scenario`, for `LONG=1` alone."""
    return _listed(play, is_long=True)


def patient_scenario(play: Play) -> Play:
    """As `scenario`, for one that waits for half a minute."""
    return _listed(play, is_patient=True)


def _listed(play: Play, *, is_long: bool = False, is_patient: bool = False) -> Play:
    name = play.__name__.replace("_", "-")
    SCENARIOS[name] = Scenario(name, play, is_long, is_patient)
    return play


def cannot_run(reason: str) -> NoReturn:
    raise CannotRun(reason)
