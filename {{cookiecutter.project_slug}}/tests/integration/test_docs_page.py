"""The documentation page in a real browser, from a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from .chromium import browser_page


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a new service whose files are in *folder*."""
    environment = {
        "PATH": os.environ["PATH"],
        "APP_ENV": "test",
        "PORT": "0",
        "DATABASE_URL": f"sqlite:///{folder / 'service.db'}",
    }
    command = [sys.executable, "-m", "{{ cookiecutter.package_name }}", "serve"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if (told := json.loads(line))["event"] == "listening":
                    yield f"http://127.0.0.1:{told['port']}"
                    break
        finally:
            process.kill()


def test_the_page_shows_and_tries_the_api_without_complaints_or_foreign_hosts(tmp_path: Path) -> None:
    with browser_page(tmp_path / "profile") as page, served(tmp_path) as home:
        page.call("Page.navigate", url=f"{home}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length >= 9")
        page.screenshot(tmp_path / "docs.png")

        shown = page.value_of("document.body.innerText")
        assert "/api/users/{user_id}" in shown
        assert "Create a user" in shown

        page.value_of("document.querySelector('#operations-operations-get_identity .opblock-summary-control').click()")
        page.wait_for("document.querySelector('.try-out__btn') !== null")
        page.value_of("document.querySelector('.try-out__btn').click()")
        page.wait_for("document.querySelector('.execute') !== null")
        page.value_of("document.querySelector('.execute').click()")
        page.wait_for("document.querySelector('.live-responses-table') !== null")
        page.screenshot(tmp_path / "tried.png")
        assert "environment" in page.value_of("document.querySelector('.live-responses-table').innerText")

        assert [] == page.complaints
        requested = [urlsplit(url) for url in page.requested if not url.startswith("data:")]
        assert {urlsplit(home).netloc} == {address.netloc for address in requested}
        assert "/openapi.json" in {address.path for address in requested}
