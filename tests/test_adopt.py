"""A project of 0.1 to 0.3 comes to the chassis with what its owner wrote: resource, table, setting and test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, make, run
from test_generated_project import get, running
from test_releases import old_release, project_of, pytest_generate_tests
from test_updates import commit

from tools.adopting import rewritten
from tools.renames import changelog

__all__ = ["old_release", "pytest_generate_tests"]

SECTION = re.compile(r"^## Add a resource\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\*\*`?(.+?)`?\*\*(.*?)(?=^\*\*|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = '''"""Settings of the orders."""

from __future__ import annotations

from pydantic import Field

from .groups import SettingsGroup


class OrderSettings(SettingsGroup):
    """How orders are kept."""

    keep_days: int = Field(
        default=30, ge=1, le=365, validation_alias="ORDER_KEEP_DAYS", description="How long an order is kept."
    )
'''
EXPORTS = {"chassis.http": frozenset({"ApiRoute", "allow"}), "chassis.auth": frozenset({"TokenRejected"})}


def test_a_project_with_a_resource_a_table_a_setting_and_a_test_is_adopted(
    present: Path, old_release: str, open_folder: Path, request: pytest.FixtureRequest
) -> None:
    project = project_of(old_release, present, open_folder / f"adopted-{old_release[-7:]}", profile="minimal")
    _own(project)
    commit(project)

    left = _left(project, present)

    assert "adopt.patch: your changes of what is platform now" == left[0]
    assert "+        *order_routes(OrdersController(Orders(core.database)))," in (project / "adopt.patch").read_text(
        "utf-8"
    )
    assert "our-target:" in (project / "Makefile").read_text("utf-8")
    assert "nickname" in (project / "src/acme/models/user.py").read_text("utf-8")
    _do_what_is_left(project)
    make(project, "setup", "migration", "MESSAGE=create orders")
    make(project, "documents")
    run([".venv/bin/mypy", "src"], project)
    assert "" == run([".venv/bin/python", "-m", "acme.chassis.manifest"], project)
    assert "ORDER_KEEP_DAYS=30" in (project / ".env.example").read_text("utf-8")
    with running(project, "acme") as (base, _):
        placed = get(f"{base}/api/orders", body={"item": "tea"})
        assert placed == get(f"{base}/api/orders/{placed['id']}")
    if request.config.getoption("--renders") == "all":
        make(project, "format", "check", "test")


def test_a_project_that_has_a_chassis_is_refused(default_render: Path) -> None:
    process = _adopt(default_render, TEMPLATE)

    assert 1 == process.returncode
    assert process.stderr.endswith("it has a chassis already: update it with uvx cruft update\n")


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    commit_needed = _adopt(tmp_path, TEMPLATE)
    (tmp_path / "notes.txt").write_text("nothing else\n")
    commit(tmp_path)

    assert "it is in no Git repository" in commit_needed.stderr
    assert "neither .cruft.json nor pyproject.toml says what it was made from" in _adopt(tmp_path, TEMPLATE).stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from .table import ApiRoute, allow\n", "from ..chassis.http import ApiRoute, allow\n"),
        ("from ..models.database import Base, UTCDateTime\n", None),
        (
            "from ..errors import Unreadable\n\nUnreadable\n",
            "from ..chassis.errors import MalformedRequest\n\nMalformedRequest\n",
        ),
        ("from ..services import cache\n", "from ..chassis.cache import memory\n"),
        ("from ..models.order import Order\n", "from ..models.order import Order\n"),
        ("from starlette.errors import Unreadable\n", "from starlette.errors import Unreadable\n"),
        ("from acme.routes.table import (\n    ApiRoute,\n)  # why\n", "from ..chassis.http import ApiRoute  # why\n"),
        ("not python (\n", "not python (\n"),
    ],
)
def test_imports_of_what_moved_are_rewritten(before: str, after: str | None) -> None:
    expected = after or "from ..models.base import Base\nfrom ..chassis.database.types import UTCDateTime\n"

    assert expected == rewritten(before, "routes.orders", "acme", EXPORTS)


def test_imports_outside_of_the_package_stay_absolute() -> None:
    source = "from acme.services.auth_tokens import TokenRefused as T\nfrom ..application import running\n"

    assert source.replace("services.auth_tokens import TokenRefused", "chassis.auth import TokenRejected") == rewritten(
        source, None, "acme", EXPORTS
    )


def test_the_changelog_lists_what_moved() -> None:
    assert changelog() in (TEMPLATE / "CHANGELOG.md").read_text("utf-8"), changelog()


def _own(project: Path) -> None:
    """Do what an owner does: the guide's resource, a column, a setting and a target."""
    package = project / "src/acme"
    [section] = SECTION.findall((project / "docs/architecture.md").read_text("utf-8"))
    for title, text in STEP.findall(section):
        if title.endswith(".py") and title != "app.py":
            path = (project if title.startswith("tests/") else package) / title
            path.write_text(BLOCK.findall(text)[0], "utf-8")
    _replace(package / "app.py", "        *user_routes(", _ROUTES + "        *user_routes(")
    _replace(package / "models/user.py", "    created_at: M", "    nickname: Mapped[str | None]\n    created_at: M")
    (package / "config/orders.py").write_text(SETTINGS, "utf-8")
    makefile = project / "Makefile"
    makefile.write_text(f"{makefile.read_text('utf-8')}\nour-target:\n\t@echo ours\n")


