"""Where the text of a setting comes from: `.env`, `.env.{APP_ENV}`, the real environment, or a file it names.

This file knows no setting but APP_ENV, which selects the second file. What a text means is decided in `groups.py`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

DEFAULT = "default"
"""The source of a value that was given nowhere."""

MAX_SECRET_FILE_BYTES = 65_536


class AppEnv(StrEnum):
    """Where the service runs; staging behaves as production everywhere."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def hardened(self) -> bool:
        return self in {AppEnv.STAGING, AppEnv.PRODUCTION}


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One reason not to start; `message` never holds the value of a secret."""

    variable: str
    """The variable, or the file when a whole line or file cannot be read."""
    message: str
    source: str

    def __str__(self) -> str:
        if self.source == self.variable:
            return f"{self.variable}: {self.message}"
        place = "not set" if self.source == DEFAULT else f"from {self.source}"
        return f"{self.variable}: {self.message} ({place})"


@dataclass(frozen=True, slots=True)
class Given:
    """A text that was given, stripped, and where; an empty one takes back what a lower source says."""

    text: str
    source: str


@dataclass
class Environment:
    """What all sources together say, the highest first, and what was wrong with the sources themselves."""

    app_env: AppEnv = AppEnv.DEVELOPMENT
    values: dict[str, Given] = field(default_factory=dict)
    problems: list[SettingProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_environment(
    environ: Mapping[str, str],
    directory: Path,
    *,
    names: frozenset[str],
    secrets: frozenset[str],
    other_names: Mapping[str, str] | None = None,
) -> Environment:
    """Collect what the sources say about *names*; for each of *secrets*, NAME_FILE may name a file that holds it.

    *other_names* are those under which other services have one of *names*.

    Files are looked up in *directory*. Nothing is raised: what cannot be read is in `problems`.
    """
    known = names | {f"{name}_FILE" for name in secrets}
    result = Environment()
    real = {name: _given(name, environ[name].strip(), result) for name in sorted(known) if name in environ}
    common = _read_file(directory / ".env", result)
    result.app_env = _app_env(real.get("APP_ENV") or common.get("APP_ENV"))
    specific = _read_file(directory / f".env.{result.app_env}", result)
    _reject_other_app_env(specific, result)
    _warn_about_near_misses([*common.items(), *specific.items()], known, result)
    given = {**dict.fromkeys(environ, "environment"), **{name: text.source for name, text in common.items()}}
    _warn_about_other_names({**given, **dict.fromkeys(specific, f".env.{result.app_env}")}, other_names or {}, result)
    _warn_about_open_files([directory / ".env", directory / f".env.{result.app_env}"], result)

    merged = {**common, **specific, **real}
    result.values = {name: merged[name] for name in names if name in merged and merged[name].text}
    for name in sorted(secrets):
        pointer = merged.get(f"{name}_FILE")
        if pointer is not None and pointer.text:
            _read_secret(name, pointer, directory, result)
    return result


def _given(name: str, text: str, result: Environment) -> Given:
    """*text* of the real environment, without quotes around it, which `docker run --env-file` does not take off."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        result.warnings.append(
            f"{name}: the quotes around its value are taken off (`docker run --env-file` keeps them)"
        )
        text = text[1:-1].strip()
    return Given(text, "environment")


def _app_env(given: Given | None) -> AppEnv:
    """The environment that was meant: if misspelt, the nearest one, so that everything else is still checked for it."""
    if given is None or not given.text:
        return AppEnv.DEVELOPMENT
    near = get_close_matches(given.text.lower(), list(AppEnv), n=1, cutoff=0.4)
    return AppEnv(near[0]) if near else AppEnv.PRODUCTION


def _reject_other_app_env(specific: dict[str, Given], result: Environment) -> None:
    """`.env.staging` is read because APP_ENV is staging; it cannot say otherwise."""
    given = specific.pop("APP_ENV", None)
    if given is not None and given.text.lower() not in {"", result.app_env}:
        message = f"this file is read when APP_ENV is {result.app_env}, and cannot set it to {given.text[:40]!r}"
        result.problems.append(SettingProblem("APP_ENV", message, given.source))


def _read_file(path: Path, result: Environment) -> dict[str, Given]:
    """The names that the dotenv file *path* sets; none when there is no such file. No `${NAME}` is expanded."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        result.problems.append(SettingProblem(path.name, f"byte {error.start} is not UTF-8 text", path.name))
        return {}
    except OSError as error:
        result.problems.append(SettingProblem(path.name, f"cannot be read: {error.strerror}", path.name))
        return {}
    return dict(_lines(text, path.name, result))


def _lines(text: str, source: str, result: Environment) -> Iterator[tuple[str, Given]]:
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # The line itself is not shown: it may hold a secret.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string.count("\n", 0, blank)
            message = f"line {line} is not NAME=value, a # comment or blank; a value with quotes in it must be quoted"
            result.problems.append(SettingProblem(source, message, source))
        elif binding.key is not None and binding.value is not None:
            yield binding.key, Given(binding.value.strip(), source)


def _warn_about_near_misses(given: list[tuple[str, Given]], known: frozenset[str], result: Environment) -> None:
    """Warn once of each name in a file that is probably a misspelt one of *known*.

    Names of other programs are welcome there, and so is a known name behind a prefix, such as TEST_DATABASE_URL.
    """
    unknown = {name: value.source for name, value in reversed(given) if name not in known}
    for name, source in sorted(unknown.items()):
        near = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.75)
        if near and not name.endswith(f"_{near[0]}"):
            result.warnings.append(f"{source}: {name[:80]!r} is not a setting; did you mean {near[0]!r}?")


def _warn_about_other_names(sources: Mapping[str, str], other_names: Mapping[str, str], result: Environment) -> None:
    """Warn of each name that another service has for a setting which is not given: it has no effect here."""
    for name, meant in sorted(other_names.items()):
        said = f"{name!r} is not a setting"
        if name in sources and meant not in sources and not any(said in warning for warning in result.warnings):
            result.warnings.append(f"{sources[name]}: {said}; did you mean {meant!r}?")


def _warn_about_open_files(paths: list[Path], result: Environment) -> None:
    if not result.app_env.hardened:
        return
    for path in paths:
        if path.exists() and path.stat().st_mode & stat.S_IROTH:
            result.warnings.append(f"{path.name}: every user of this machine can read it; chmod 600 {path.name}")


def _read_secret(name: str, pointer: Given, directory: Path, result: Environment) -> None:
    """Take *name* from the file that *pointer* names, without the newline at its end."""
    variable = f"{name}_FILE"

    def reject(message: str) -> None:
        result.problems.append(SettingProblem(variable, message, pointer.source))

    if name in result.values:
        reject(f"{name} is set too (from {result.values[name].source}); keep one of them")
        return
    if "://" in pointer.text:
        reject(f"expected the path of a file that holds {name}, got a URL")
        return
    path = directory / pointer.text
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SECRET_FILE_BYTES + 1).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        reject(f"{str(path)!r} does not hold UTF-8 text")
    except (OSError, ValueError) as error:
        reject(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or 'not a path'}")
    else:
        if not text or len(text) > MAX_SECRET_FILE_BYTES:
            reject(f"{str(path)!r} is {'longer than 64 KiB' if text else 'empty'}")
            return
        result.values[name] = Given(text, f"file named by {variable}")
