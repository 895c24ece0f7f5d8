"""What the documents tell a newcomer to do is done here, word for word, on a new project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Render, make, run

GUIDE = "docs/architecture.md"
SECTION = re.compile(r"^## Add a resource\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\*\*`?(.+?)`?\*\*(.*?)(?=^\*\*|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROUTES = "    routes: list[ApiRoute] = [\n"
# What the new table, its routes and its shapes could break; with --renders=all, everything.
SUITES = f"ARGS=tests/integration {' '.join(f'tests/unit/{part}' for part in ('controllers', 'models', 'routes'))}"


def test_a_resource_is_added_as_the_guide_says(
    render: Render, open_folder: Path, request: pytest.FixtureRequest
) -> None:
    folder = render(output=open_folder / "guided")
    everything = request.config.getoption("--renders") == "all"
    steps = list(_steps((folder / GUIDE).read_text("utf-8")))

    for title, text in steps:
        _take(folder, title, text)
    make(folder, "format", "check", "migrate", "test", *([] if everything else [SUITES]))

    assert ["models", "The migration", "services", "controllers", "routes", "app.py", "tests"] == [
        title.partition("/")[0] for title, _ in steps
    ]
    assert re.search(r"create_table\(\s*.orders.", _new_migration(folder).read_text("utf-8"))
    assert "/api/orders/{order_id}" in run([".venv/bin/acme-service", "routes"], folder)


def _steps(guide: str) -> Iterator[tuple[str, str]]:
    [section] = SECTION.findall(guide)
    yield from STEP.findall(section)


def _take(folder: Path, title: str, text: str) -> None:
    """Do what one step of the guide says, in *folder*."""
    [package] = (folder / "src").iterdir()
    if title == "app.py":
        _compose(package, text)
    elif title.endswith(".py"):
        [source] = BLOCK.findall(text)
        path = folder / title if title.startswith("tests/") else package / title
        assert not path.exists()
        path.write_text(source, "utf-8")
    else:
        [message] = re.findall(r'`make migration MESSAGE="(.+?)"`', text)
        make(folder, "setup", "migration", f"MESSAGE={message}")


def _compose(package: Path, text: str) -> None:
    """Add the step's line to `_routes`, and import from the new files what it names."""
    [line] = BLOCK.findall(text)
    app = package / "app.py"
    source = app.read_text("utf-8")
    assert 1 == source.count(ROUTES)
    imports = "".join(
        f"from .{folder}.orders import {name}\n"
        for folder in ("controllers", "routes", "services")
        for name in re.findall(
            r"^(?:class|def) (\w+)", (package / folder / "orders.py").read_text("utf-8"), re.MULTILINE
        )
        if re.search(rf"\b{name}\b", line)
    )
    with_imports = source.replace("from .wiring import Core\n", f"{imports}from .wiring import Core\n", 1)
    app.write_text(with_imports.replace(ROUTES, ROUTES + line), "utf-8")


def _new_migration(folder: Path) -> Path:
    [written] = folder.glob("src/*/migrations/versions/*_create_orders.py")
    return written
