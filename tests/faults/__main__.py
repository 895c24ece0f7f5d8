"""`make faults`: plays the scenarios, a few at a time, and ends with 1 if a promise was broken.

A scenario that this machine cannot run is told of; where CI is set it counts as broken.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import scenarios
from .story import SCENARIOS, BrokenPromise, CannotRun, Scenario, Story
from .world import World, new_world

AT_ONCE = 6
"""They mostly wait."""
TRIED_AGAIN = 3
"""How often a scenario that broke beside others has to hold alone, and how many may need it."""
HELD, BROKEN, UNSTEADY, LEFT_OUT = "held", "BROKEN", "UNSTEADY: broke beside others, held alone", "LEFT OUT"


def play(scenario: Scenario, world: World) -> tuple[str, str]:
    """What became of *scenario*, and why."""
    story, started = Story(), time.monotonic()
    outcome = HELD
    try:
        with tempfile.TemporaryDirectory(prefix="f", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            scenario.play(world.at(Path(folder)), story)
    except CannotRun as error:
        outcome = LEFT_OUT
        story.lines.append(f"   CANNOT RUN HERE: {error}")
    except BrokenPromise as error:
        outcome = BROKEN
        story.lines.append(f"   BROKEN  {error}")
    except Exception:  # noqa: BLE001 - whatever stops a scenario is told with it
        outcome = BROKEN
        story.lines.append(traceback.format_exc())
    head = f"{scenario.name}: {scenario.promise} [{outcome}, {time.monotonic() - started:.1f} s]"
    print("\n".join([head, *story.lines]), flush=True)
    return scenario.name, outcome


def chosen(names: list[str], *, is_long: bool) -> list[Scenario]:
    """The scenarios of these *names*, else all; those that take long come first."""
    unknown = sorted(set(names) - SCENARIOS.keys())
    if unknown:
        sys.exit(f"no such scenario: {', '.join(unknown)}; there are {', '.join(sorted(SCENARIOS))}")
    if names:
        return [SCENARIOS[name] for name in names]
    fitting = [scenario for scenario in SCENARIOS.values() if is_long or not scenario.is_long]
    return sorted(fitting, key=lambda scenario: not (scenario.is_patient or scenario.is_long))


def main() -> int:
    """Play what the command line chooses, and print what became of it."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="the scenarios to play; all if none is named")
    parser.add_argument("--long", action="store_true", help="also those that take minutes")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    options = parser.parse_args()
    scenarios.load()
    if options.list:
        print("\n".join(f"{name}: {scenario.promise}" for name, scenario in SCENARIOS.items()))
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    started = time.monotonic()
    with new_world() as world, ThreadPoolExecutor(AT_ONCE) as players:
        outcomes = dict(players.map(lambda each: play(each, world), chosen(options.names, is_long=options.long)))
        outcomes |= _alone(outcomes, world)
    return _verdict(outcomes, time.monotonic() - started)


def _alone(outcomes: dict[str, str], world: World) -> dict[str, str]:
    """What becomes of the scenarios that broke, each alone: no bound of time is for six at once on any machine."""
    broken = [SCENARIOS[name] for name, outcome in outcomes.items() if outcome == BROKEN]
    if len(outcomes) == 1 or len(broken) > TRIED_AGAIN:
        return {}
    tries = {each.name: [play(each, world)[1] for _ in range(TRIED_AGAIN)] for each in broken}
    return {name: UNSTEADY if set(outcome) == {HELD} else BROKEN for name, outcome in tries.items()}


def _verdict(outcomes: dict[str, str], seconds: float) -> int:
    named = {
        kind: [name for name, outcome in outcomes.items() if outcome == kind] for kind in (BROKEN, UNSTEADY, LEFT_OUT)
    }
    for kind, names in named.items():
        if names:
            print(f"{kind}: {', '.join(names)}")
    held = len(outcomes) - len(named[BROKEN]) - len(named[LEFT_OUT])
    print(f"{held} of {len(outcomes)} scenarios held in {seconds:.0f} s")
    return int(bool(named[BROKEN] or (named[LEFT_OUT] and os.environ.get("CI"))))


if __name__ == "__main__":
    sys.exit(main())
