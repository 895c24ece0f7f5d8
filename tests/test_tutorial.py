"""What the documents tell a newcomer to do is done here, word for word, on a new project."""

from __future__ import annotations

import re
from pathlib import Path

import guide
import pytest
from conftest import Render, make, run

# What the new table, its routes and its shapes could break; with --renders=all, everything.
SUITES = "ARGS=tests/test_orders_api.py tests/test_service.py tests/test_project_files.py"


@pytest.mark.parametrize("profile", ["standard", "minimal"])
def test_a_resource_is_added_as_the_guide_says(
    render: Render, open_folder: Path, request: pytest.FixtureRequest, profile: str
) -> None:
    folder = render(output=open_folder / f"guided_{profile}", profile=profile)
    section = guide.sections(folder / "docs/architecture.md")["Add a resource"]
    everything = request.config.getoption("--renders") == "all"
    make(folder, "setup")
    guide.apply(folder, section)
    make(folder, "format", "check", "test", *([] if everything else [SUITES]))

    assert re.search(r"create_table\(\s*.orders.", _new_migration(folder).read_text("utf-8"))
    assert "/api/orders/{order_id}" in run([".venv/bin/acme-service", "routes"], folder)


def _new_migration(folder: Path) -> Path:
    [written] = folder.glob("src/*/migrations/versions/*_create_orders.py")
    return written
