"""What an owner changes turns those tests red that are about it, and they say what to write."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import GIT, UV, Render, make, project_environment, run

COLUMN = {
    "models/user.py": [
        ("    password_hash: Mapped[str]\n", "    password_hash: Mapped[str]\n    phone: Mapped[str | None]\n"),
        ("    email: str\n    created_at", "    email: str\n    phone: str | None = None\n    created_at"),
    ],
    "services/users.py": [("_SHOWN = (User.id,", "_SHOWN = (User.id, User.phone,")],
}
FEATURE = '''"""Wires the feature `billing`."""

from __future__ import annotations

from pydantic import Field

from ..chassis import Feature, Parts
from ..chassis.settings import SettingsGroup


class BillingSettings(SettingsGroup):
    """Settings of the invoices."""

    currency: str = Field(default="EUR", validation_alias="BILLING_CURRENCY", description="Of every invoice.")


BILLING = Feature(name="billing", build=lambda _core: Parts(), settings=(BillingSettings,))
'''


@pytest.fixture(scope="module")
def committed(render: Render, open_folder: Path) -> Path:
    """A project of the default answers, set up and committed."""
    folder = render(output=open_folder / "changed")
    make(folder, "setup")
    run([*GIT, "init", "--quiet"], folder)
    run([*GIT, "add", "--all"], folder)
    run([*GIT, "commit", "--quiet", "--message", "As generated"], folder)
    return folder


@pytest.fixture
def owned(committed: Path) -> Iterator[Path]:
    """The project, which is as it was generated again after the test."""
    yield committed
    run([*GIT, "reset", "--quiet", "--hard"], committed)
    run([*GIT, "clean", "--quiet", "--force", "-d"], committed)


def test_no_test_fails_as_generated_and_there_are_few_lines(owned: Path) -> None:
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in (owned / "tests").rglob("*.py"))

    assert lines <= 3500
    assert {} == _failures(owned)


def test_a_column_of_the_users_concerns_what_a_response_shows(owned: Path) -> None:
    for name, edits in COLUMN.items():
        for before, after in edits:
            _replace(owned, name, before, after)
    make(owned, "migration", "MESSAGE=add phone")
    failures = _failures(owned)

    assert {"test_users_api.py::test_a_response_shows_exactly_the_fields_of_a_user[sqlite]"} == failures.keys()
    assert "list them in FIELDS" in failures.popitem()[1]


def test_a_column_without_a_revision_is_told_what_makes_one(owned: Path) -> None:
    _replace(owned, "models/user.py", *COLUMN["models/user.py"][0])
    failures = _failures(owned, "tests/test_service.py")

    assert {"test_service.py::test_the_migrated_schema_is_what_the_models_say[sqlite]"} == failures.keys()
    assert "make migration" in failures.popitem()[1]


def test_users_that_cannot_be_changed_concern_the_tests_of_changes(owned: Path) -> None:
    _replace(owned, "routes/users.py", '                "PATCH": allow(owner, controller.update),\n', "")
    failures = _failures(owned)

    assert {
        "test_auth_api.py::test_a_change_of_a_user_is_for_its_owner_and_admins",
        "test_auth_matrix.py::test_every_operation_is_listed_here_with_its_policy",
        "test_users_api.py::test_a_change_of_a_missing_user_is_not_found",
        "test_users_api.py::test_a_change_of_a_user_is_read_back",
        "test_users_api.py::test_a_user_in_the_version_that_was_read_is_changed",
        "test_users_api.py::test_a_user_that_someone_else_has_changed_is_left_alone",
        "test_users_api.py::test_each_change_has_another_etag",
        "test_users_api.py::test_of_two_changes_of_one_version_one_is_made",
    } == {name.partition("[")[0] for name in failures}
    listed = failures["test_auth_matrix.py::test_every_operation_is_listed_here_with_its_policy[sqlite]"]
    assert "remove from POLICIES" in listed


def test_an_operation_that_the_matrix_does_not_list_is_told_its_line(owned: Path) -> None:
    _replace(
        owned,
        "routes/users.py",
        '"/api/users",\n            {',
        '"/api/users",\n            {"DELETE": allow(admins, controller.list), ',
    )
    failures = _failures(owned, "tests/test_auth_matrix.py")

    [(name, message)] = failures.items()
    assert "test_auth_matrix.py::test_every_operation_is_listed_here_with_its_policy[sqlite]" == name
    assert '"DELETE /api/users": "admin, superadmin",' in message


def test_a_dependency_that_is_added_concerns_no_test(owned: Path) -> None:
    run([UV, "add", "--quiet", "httpx"], owned)
    run(["git", "diff", "--quiet", "--exit-code", "--", "src", "tests"], owned)

    assert {} == _failures(owned, "tests/test_project_files.py", "tests/test_scripts.py")
    unused = _output(owned, ".venv/bin/deptry", "--no-ansi", ".")
    assert ["'httpx'"] == re.findall(r"DEP\d+ ('\S+')", unused)
    source = next(owned.glob("src/*/errors.py"))
    source.write_text(source.read_text("utf-8") + "\nimport httpx\n\nTIMEOUT = httpx.Timeout(1)\n", "utf-8")
    run([".venv/bin/deptry", "."], owned)
    run([".venv/bin/mypy"], owned)


def test_a_feature_without_its_page_is_told_what_to_write(owned: Path) -> None:
    [features] = owned.glob("src/*/features")
    (features / "billing.py").write_text(FEATURE, "utf-8")
    _replace(owned, "features/__init__.py", "    AUTH,\n", "    AUTH,\n    BILLING,\n")
    _replace(owned, "features/__init__.py", "import AUTH\n", "import AUTH\nfrom .billing import BILLING\n")
    failures = _failures(owned)

    page = "test_service.py::test_every_feature_with_settings_has_a_page"
    documents = "test_service.py::test_the_documents_name_every_setting_with_its_meaning_and_default"
    assert {page, documents} == failures.keys()
    assert "write docs/billing.md" in failures[page]
    assert "make documents" in failures[documents]
    make(owned, "documents")
    (owned / "docs/billing.md").write_text("# Billing\n", "utf-8")
    assert {} == _failures(owned, "tests/test_service.py")


def _replace(folder: Path, name: str, before: str, after: str) -> None:
    [package] = (folder / "src").iterdir()
    path = package / name
    source = path.read_text("utf-8")
    assert 1 == source.count(before), f"{name}: {before}"
    path.write_text(source.replace(before, after), "utf-8")


def _failures(folder: Path, *files: str) -> dict[str, str]:
    """Return what each test says that fails on SQLite, by its name."""
    arguments = ["--numprocesses", "2", "--dist", "loadfile", "-m", "not postgresql", "--tb", "short", "-q", "-rN"]
    report = folder / "report.xml"
    _output(folder, ".venv/bin/pytest", *arguments, f"--junit-xml={report}", *files)
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 (a report of our own)
    assert cases
    return {
        f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}": found.get("message", "")
        for case in cases
        for found in [*case.findall("failure"), *case.findall("error")]
    }


def _output(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=project_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout
