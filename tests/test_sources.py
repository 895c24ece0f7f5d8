"""The template as it stands in the repository: readable unrendered, few tags, nothing of anybody's machine."""

from __future__ import annotations

import ast
import fnmatch
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT_FOLDER, TEMPLATE, Render, files_below

from local_extensions import MAX_NAME

TAG = re.compile(r"# \{%")
# The meeting points, where features come together. Anything else belongs to one feature and needs no tag.
TAGGED = (
    ".env.example",
    ".github/workflows/*.yml",
    ".gitlab-ci.yml",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "aws_lambda.yaml",
    "compose.yaml",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/extending.md",
    "pyproject.toml",
    "src/*/app.py",
    "src/*/features/__init__.py",
    "src/*/migrations/versions/*.py",
    "src/*/pages/ai_chat.html",
    "src/*/pages/chat.html",
)
# Microsoft, "Naming files, paths and namespaces": these names with any ending, these signs, and 259 characters a path.
RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
REFUSED_BY_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$')
MAX_PATH_ON_WINDOWS = 259
FOLDER_OF_A_PERSON = 100
"""Characters that are left to whoever keeps a project somewhere."""
MADE_BY_TOOLS = {
    *(".git", ".venv", ".tools", "build", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"),
}
HOSTS_OF_AN_INDEX = re.compile(r"https?://[\w.-]+/(?:simple|packages)/|python" + r"hosted|--(?:extra-)?index-url")
BLOCKS = re.MULTILINE | re.DOTALL
HOME_OF_SOMEBODY = re.compile(r"/(?:home|Users)/(?!app\b)\w|[A-Z]:\\Users")
# Every document: of the repository, and of the project as it lies in the template.
DOCUMENTS = [
    path.relative_to(TEMPLATE)
    for path in sorted([*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/**/*.md"), *PROJECT_FOLDER.rglob("*.md")])
]


def _repository() -> dict[str, str]:
    """Return every text of the repository by its path."""
    return {
        path.relative_to(TEMPLATE).as_posix(): path.read_text("utf-8", errors="replace")
        for path in sorted(TEMPLATE.rglob("*"))
        if path.is_file() and not MADE_BY_TOOLS & set(path.relative_to(TEMPLATE).parts)
    }


def test_every_source_of_the_package_parses_unrendered() -> None:
    sources = {name: path for name, path in files_below(PROJECT_FOLDER / "src").items() if path.suffix == ".py"}

    assert sources
    for path in sources.values():
        ast.parse(path.read_text("utf-8"), str(path))


def test_every_data_file_parses_unrendered() -> None:
    for name, path in files_below(PROJECT_FOLDER).items():
        if path.suffix == ".toml":
            tomllib.loads(_without_markers(path))
        elif path.suffix in {".yaml", ".yml"}:
            assert yaml.safe_load(_without_markers(path)), name


def test_only_the_meeting_points_are_tagged() -> None:
    tagged = {name for name, path in files_below(PROJECT_FOLDER).items() if TAG.search(path.read_text("utf-8"))}

    assert tagged
    assert [] == [name for name in sorted(tagged) if not any(fnmatch.fnmatch(name, allowed) for allowed in TAGGED)]


def test_there_are_at_most_twenty_tag_lines_in_a_thousand_rendered_ones(default_render: Path) -> None:
    tags = sum(len(TAG.findall(path.read_text("utf-8"))) for path in files_below(PROJECT_FOLDER).values())
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files_below(default_render).values())

    assert 20 >= 1000 * tags / lines


def test_a_folder_that_is_copied_without_rendering_needs_no_rendering() -> None:
    for folder in ("chassis", "config", "controllers", "middleware", "models", "routes", "services"):
        for name, path in files_below(PROJECT_FOLDER / "src" / "{{cookiecutter.package_name}}" / folder).items():
            assert "cookiecutter" not in path.read_text("utf-8"), f"{folder}/{name}"


def test_the_package_imports_itself_relatively() -> None:
    for name, path in files_below(PROJECT_FOLDER / "src").items():
        assert "cookiecutter.package_name" not in path.read_text("utf-8"), name


def test_no_bytecode_lies_in_the_template() -> None:
    """An engine that copies folders verbatim copies that too."""
    assert [] == [path for path in PROJECT_FOLDER.rglob("*") if path.name == "__pycache__" or path.suffix == ".pyc"]


def test_the_hook_uses_only_the_standard_library() -> None:
    tree = ast.parse((TEMPLATE / "hooks" / "post_gen_project.py").read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {module.partition(".")[0] for module in imported} <= sys.stdlib_module_names
    assert not {"http", "random", "secrets", "socket", "subprocess", "urllib", "uuid"} & {
        module.partition(".")[0] for module in imported
    }
    assert not {"fcntl", "grp", "ntpath", "os", "posixpath", "pwd"} & imported, "paths are pathlib's, on every system"


def test_every_name_is_legal_and_one_of_its_kind_on_windows(render: Render) -> None:
    longest = "a" * MAX_NAME
    folder = render(profile="full", project_slug=longest, package_name=longest)
    names = [f"{longest}/{name}" for name in files_below(folder)]
    of_template = [name for name in _tracked() if not name.startswith(PROJECT_FOLDER.name)]
    parts = {part for name in (*names, *of_template) for part in name.split("/")}

    assert [] == sorted(
        part for part in parts if RESERVED_ON_WINDOWS.fullmatch(part) or REFUSED_BY_WINDOWS.search(part)
    )
    assert len(set(names)) == len({name.casefold() for name in names})
    assert len(set(of_template)) == len({name.casefold() for name in of_template})
    assert MAX_PATH_ON_WINDOWS - FOLDER_OF_A_PERSON >= max(map(len, names))


def test_git_keeps_the_line_ends_of_every_text(render: Render) -> None:
    """Whatever a machine's Git is set to: a script with CRLF does not start."""
    for folder in (TEMPLATE, render()):
        assert "* text=auto eol=lf" in (folder / ".gitattributes").read_text("utf-8").splitlines()
    crlf = [name for name in _tracked() if b"\r\n" in (TEMPLATE / name).read_bytes()]

    assert [] == crlf


@pytest.mark.parametrize("pattern", [HOSTS_OF_AN_INDEX, HOME_OF_SOMEBODY, re.compile(re.escape(f"{TEMPLATE}/"))])
def test_nothing_names_a_machine_or_the_host_of_an_index(pattern: re.Pattern[str]) -> None:
    assert [] == [name for name, text in _repository().items() if pattern.search(text)]


def test_no_lock_is_kept() -> None:
    assert "uv.lock" not in {Path(name).name for name in _tracked()}


@pytest.mark.parametrize("name", ["requirements.txt", "benchmarks/requirements.txt", "tests/faults/requirements.txt"])
def test_the_tools_are_pinned_by_hash(name: str) -> None:
    lines = (TEMPLATE / name).read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]

    assert pins
    assert all(re.match(r"[a-z0-9-]+==\S+ .*\\$", pin) for pin in pins)


def test_every_dependency_of_a_project_is_explained_and_has_an_upper_bound() -> None:
    """The first release that may break a project is refused until its range is raised, with the tests that it takes."""
    requirement = re.compile(r'^  "([a-z0-9-]+(?:\[[a-z]+\])?)([<>=~][^";]*)(;[^"]*)?",(.*)$')
    lines = (PROJECT_FOLDER / "pyproject.toml").read_text("utf-8").partition("[tool.uv]")[0].splitlines()
    found = [(before, match) for before, line in itertools.pairwise(lines) if (match := requirement.match(line))]

    assert len(found) > 20
    for before, match in found:
        name, versions, _, comment = match.groups()
        assert "<" in versions or versions.startswith("~="), f"{name} has no upper bound: {versions}"
        assert re.match(r" # \S", comment) or before.lstrip().startswith("# "), f"{name}: say what it is for"


def test_a_project_is_told_the_version_that_the_template_has() -> None:
    """An update may render with the extension of the version before, so the number stands among the answers."""
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == answers["__template_version"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_of_a_document_leads_to_a_file_and_a_heading(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", (TEMPLATE / document).read_text("utf-8"), flags=BLOCKS)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if ":" not in target:
            file = (TEMPLATE / document.parent / path) if path else TEMPLATE / document
            assert file.exists(), target
            assert not heading or heading in _headings(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_document_names_only_make_targets_that_exist(document: Path) -> None:
    assert _make_targets_named_in(document) <= _make_targets_of(document)


def test_the_readme_explains_every_question() -> None:
    readme = (TEMPLATE / "README.md").read_text("utf-8")
    questions = yaml.safe_load((TEMPLATE / "cookiecutter.json").read_text("utf-8"))

    assert [] == [key for key in questions if not key.startswith("_") and f"| `{key}` |" not in readme]


def test_every_decision_is_in_the_index_and_short_and_says_what_it_costs() -> None:
    folder = TEMPLATE / "docs" / "adr"
    decisions = sorted(folder.glob("0*.md"))
    indexed = re.findall(r"^\| (\d+) \| \[.+\]\((.+)\) \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE)

    assert [(str(number), path.name) for number, path in enumerate(decisions, 1)] == indexed
    for path in decisions:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.search(r"^Status: \w", text, re.MULTILINE), path.name
        assert ["Context", "Decision", "Consequences"] == re.findall(r"^## (.+)$", text, re.MULTILINE), path.name
        assert len(text.splitlines()) <= 35, path.name


def _make_targets_named_in(document: Path) -> set[str]:
    """What follows `make` where a line of code begins with it: in the text, and in the commands of a block."""
    text = (TEMPLATE / document).read_text("utf-8")
    code = [*re.findall(r"`([^`\n]+)`", text), *"\n".join(re.findall(r"^```sh\n(.*?)^```", text, BLOCKS)).splitlines()]
    commands = [re.match(r"make((?: [a-z]+)+)", line) for line in code]
    return {target for command in commands if command for target in command[1].split()}


def _make_targets_of(document: Path) -> set[str]:
    """The targets that *document* may name; those of the template speak of a project's too."""
    folders = [PROJECT_FOLDER] if (TEMPLATE / document).is_relative_to(PROJECT_FOLDER) else [PROJECT_FOLDER, TEMPLATE]
    makefiles = [(folder / "Makefile").read_text("utf-8") for folder in folders]
    return {target for text in makefiles for target in re.findall(r"^([a-z]+):", text, re.MULTILINE)}


def _headings(document: Path) -> set[str]:
    """The anchors of *document*'s headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_markers(path: Path) -> str:
    """Return the text of *path* with a value in the place of every name, quoted where a filter quotes."""
    quoted = re.sub(r"\{\{[^}]*\| (?:toml|yaml) \}\}", '"x"', path.read_text("utf-8"))
    return re.sub(r"\{\{.*?\}\}", "x", quoted)


def _tracked() -> list[str]:
    command = ["git", "-C", str(TEMPLATE), "ls-files"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
