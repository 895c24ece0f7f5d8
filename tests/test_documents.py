"""What a project's documents say about its settings is what the settings say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import PROJECT_FOLDER, Render, project_environment

from tools.documents import DOCUMENTS, PACKAGE, WRITTEN, printed, sources

OWN_SETTING = """    reminder_days: int = Field(
        default=30, ge=1, le=365, validation_alias="REMINDER_DAYS", description="When a user is reminded."
    )

"""


@pytest.fixture(scope="session")
def python(project: Path) -> str:
    """The interpreter of a project that is set up."""
    return str(project / ".venv/bin/python")


@pytest.mark.parametrize("profile", ["standard", "minimal", "full"])
def test_rendered_documents_are_what_the_commands_print(render: Render, python: str, profile: str) -> None:
    rendered = render(profile=profile)

    for document, option in DOCUMENTS.items():
        [part] = WRITTEN.findall((rendered / document).read_text("utf-8"))
        assert printed(python, option, rendered) == part, "make documents"
    assert "" == _command(python, rendered, "--write")


def test_the_sources_of_the_template_are_as_make_documents_writes_them(python: str) -> None:
    for document, text in sources(python).items():
        assert [text] == WRITTEN.findall((PROJECT_FOLDER / document).read_text("utf-8")), "make documents"


def test_an_own_setting_comes_to_both_documents_and_what_stands_around_stays(
    render: Render, python: str, tmp_path: Path
) -> None:
    rendered = render(output=tmp_path)
    settings = rendered / "src" / PACKAGE / "config/settings.py"
    settings.write_text(settings.read_text("utf-8").replace("    cache_seconds: ", f"{OWN_SETTING}    cache_seconds: "))
    for document in DOCUMENTS:
        path = rendered / document
        path.write_text(f"# Ours\n{path.read_text('utf-8')}# Ours too\n")

    assert ".env.example was written\ndocs/configuration.md was written\n" == _command(python, rendered, "--write")

    example, page = ((rendered / document).read_text("utf-8") for document in DOCUMENTS)
    assert "# When a user is reminded.\n# Accepted: a whole number from 1 to 365.\n# REMINDER_DAYS=30\n" in example
    assert "| `REMINDER_DAYS` | `30` | a whole number from 1 to 365 | When a user is reminded. |\n" in page
    assert all(text.startswith("# Ours\n") and text.endswith("# Ours too\n") for text in (example, page))
    assert "" == _command(python, rendered, "--write")


def test_the_documents_are_printed_whatever_the_environment_says(python: str, default_render: Path) -> None:
    usual = _command(python, default_render, "--markdown")

    assert usual == _command(python, default_render, "--markdown", APP_ENV="production", PORT="none")


def test_a_default_that_depends_on_the_environment_is_told_with_it(python: str, default_render: Path) -> None:
    page, example = (_command(python, default_render, option) for option in ("--markdown", "--example"))

    assert "| `DRAIN_DELAY_SECONDS` | `0`; staging and production: `5` |" in page
    assert "| `ALLOWED_HOSTS` | unset; staging and production: required |" in page
    assert "# In test, staging and production: false.\n# DEBUG=true\n" in example


def _command(python: str, folder: Path, option: str, **variables: str) -> str:
    environment = project_environment(PYTHONPATH=str(folder / "src"), PYTHONDONTWRITEBYTECODE="1", **variables)
    return subprocess.run(
        [python, "-m", PACKAGE, "config", option],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
