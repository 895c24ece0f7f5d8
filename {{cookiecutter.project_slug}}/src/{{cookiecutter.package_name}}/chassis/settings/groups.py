"""A group of settings: what its variables are called, what they accept, and every problem of what was given.

This file owns the words of a rejection. It knows no variable; those are in `core.py`, and in the service's own groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .environment import DEFAULT, AppEnv, Environment, SettingProblem
from .values import Accepts, Generated, Insecure, quoted

_UNITS = {"SECONDS": " of seconds", "BYTES": " of bytes"}
"""The unit of a number, by the last word of its variable."""
_BOUNDS = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}
"""A bound of a number in words, by pydantic's name."""
_TEXT_BOUNDS = ("min_length", "max_length", "pattern")
"""Those of a text, by pydantic's names."""


class SettingsGroup(BaseModel):
    """Base of a group: one field per variable, whose `validation_alias` is its name and `description` its meaning."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )

    def warnings(self, app_env: AppEnv) -> Iterator[str]:  # noqa: ARG002 - for groups that have some
        """Yield what is allowed in *app_env* and probably not meant."""
        yield from ()

    @field_validator("*", mode="before")
    @classmethod
    def _reject_control_characters(cls, value: object, info: ValidationInfo) -> object:
        # A secret may have several lines; the kinds that may not check it themselves.
        secret = _is_secret(cls.model_fields[info.field_name or ""])
        if isinstance(value, str) and not value.isprintable() and not secret:
            raise ValueError(f"{quoted(value)} contains a control character or is not UTF-8")
        return value


class SettingsError(Exception):
    """The settings are missing, malformed or insecure; its text has one line per problem, then one per warning."""

    def __init__(self, problems: Iterable[SettingProblem], warnings: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join([*map(str, self.problems), *(f"warning: {warning}" for warning in self.warnings)]))


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a group, as an operator knows it."""

    name: str
    attribute: str
    accepted: str
    meaning: str
    secret: bool
    generated_bytes: int | None
    """How many random bytes `make` puts in its place in `.env`."""


G = TypeVar("G", bound=SettingsGroup)


def variables(group: type[SettingsGroup]) -> Iterator[Variable]:
    """Every variable of *group*, in the order in which it declares them; raises TypeError for one without a name."""
    for attribute, field in group.model_fields.items():
        if not isinstance(field.validation_alias, str):
            raise TypeError(f'{group.__name__}.{attribute} names no variable: write Field(validation_alias="...")')
        name, meaning = field.validation_alias, field.description or ""
        generated = next((part.byte_count for part in field.metadata if isinstance(part, Generated)), None)
        yield Variable(name, attribute, accepted(field), meaning, _is_secret(field), generated)


def read_group(group: type[G], environment: Environment) -> G | None:
    """Build *group* from what was given; None if that cannot be, after adding why to `environment.problems`."""
    known = list(variables(group))
    given = {v.name: environment.values[v.name].text for v in known if v.name in environment.values}
    try:
        return group.model_validate(given, context={"app_env": environment.app_env})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    # pydantic names a rejected value by its variable, and a rejected default by its attribute.
    by_place = {variable.name: variable for variable in known} | {variable.attribute: variable for variable in known}
    # A secret whose file cannot be read is rejected already; that it is missing as well is no news.
    rejected = {problem.variable.removesuffix("_FILE") for problem in environment.problems}
    for details in found:
        # A default that depends on another value is not worked out once any was rejected: no problem of its own.
        if details["type"] == "default_factory_not_called":
            continue
        variable = by_place[str(details["loc"][0])]
        if details["type"] == "missing" and variable.name in rejected:
            continue
        source = environment.values[variable.name].source if variable.name in given else DEFAULT
        message = _message(variable, details, given.get(variable.name, ""))
        environment.problems.append(SettingProblem(variable.name, message, source))
    return None


def accepted(field: FieldInfo) -> str:
    """What the variable of *field* accepts, for people."""
    parts = [*field.metadata, *_parts(field.annotation)]
    for part in parts:
        if isinstance(part, Accepts):
            return part.text
        if get_origin(part) is Literal:
            return f"one of {', '.join(map(str, get_args(part)))}"
        if isinstance(part, type) and issubclass(part, Enum):
            return f"one of {', '.join(str(member.value) for member in part)}"
    if bool in parts:
        return "true or false"
    if int in parts or float in parts:
        unit = _UNITS.get(str(field.validation_alias).rpartition("_")[2], "")
        return f"a {'whole ' if int in parts else ''}number{unit} {_bounds(field.metadata)}".rstrip()
    return "a path" if Path in parts else f"a text{_shape(field.metadata)}"


def _message(variable: Variable, details: ErrorDetails, text: str) -> str:
    expected = f"expected {variable.accepted}"
    if details["type"] == "missing":
        return f"missing; {expected}"
    reason = details.get("ctx", {}).get("error")
    if isinstance(reason, Insecure):
        return str(reason)
    if isinstance(reason, ValueError):
        return f"{reason}; {expected}"
    return expected if variable.secret else f"{expected}, got {quoted(text)}"


def _bounds(metadata: list[Any]) -> str:
    """What *metadata* says about a number: "from 1 to 5", "above 0 and up to 5", "below 5", or nothing."""
    bounds = {word: getattr(part, name) for part in metadata for name, word in _BOUNDS.items() if hasattr(part, name)}
    if bounds.keys() == {"from", "up to"}:
        return f"from {bounds['from']} to {bounds['up to']}"
    return " and ".join(f"{word} {bounds[word]}" for word in _BOUNDS.values() if word in bounds)


def _shape(metadata: list[Any]) -> str:
    """What *metadata* says about a text: " of 1 to 5 characters", " that matches ^[a-z]+$", both, or nothing."""
    known = {name: value for part in metadata for name in _TEXT_BOUNDS if (value := getattr(part, name, None))}
    least, most, pattern = map(known.get, _TEXT_BOUNDS)
    if least and most:
        length = f" of {least} to {most} characters"
    elif least or most:
        length = f" of at {'least' if least else 'most'} {least or most} characters"
    else:
        length = ""
    return f"{length} that matches {getattr(pattern, 'pattern', pattern)}" if pattern else length


def _parts(annotation: object) -> Iterator[object]:
    """Yield *annotation* and everything it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _is_secret(field: FieldInfo) -> bool:
    return any(isinstance(part, type) and issubclass(part, SecretStr) for part in _parts(field.annotation))
