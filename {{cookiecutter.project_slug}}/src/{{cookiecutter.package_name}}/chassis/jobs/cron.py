"""Times in the five fields of crontab(5), in UTC: minute, hour, day of the month, month, day of the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import ConfigurationError

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MACROS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_SUNDAY = 7


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes that one expression names."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Where neither kind of day is `*`, one of them is enough, as in crontab(5)."""

    def latest(self, now: datetime, within: timedelta) -> datetime | None:
        """The last minute up to *now*, not before *within*, that it names."""
        moment = now.replace(second=0, microsecond=0)
        while now - moment <= within:
            if self._names(moment):
                return moment
            moment -= timedelta(minutes=1)
        return None

    def _names(self, moment: datetime) -> bool:
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        of_day = (day or weekday) if self.either_day else (day and weekday)
        return of_day and moment.minute in self.minutes and moment.hour in self.hours and moment.month in self.months


def parse(expression: str) -> Cron:
    """The times of *expression*; raises ConfigurationError, which quotes it."""
    fields = _MACROS.get(expression, expression).split()
    if len(fields) != len(_RANGES):
        raise _refusal(expression, f"it has {len(fields)} fields")
    try:
        minutes, hours, days, months, weekdays = (
            frozenset(_numbers(field, *bounds)) for field, bounds in zip(fields, _RANGES, strict=True)
        )
    except ValueError as error:
        raise _refusal(expression, str(error)) from None
    weekdays = frozenset(day % _SUNDAY for day in weekdays)
    return Cron(minutes, hours, days, months, weekdays, either_day="*" not in {fields[2][0], fields[4][0]})


def _refusal(expression: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the schedule {expression!r} is not one of cron ({reason}): write five fields of numbers, lists, ranges and "
        "steps, such as '*/15 8-17 * * 1-5'"
    )


def _numbers(field: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        low, high = (least, most) if span == "*" else (int(first), int(last or (most if step else first)))
        if not least <= low <= high <= most or (step and int(step) < 1):
            raise ValueError(f"{part!r} is outside of {least}-{most}")
        found.update(range(low, high + 1, int(step or 1)))
    return found
