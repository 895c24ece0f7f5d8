"""What the documents of a service say about its settings: `.env.example` and the tables of docs/configuration.md.

Both are written from the settings groups alone; no environment is read, so that they are the same on every machine.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..service import Service
from .environment import AppEnv
from .groups import SettingsGroup, Variable, variables
from .loading import service_defaults, text_of

EXAMPLE, TABLES = ".env.example", "docs/configuration.md"

_WIDTH = 120
_BEGIN, _END = ">>> settings: written by 'make documents'; what stands outside of these two lines stays", "<<< settings"
_WRITTEN = re.compile(r"^[^\n]*>>> settings[^\n]*$.*?^[^\n]*<<< settings[^\n]*$", re.MULTILINE | re.DOTALL)
_HEADER = """\
# The settings of this service, each with its default. The first `make` that needs it copies this file to .env.
#
# To change a setting, take the # from its line. The real environment wins over .env.APP_ENV (such as .env.test), which
# wins over .env. NAME= with nothing after it takes the setting back to its default. ${NAME} is not expanded.
# Times are in seconds and may be fractions.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A variable with its default as text, empty if unset, in each environment; None where a value is required."""

    variable: Variable
    defaults: Mapping[AppEnv, str | None]

    @property
    def default(self) -> str:
        """In development."""
        return self.defaults[AppEnv.DEVELOPMENT] or ""

    def others(self) -> Iterator[tuple[list[AppEnv], str | None]]:
        """Yield each default that is not that of development, with the environments that it holds in."""
        texts = dict.fromkeys(text for text in self.defaults.values() if text != self.defaults[AppEnv.DEVELOPMENT])
        for text in texts:
            yield [app_env for app_env, default in self.defaults.items() if default == text], text


def example(service: Service) -> str:
    """The text of `.env.example`."""
    sections = (_example_section(*section) for section in _sections(service))
    return "\n".join([f"# {_BEGIN}\n{_HEADER}", *sections, f"# {_END}\n"])


def tables(service: Service) -> str:
    """The part of docs/configuration.md that has one table for each group."""
    sections = (_table(*section) for section in _sections(service))
    return "\n".join([f"<!-- {_BEGIN} -->\n", *sections, f"<!-- {_END} -->\n"])


def write(service: Service, root: Path) -> list[str]:
    """Bring the documents below *root* up to date, and return the names of those that were not."""
    stale = {name: text for name, present, text in _documents(service, root) if text != present}
    for name, text in stale.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return list(stale)


def stale(service: Service, root: Path) -> list[str]:
    """The names of the documents below *root* that do not say what the settings say; `make documents` writes them."""
    return [name for name, present, text in _documents(service, root) if text != present]


def _documents(service: Service, root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield each document's name, its text, and what that has to be."""
    for name, written in ((EXAMPLE, example(service)), (TABLES, tables(service))):
        path = root / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        text, found = _WRITTEN.subn(lambda _, written=written: written.rstrip("\n"), present, count=1)  # type: ignore[misc]
        yield name, present, text if found else f"{present}\n{written}".lstrip("\n")


def _sections(service: Service) -> Iterator[tuple[type[SettingsGroup], list[Entry]]]:
    """Yield every group of the service and its features with its variables."""
    common = service_defaults(service.name)
    hardened = {name: text for feature in service.features for name, text in feature.hardened_defaults.items()}
    given = {app_env: hardened if app_env.hardened else common for app_env in AppEnv}
    for group in (*service.settings, *(group for feature in service.features for group in feature.settings)):
        by_env = {app_env: _defaults(group, app_env, given[app_env]) for app_env in AppEnv}
        yield (
            group,
            [Entry(v, {app_env: by_env[app_env][v.name] for app_env in AppEnv}) for v in variables(group)],
        )


def _defaults(group: type[SettingsGroup], app_env: AppEnv, given: Mapping[str, str]) -> dict[str, str | None]:
    """What each variable of *group* is in *app_env* while it is not set; None if the group rejects that."""
    app_env_if_known: dict[str, Any] = {"app_env": app_env} if "app_env" in group.model_fields else {}
    built = group.model_construct(**app_env_if_known)
    known = list(variables(group))
    texts = {v.name: given.get(v.name) or text_of(getattr(built, v.attribute, None)) for v in known}
    if "APP_ENV" in texts:
        texts["APP_ENV"] = AppEnv.DEVELOPMENT
    required = _required(group, app_env, {v.name: given[v.name] for v in known if v.name in given})
    return {v.name: None if {v.name, v.attribute} & required else texts[v.name] for v in known}


def _required(group: type[SettingsGroup], app_env: AppEnv, given: Mapping[str, str]) -> set[str]:
    """The variables, or their attributes, that *app_env* needs more for than the defaults *given*."""
    text = {"APP_ENV": app_env} if "app_env" in group.model_fields else {}
    try:
        group.model_validate({**text, **given}, context={"app_env": app_env})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        # A default that depends on a rejected value is not worked out: no problem of its own.
        return {str(each["loc"][0]) for each in problems if each["type"] != "default_factory_not_called"}
    return set()


def _example_section(group: type[SettingsGroup], entries: Iterable[Entry]) -> str:
    title = f"# --- {_title(group)}: {_purpose(group)}\n"
    return "\n".join([title, *(_example_entry(entry) for entry in entries)])


def _example_entry(entry: Entry) -> str:
    variable = entry.variable
    comments = [_meaning(variable), f"Accepted: {variable.accepted}.", *(_sentence(*other) for other in entry.others())]
    lines = [line for comment in comments for line in textwrap.wrap(comment, _WIDTH - 2, break_on_hyphens=False)]
    setting = f"# {variable.name}={entry.default}"
    if variable.generated_bytes:
        setting = f"{variable.name}=generate:{variable.generated_bytes}"
    return "".join(f"# {line}\n" for line in lines) + f"{setting}\n"


def _table(group: type[SettingsGroup], entries: Iterable[Entry]) -> str:
    rows = "".join(_row(entry) for entry in entries)
    head = "| Variable | Default | Accepted | Meaning |\n|---|---|---|---|\n"
    return f"## {_title(group)}\n\n{_purpose(group)}\n\n{head}{rows}"


def _row(entry: Entry) -> str:
    cells = (f"`{entry.variable.name}`", _default_cell(entry), entry.variable.accepted, _meaning(entry.variable))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _default_cell(entry: Entry) -> str:
    others = (f"; {_joined(where)}: {'required' if text is None else _quoted(text)}" for where, text in entry.others())
    return _quoted(entry.default) + "".join(others)


def _sentence(where: list[AppEnv], text: str | None) -> str:
    return f"Required in {_joined(where)}." if text is None else f"In {_joined(where)}: {text or 'unset'}."


def _meaning(variable: Variable) -> str:
    if not variable.secret:
        return variable.meaning
    return f"{variable.meaning} A secret: {variable.name}_FILE may name a file that holds it."


def _quoted(text: str) -> str:
    return f"`{text}`" if text else "unset"


def _joined(where: list[AppEnv]) -> str:
    *others, last = where
    return f"{', '.join(others)} and {last}" if others else last


def _title(group: type[SettingsGroup]) -> str:
    """`DatabaseSettings` as Database."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", group.__name__.removesuffix("Settings"))


def _purpose(group: type[SettingsGroup]) -> str:
    return (group.__doc__ or "").partition("\n")[0]
