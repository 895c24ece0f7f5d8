"""The page of the assistant in a real browser: a question, its completion token by token, and what may go wrong."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ai_chat import IDENTIFIED, Call, FakeProvider, fails, says
from tests.application import PASSWORD, new_user
from tests.process import ServiceProcess

from .chromium import DESKTOP, PHONE, Page, browser_page

OWN_COMPLAINTS = ("Failed to load resource",)
"""What a browser says of an error that the page shows."""
FITTING = "#enter, #log, #log > article, #compose"
TEXTS = "[...document.querySelectorAll('#log .text')].map(text => text.innerText)"
ACTIVE = "document.activeElement.id"


@contextlib.contextmanager
def asked(
    folder: Path, database_url: str, provider: FakeProvider, shape: dict[str, Any]
) -> Iterator[tuple[ServiceProcess, Page]]:
    """A page that is ready for a question; it ends without complaints, and has asked no other host."""
    variables = {
        "AI_BASE_URL": provider.url,
        "AI_API_KEY": secrets.token_urlsafe(24),
        "AI_ATTEMPTS": "1",
        **({"JWT_SECRET": secrets.token_urlsafe(48)} if IDENTIFIED else {}),
    }
    with (
        ServiceProcess(folder, DATABASE_URL=database_url, **variables) as service,
        browser_page(folder / "profile") as page,
    ):
        page.call("Emulation.setDeviceMetricsOverride", **shape)
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        page.call("Page.navigate", url=f"http://127.0.0.1:{service.port}/assistant")
        if IDENTIFIED:
            with service.client() as client:
                client.post("/api/auth/register", json=new_user("Ada")).raise_for_status()
            page.wait_for("document.readyState === 'complete' && document.querySelector('#enter') !== null")
            page.value_of("document.querySelector('#email').focus()")
            page.write(new_user("Ada")["email"])
            page.press("Tab", 9)
            page.write(PASSWORD)
            page.press("Enter", 13)
        page.wait_for("document.querySelector('#assistant')?.hidden === false")
        yield service, page
        assert [] == [text for text in page.complaints if not any(own in text for own in OWN_COMPLAINTS)]
        assert {"127.0.0.1"} == {urlsplit(url).hostname for url in page.requested}


def ask(page: Page, text: str) -> None:
    """The field for it has the focus from the start."""
    assert page.value_of(ACTIVE) == "message"
    page.write(text)
    page.press("Enter", 13)


@pytest.mark.parametrize("shape", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_completion_comes_token_by_token_and_can_be_stopped(
    tmp_path: Path, sqlite_url: str, shape: dict[str, Any]
) -> None:
    may_go_on = threading.Event()

    def slowly(call: Call) -> None:
        call.start()
        call.part("One <b>& ")
        may_go_on.wait(10)
        call.part("two 👋")
        call.part(None, "stop")
        call.end()

    with FakeProvider(slowly) as provider, asked(tmp_path, sqlite_url, provider, shape) as (_, page):
        page.require_fit_and_names(FITTING)
        ask(page, "Count!")
        page.wait_for(f"{TEXTS}.join('|') === 'Count!|One <b>& '")
        assert not page.value_of("document.querySelector('#stop').hidden")
        page.screenshot(tmp_path / "stream.png")
        may_go_on.set()
        page.wait_for(f"{TEXTS}[1] === 'One <b>& two 👋' && document.querySelector('#stop').hidden")
        page.require_fit_and_names(FITTING)

        may_go_on.clear()
        ask(page, "Again")
        page.wait_for(f"{TEXTS}.length === 4 && {TEXTS}[3] !== ''")
        page.press("Escape", 27)
        page.wait_for("document.querySelector('#log article:last-child .note')?.innerText.startsWith('Stopped')")
        assert provider.call(2).is_cancelled()
        assert ["Count!", "One <b>& two 👋", "Again"] == [content for _, content in provider.call(2).said[1:]]
        page.screenshot(tmp_path / "stopped.png")
        page.value_of("document.querySelector('#again').click()")
        assert [] == page.value_of(TEXTS)
        may_go_on.set()
        ask(page, "Fresh")
        page.wait_for(f"{TEXTS}.join('|') === 'Fresh|One <b>& two 👋'")
        assert ["Fresh"] == [content for _, content in provider.call(3).said[1:]]


def test_a_failure_is_shown_in_words_and_the_question_is_kept(tmp_path: Path, sqlite_url: str) -> None:
    def breaks(call: Call) -> None:
        call.start()
        call.part("half of")
        call.cut()

    behaviours = [fails(401), breaks, says("x" * 3000, reason="length")]
    with FakeProvider(*behaviours) as provider, asked(tmp_path, sqlite_url, provider, PHONE) as (service, page):
        ask(page, "Are you there?")
        page.wait_for("document.querySelector('#log [role=alert]') !== null")
        assert "operator" in page.value_of("document.querySelector('#log [role=alert]').innerText")
        assert "Are you there?" == page.value_of("document.querySelector('#message').value")
        page.press("Enter", 13)
        page.wait_for("document.querySelectorAll('#log [role=alert]').length === 2")
        assert ["", "Are you there?", "half of"] == page.value_of(TEXTS)
        ask(page, "Once more")
        page.wait_for("document.querySelector('#log').innerText.includes('limit of length')")
        page.require_fit_and_names(FITTING)
        page.screenshot(tmp_path / "failed.png")

        assert 0 == service.stop()
        ask(page, "Still there?")
        page.wait_for("document.querySelector('#log').innerText.includes('cannot be reached')")
        page.complaints.clear()
