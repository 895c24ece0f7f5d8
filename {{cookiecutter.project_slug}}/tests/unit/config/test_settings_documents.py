"""`.env.example` and the tables below docs/ say what the settings say, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.chassis.settings.groups import Variable, variables
from {{ cookiecutter.package_name }}.chassis.settings.core import CORE_GROUPS, load_settings, masked_lines
from {{ cookiecutter.package_name }}.features import FEATURES

ROOT = Path(__file__).parents[3]
GROUPS = [feature.settings for feature in FEATURES if feature.settings]
EXAMPLE = re.sub(r"(?<==)generate:\d+$", "", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.MULTILINE)
"""Without the secrets that `make` generates into the copy."""
DOCUMENTS = ["configuration", *(feature.name for feature in FEATURES if feature.settings)]
TABLES = "".join((ROOT / f"docs/{name}.md").read_text(encoding="utf-8") for name in DOCUMENTS)
VARIABLES = [variable for group in [*CORE_GROUPS, *GROUPS] for variable in variables(group)]
NAMES = {variable.name for variable in VARIABLES}
FOREIGN = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text(encoding="utf-8"))) - NAMES
"""What compose.yaml takes from `.env` for itself."""


def example_entries() -> list[tuple[str, str, str]]:
    """Name, value and the comment above, of every line of the example that sets something or would."""
    entries, comment = [], ""
    for line in EXAMPLE.splitlines():
        if entry := re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]*)=(.*)", line):
            entries.append((entry[1], entry[2], comment))
        else:
            comment = f"{comment} {line[2:]}".strip() if line else ""
    return entries


def default_lines(tmp_path: Path) -> list[str]:
    return masked_lines(load_settings({}, tmp_path, GROUPS))


def test_the_example_names_every_setting_once_in_the_order_of_the_groups() -> None:
    assert [variable.name for variable in VARIABLES] == [
        name for name, _, _ in example_entries() if name not in FOREIGN
    ]


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    shown = [f"{name}={value}" for name, value, _ in example_entries() if name not in FOREIGN]

    assert default_lines(tmp_path) == shown


def test_the_example_changes_nothing_as_it_is_and_with_every_line_in_force(tmp_path: Path) -> None:
    before = load_settings({}, tmp_path, GROUPS)
    for text in (EXAMPLE, re.sub(r"^# (?=[A-Z][A-Z0-9_]*=)", "", EXAMPLE, flags=re.MULTILINE)):
        (tmp_path / ".env").write_text(text, encoding="utf-8")

        assert before == load_settings({}, tmp_path, GROUPS)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_example_tells_the_meaning_and_what_is_accepted(variable: Variable) -> None:
    comments = {name: comment for name, _, comment in example_entries()}

    assert f"{variable.meaning} Accepted: {variable.accepted}." == comments[variable.name]


def test_the_tables_have_one_row_for_each_setting(tmp_path: Path) -> None:
    defaults = dict(line.split("=", 1) for line in default_lines(tmp_path))
    rows = [
        f"| `{variable.name}` | {f'`{default}`' if (default := defaults[variable.name]) else 'unset'} "
        f"| {variable.accepted} | {variable.meaning} |"
        for variable in VARIABLES
    ]

    assert rows == re.findall(r"^\| `[A-Z0-9_]+` \| (?:unset|`).*$", TABLES, re.MULTILINE)