_ROUTES = "        *order_routes(OrdersController(Orders(core.database))),\n"


def _do_what_is_left(project: Path) -> None:
    """Put the lines of the patch where they belong now, and the policies of 0.3 or PUBLIC into the routes."""
    package = project / "src/acme"
    app = package / "app.py"
    for module, name in (("controllers", "OrdersController"), ("routes", "order_routes"), ("services", "Orders")):
        _replace(app, f"    from .{module}", f"    from .{module}.orders import {name}\n    from .{module}")
    _replace(app, "routes=routes(UsersController(users, idempotency), **policies()),", _COMPOSED)
    _replace(package / "config/settings.py", "    UserSettings,\n)", "    UserSettings,\n    OrderSettings,\n)")
    _replace(package / "config/settings.py", "\n\nclass", "\nfrom .orders import OrderSettings\n\n\nclass")
    routes = package / "routes/orders.py"
    text = re.sub(r"(?:AUTHENTICATED|PUBLIC)", "PUBLIC", routes.read_text("utf-8"))
    if "allow" not in text:  # before 0.3 a route had no policy
        text = re.sub(r'("(?:GET|POST)": )(controller\.\w+)', r"\1allow(PUBLIC, \2)", text)
        text = text.replace("import ApiRoute", "import ApiRoute, allow\nfrom ..chassis.access import PUBLIC", 1)
    routes.write_text(text, "utf-8")
    for test in project.glob("tests/**/test_orders_api.py"):
        text = test.read_text("utf-8")
        test.write_text(text.replace(") as client:", ") as application, application.client() as client:"), "utf-8")


_COMPOSED = (
    "routes=[\n            *order_routes(OrdersController(Orders(core.database))),\n"
    "            *routes(UsersController(users, idempotency), **policies()),\n        ],"
)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, path
    path.write_text(text.replace(old, new, 1), "utf-8")


def _left(project: Path, template: Path) -> list[str]:
    process = _adopt(project, template)
    assert (1, "") == (process.returncode, process.stderr), process.stdout + process.stderr
    lines = process.stdout.splitlines()
    assert lines[-1].startswith("Now: make setup format check test.")
    return [line.removeprefix("left     ") for line in lines if line.startswith("left     ")]


def _adopt(project: Path, template: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.adopt", str(project)]
    return subprocess.run(command, cwd=template, capture_output=True, text=True, check=False)
