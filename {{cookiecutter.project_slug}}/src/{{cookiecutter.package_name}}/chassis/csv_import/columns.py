"""Columns, and what cleans and checks the values of one: a batch at a time, because a call a value is too slow.

An ordinary value is checked by one regular expression for the whole batch; only what that leaves is given to the full
rule, which is the one of the service's requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from ..shapes.credentials import Email, Name

Cleaned = tuple[list[Any], dict[int, str]]
"""The value of each text, None for one that is wrong, and what is wrong with it by index."""


class Kind(Protocol):
    """What the values of a column are."""

    def clean(self, texts: Sequence[str]) -> Cleaned: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: the *name* of its header, or one of *aliases*, in any letter case."""

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    required: bool = True
    """Whether a file must have it."""
    unique: bool = False
    """Whether a later record with the same value is rejected."""

    def accepted_names(self) -> tuple[str, ...]:
        """The names that a header may give it."""
        return (self.name, *self.aliases)


class Text:
    """Texts of the pydantic type *kind*, without the white space at their ends."""

    def __init__(self, kind: Any, *, ordinary: str, fold: Callable[[str], str] = str.strip) -> None:
        r"""*ordinary* is a pattern of folded texts that *kind* returns as they are; it matches no "\n"."""
        self._ordinary = re.compile(ordinary)
        self._all = re.compile(rf"(?:{ordinary}\n)*+")
        self._fold = fold
        self._rule: TypeAdapter[str] = TypeAdapter(kind)

    def clean(self, texts: Sequence[str]) -> Cleaned:
        folded: list[Any] = list(map(self._fold, texts))
        joined = "\n".join(folded) + "\n"
        if joined.count("\n") == len(folded) and self._all.fullmatch(joined):
            return folded, {}
        problems: dict[int, str] = {}
        ordinary = self._ordinary.fullmatch
        for index, text in enumerate(folded):
            if not ordinary(text):
                try:
                    folded[index] = self._rule.validate_python(texts[index].strip())
                except ValidationError as error:
                    folded[index] = None
                    problems[index] = _reason(error) if text else "is empty"
        return folded, problems


def _reason(error: ValidationError) -> str:
    """Pydantic's words about texts, which would call them strings."""
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "string_too_long":
        return f"has more than {problem['ctx']['max_length']} characters"
    return str(problem["msg"])


def _lower(text: str) -> str:
    return text.strip().lower()


NAME = Text(Name, ordinary=r"[!-~\u00c0-\u024f][ -~\u00c0-\u024f]{0,99}+")
"""Names of people: the ordinary ones are in Latin letters."""

EMAIL = Text(
    Email,
    ordinary=r"(?=[^\n]{3,63}(?:\n|\Z))[a-z0-9_+-]++(?:\.[a-z0-9_+-]++)*+@"
    r"(?:[a-z0-9]++(?:-[a-z0-9]++)*+\.)+[a-z][a-z0-9]*+",
    fold=_lower,
)
"""Addresses as `canonical_email` writes them; in the ordinary ones no part can be too long."""


class Moments:
    """Dates and times of ISO 8601, as aware times in UTC; a date is its first moment, and one without a zone is UTC.

    An empty text is None: a moment that the file does not say. One after *latest* is wrong.
    """

    _WRONG = "is no date or time of ISO 8601, as 2024-05-31 or 2024-05-31T14:30:00Z are"
    _FORM = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
    """Python reads more: weeks, and times without colons, which are rather a slip."""

    def __init__(self, *, latest: Callable[[], datetime] | None = None) -> None:
        self._latest = latest

    def clean(self, texts: Sequence[str]) -> Cleaned:
        values: dict[str, datetime | None] = {}
        wrong: dict[str, str] = {}
        latest = self._latest() if self._latest else None
        # Dates repeat: each is read once.
        for text in set(texts):
            try:
                values[text] = self._moment(text.strip(), latest)
            except ValueError as error:
                values[text], wrong[text] = None, str(error)
        problems = {index: wrong[text] for index, text in enumerate(texts) if text in wrong} if wrong else {}
        return [values[text] for text in texts], problems

    def _moment(self, text: str, latest: datetime | None) -> datetime | None:
        if not text:
            return None
        if not self._FORM.fullmatch(text):
            raise ValueError(self._WRONG)
        try:
            read = datetime.fromisoformat(text)
            moment = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError(self._WRONG) from None
        if latest is not None and moment > latest:
            raise ValueError("lies in the future")
        return moment
