"""Any text in a name, a description or an author arrives unchanged, in every language that a file is written in."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import Render, files_below
from markdown_it import MarkdownIt
from markdown_it.token import Token

from local_extensions import dockerfile, markdown, python, toml
from local_extensions import yaml as yaml_literal

HOSTILE = [
    "plain",
    "Größe, Ærø, naïve, ﬁ",
    "你好，世界",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "שלום",
    "emoji 👩‍🚀🏳️‍🌈 and \U0010ffff",
    """both "double" and 'single' quotes""",
    '"""',
    "'''",
    '"',
    "it's",
    "back\\slash \\n \\u0041 \\",
    "{curly} {{ double }} }} {{ unclosed",
    "{{ 6 * 7 }}",
    "{{ cookiecutter.project_slug }}",
    "# {% if true %} # {% endif %}",
    "{% raw %} {# comment #}",
    "${{ secrets.KEY }}",
    "$HOME ${HOME} $(id) `id` $$",
    "100 % %s %(name)s",
    "# not a comment",
    "trailing #",
    "key: value, - item, [a, b]",
    "- item",
    "1. first",
    "12) twelfth",
    "+ plus",
    "=====",
    "> quote & <b>bold</b> &amp; <!-- -->",
    "*star* _under_ __both__ ~~gone~~ | pipe | ![image](x) [link](y)",
    "a\\*b",
    "yes",
    "null",
    "~",
    "3.10",
    "0x10",
    "!tag &anchor *alias",
    "@at %percent",
    "zero\u200bwidth, no\u00a0break, soft\u00adhyphen, bidi \u202e mark, bom \ufeff",
    "not characters: \ufffe \uffff",
    "private \ue000 and unassigned \u0378",
    "  surrounded by spaces  ",
]
AUTHOR = """Ada "L." O'Neil \\ {{ x }} ${{ y }} # {% z %} 你好"""


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_intact_as_toml_yaml_and_python(text: str) -> None:
    assert {"key": text} == tomllib.loads(f"key = {toml(text)}")
    assert {"key": text, "end": 1} == yaml.safe_load(f"key: {yaml_literal(text)}\nend: 1")
    assert text == ast.literal_eval(python(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_intact_in_a_quoted_word_of_a_dockerfile(text: str) -> None:
    quoted = dockerfile(text)

    assert '"' == quoted[0] == quoted[-1]
    assert not re.search(r'(?<!\\)(\\\\)*["$]', quoted[1:-1]), "a quote or a variable is left open"
    assert text == re.sub(r"\\(.)", r"\1", quoted[1:-1])


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_intact_in_a_markdown_heading_and_paragraph(text: str) -> None:
    heading, paragraph = inlines(f"# {markdown(text)}\n\n{markdown(text)}\n")

    assert text.strip() == shown(heading) == shown(paragraph)


def test_a_character_that_nobody_can_see_is_spelled_out() -> None:
    assert {r'"a\u202eb\U000e0001"'} == {quote("a\u202eb\U000e0001") for quote in (toml, yaml_literal, python)}


def test_a_formatter_leaves_a_python_literal_alone() -> None:
    source = "".join(f"x = {python(text)}\n" for text in HOSTILE)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "320", "-"],
        input=source,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    ).stdout

    assert source == formatted


@pytest.mark.parametrize("text", HOSTILE)
def test_a_rendered_project_holds_the_text_that_was_given(render: Render, text: str) -> None:
    name = f"Acme {text}"
    folder = render(project_name=name, project_slug="acme", description=text, author_name=text)

    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    title, *_ = inlines((folder / "README.md").read_text("utf-8"))
    assert text == project["description"]
    assert [text] == [author["name"] for author in project["authors"]]
    assert name.strip() == shown(title)
    assert f"Copyright (c) {text}\n" in (folder / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_hostile_text_breaks_no_file_of_any_language(render: Render, ci: str) -> None:
    folder = render(project_name="Acme " + AUTHOR, project_slug="acme", description=AUTHOR, author_name=AUTHOR, ci=ci)

    for path in files_below(folder).values():
        parse(path)


def test_answers_with_markup_survive_a_second_generation(render: Render, tmp_path: Path) -> None:
    """As in a template update, which gives back what the first generation kept."""
    first = render(project_name=AUTHOR, project_slug="acme")
    kept = tomllib.loads((first / "pyproject.toml").read_text("utf-8"))["project"]["description"]
    second = render(output=tmp_path, project_name=AUTHOR, project_slug="acme", description=kept)

    assert {name: path.read_bytes() for name, path in files_below(first).items()} == {
        name: path.read_bytes() for name, path in files_below(second).items()
    }


def parse(path: Path) -> None:
    """Read *path* as what its name says it is; raises if it is not that."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        compile(text, str(path), "exec", dont_inherit=True)
    elif path.suffix == ".toml":
        tomllib.loads(text)
    elif path.suffix in {".yaml", ".yml"}:
        assert yaml.safe_load(text) is not None, path
    elif path.suffix == ".json":
        json.loads(text)


def inlines(source: str) -> list[Token]:
    return [
        token for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source) if token.children
    ]


def shown(inline: Token) -> str:
    """Return the text of *inline*; any markup in it is a failure."""
    children = inline.children or []
    assert {"text", "text_special"} >= {token.type for token in children}, [token.type for token in children]
    return "".join(token.content for token in children)
