"""The documentation page in a real browser, from a real process."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from ..process.command import Command
from .chromium import browser_page


def test_the_page_shows_and_tries_the_api_without_complaints_or_foreign_hosts(tmp_path: Path, sqlite_url: str) -> None:
    variables = {"APP_ENV": "test", "DATABASE_URL": sqlite_url}
    with browser_page(tmp_path / "profile") as page, Command(tmp_path, **variables) as service:
        home = f"http://127.0.0.1:{service.port()}"
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
