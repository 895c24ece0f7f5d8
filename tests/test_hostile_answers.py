"""Whatever is typed as an answer is refused with a reason, or arrives as it was typed; nothing of it is executed."""

from __future__ import annotations

import ast
import json
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import yaml
from conftest import TEMPLATE, Render, files_below
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from test_text import inlines, parse, shown

from local_extensions import (
    CHOICES,
    EMAIL,
    FEATURES,
    GUARD,
    MAX_CHARACTERS,
    SHAPES,
    BadAnswer,
    dockerfile,
    markdown,
    python,
    refuse_bad_answers,
    slug,
    toml,
)
from local_extensions import yaml as yaml_literal

SNIPPETS = [
    *("{{", "}}", "{%", "%}", "# {%", "{#", "#}", "# {% raw %}", "# {% endraw %}", "# {% endif %}"),
    *("'", '"', "'''", '"""', "\\", "\\N", "`", "$", "${", "$(", "%", "%s", "<", ">", "&", "&lt;", "<!--", "]]>"),
    *("-", "--", "-o", "#", "=", "===", "*", "_", "~~~", "|", "[", "](", "!", "!!", ":", ": ", ",", "@", "    ", "1."),
    *("{{ cookiecutter.project_slug }}", "{{ 6 * 7 }}", "{{ cookiecutter | refuse_bad_answers }}", "$(touch executed)"),
    *("\ufeff", "\u202e", "\u00a0", "\u3000", "\ufffe", "\U0001f469\u200d\U0001f680", "\U0010ffff", "é", "e\u0301"),
]
BREAKS = ["\n", "\r", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udcff"]
EXECUTING = "{{ cycler.__init__.__globals__.os.system('touch executed') }}"

VISIBLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
LINE = st.text(VISIBLE, max_size=20)
ANYTHING = st.one_of(
    st.lists(st.one_of(st.sampled_from(SNIPPETS), st.sampled_from(BREAKS), st.text(max_size=20))).map("".join),
    st.text(min_size=1, max_size=4).map(lambda text: text * 200),
)
TEXTS = ("project_name", "description", "author_name")
FREE = (*MAX_CHARACTERS, *SHAPES)


def one_line(limit: int) -> st.SearchStrategy[str]:
    """Any text that keeps the rules: one line of 1 to *limit* characters."""
    pieces = st.lists(st.one_of(st.sampled_from(SNIPPETS), LINE), min_size=1).map("".join)
    return pieces.map(lambda text: text[:limit]).filter(lambda text: bool(text.strip()))


ADDRESSES = st.from_regex(EMAIL, fullmatch=True, alphabet=VISIBLE).filter(
    lambda text: len(text) <= MAX_CHARACTERS["author_email"]
)
HOSTILE_ANSWERS = st.fixed_dictionaries(
    {
        **{key: one_line(MAX_CHARACTERS[key]) for key in TEXTS},
        "author_email": ADDRESSES,
        "license": st.sampled_from(CHOICES["license"]),
        "ci": st.sampled_from(CHOICES["ci"]),
    }
)


@settings(max_examples=300)
@given(key=st.sampled_from(FREE), text=ANYTHING)
def test_any_text_is_refused_by_the_name_of_its_answer_or_is_one_short_line(key: str, text: str) -> None:
    try:
        refuse_bad_answers({**_defaults(), key: text})
    except BadAnswer as refusal:
        [line] = str(refusal).splitlines()
        assert line.startswith(f"{key}: ")
        assert " is not accepted; " in line
        assert line.isprintable()
    else:
        assert 1 == len(text.splitlines())
        assert 1 <= len(text.strip())
        assert len(text) <= MAX_CHARACTERS.get(key, 40)
        assert text == text.encode().decode()
        assert key not in SHAPES or re.fullmatch(r"[a-z][a-z0-9_-]*", text)


@settings(max_examples=300)
@given(key=st.sampled_from(TEXTS), data=st.data())
def test_every_line_that_keeps_the_rules_is_accepted(key: str, data: st.DataObject) -> None:
    refuse_bad_answers({**_defaults(), key: data.draw(one_line(MAX_CHARACTERS[key]))})


@settings(max_examples=300)
@given(name=ANYTHING)
def test_any_name_gives_a_usable_slug_or_none(name: str) -> None:
    assert re.fullmatch(r"([a-z][a-z0-9]*(-[a-z0-9]+)*)?", slug(name))
    assert len(slug(name)) <= 40


@settings(max_examples=300)
@given(text=one_line(300))
def test_text_is_intact_in_every_language(text: str) -> None:
    quoted = dockerfile(text)
    heading, paragraph = inlines(f"# {markdown(text)}\n\n{markdown(text)}\n")

    assert {"key": text} == tomllib.loads(f"key = {toml(text)}")
    assert {"key": text, "end": 1} == yaml.safe_load(f"key: {yaml_literal(text)}\nend: 1")
    assert text == ast.literal_eval(python(text))
    assert not re.search(r'(?<!\\)(\\\\)*["$]', quoted[1:-1])
    assert text == re.sub(r"\\(.)", r"\1", quoted[1:-1])
    assert text.strip() == shown(heading).strip() == shown(paragraph).strip()


# Rendering a smaller failure again and again would take many minutes.
@settings(phases=[Phase.explicit, Phase.generate])
@given(answers=HOSTILE_ANSWERS)
@example(answers={"project_name": EXECUTING, "description": EXECUTING, "author_name": EXECUTING})
@example(answers=dict.fromkeys(TEXTS, GUARD))
@example(answers={"project_name": "--help", "description": "-o /", "author_name": "# {%"})
def test_a_project_of_hostile_answers_is_valid_and_holds_them_as_typed(
    render: Render, answers: Mapping[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as output:
        folder = render(output=Path(output), project_slug="acme", package_name="acme", **answers)
        assert [folder] == list(Path(output).iterdir())
        for path in files_below(folder).values():
            parse(path)

        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        title, description, *_ = inlines((folder / "README.md").read_text("utf-8"))
        assert answers["description"] == project["description"]
        assert answers["author_name"] == project["authors"][0]["name"]
        assert answers.get("author_email", "you@example.com") == project["authors"][0]["email"]
        assert answers["project_name"].strip() == shown(title).strip()
        assert answers["description"].strip() == shown(description).strip()
        texts = constants(folder / "src" / "acme" / "__init__.py")
        assert answers["project_name"] == texts["TITLE"]
        assert answers["description"] == texts["DESCRIPTION"]
        if answers.get("license") != "Apache-2.0":
            assert f"Copyright (c) {answers['author_name']}" in (folder / "LICENSE").read_text("utf-8")


def test_free_text_stands_in_one_file_that_is_executed(render: Render) -> None:
    """That file holds it as quoted constants alone, which the test above reads back."""
    marker = "A marker of which there is one"
    folder = render(profile="full", project_slug="acme", **dict.fromkeys(TEXTS, marker))

    held = {name for name, path in files_below(folder).items() if marker in path.read_text("utf-8")}
    assert {"LICENSE", "README.md", "pyproject.toml", "src/acme/__init__.py"} == held


def constants(module: Path) -> dict[str, object]:
    """Every name that ``module`` assigns a literal to, and the literal's value.

    Raises:
        ValueError: a value is more than a literal.
    """
    statements = ast.parse(module.read_text("utf-8")).body
    return {
        ast.unparse(statement.targets[0]): ast.literal_eval(statement.value)
        for statement in statements
        if isinstance(statement, ast.Assign)
    }


def _defaults() -> dict[str, str]:
    """The answers that cookiecutter would derive if nobody said anything."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    plain = {key: value for key, value in questions.items() if not key.startswith("_") and "{{" not in value}
    return {**plain, "project_slug": "acme-service", "package_name": "acme_service", **dict.fromkeys(FEATURES, "yes")}
