"""The page of the chat in a real browser: two windows, from a real process, which ends and comes back."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.application import PASSWORD, new_user
from tests.chat import IDENTIFIED, SHARED, identified
from tests.process import ServiceProcess

from .chromium import DESKTOP, PHONE, Page, browser_page

ROOM = "tea-room"
OWN_COMPLAINTS = ("ERR_CONNECTION", "WebSocket connection to", "Failed to load resource")
"""What a browser says of a service that is not there."""

MESSAGES = "[...document.querySelectorAll('#log > article .text')].map(text => text.innerText)"
IDS = "[...document.querySelectorAll('#log > article')].map(message => +message.dataset.id)"
WAITING = (
    "[...document.querySelectorAll('#log .waiting article')]"
    ".map(({children}) => [...children].map(each => each.innerText))"
)
ONLINE = "[...document.querySelectorAll('#online .name')].map(name => name.textContent).sort().join()"

FITTING = "#enter, #people, #log, #log > article"


class Window:
    """A browser in which somebody talks, by the keyboard alone."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name

    def open(self, port: int) -> None:
        self.page.call("Page.navigate", url=f"http://127.0.0.1:{port}/chat#{ROOM}")
        self.page.wait_for("document.readyState === 'complete' && document.querySelector('#room')?.value !== 'lobby'")

    def join(self, port: int) -> Self:
        self.open(port)
        self.page.value_of("document.querySelector('#enter input').focus()")
        if IDENTIFIED:
            self.write(new_user(self.name)["email"])
            self.press("Tab", 9)
            self.write(PASSWORD)
        else:
            self.write(self.name)
        self.press("Enter", 13)
        self.page.wait_for("!document.querySelector('#chat').hidden")
        return self

    def write(self, text: str) -> None:
        self.page.write(text)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        self.page.press(key, code, modifiers)

    def say(self, text: str) -> None:
        """The field for it has the focus from the start."""
        assert self.page.value_of("document.activeElement.id") == "message"
        self.write(text)
        self.press("Enter", 13)

    def sees(self, *messages: str) -> None:
        """These are shown, each once, in this order, and nothing is waiting."""
        self.page.wait_for(f"JSON.stringify({MESSAGES}) === JSON.stringify({json.dumps(messages)})")
        self.page.wait_for(f"{WAITING}.length === 0")

    def sees_online(self, *names: str) -> None:
        self.page.wait_for(f"{ONLINE} === {','.join(sorted(names))!r}")

    def is_(self, state: str) -> None:
        self.page.wait_for(f"document.querySelector('#chat').dataset.state === {state!r}")


@contextlib.contextmanager
def window(folder: Path, service: ServiceProcess, name: str, shape: dict[str, Any]) -> Iterator[Window]:
    """A window of *name*, who is known where the service wants to know people; it ends without own complaints."""
    if IDENTIFIED:
        with service.client() as client:
            client.post("/api/auth/register", json=new_user(name)).raise_for_status()
    with browser_page(folder / f"profile-{name}") as page:
        page.call("Emulation.setDeviceMetricsOverride", **shape)
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        yield Window(page, name)
        assert [] == [text for text in page.complaints if not any(own in text for own in OWN_COMPLAINTS)]
        assert {"127.0.0.1"} == {urlsplit(url).hostname for url in page.requested}


def serve(folder: Path, database_url: str, **variables: str) -> ServiceProcess:
    return ServiceProcess(folder, **SHARED, DATABASE_URL=database_url, **variables)


def test_two_people_talk_and_come_back_after_a_restart(tmp_path: Path, sqlite_url: str) -> None:
    with serve(tmp_path, sqlite_url) as first:
        port = first.port
        with window(tmp_path, first, "Ada", DESKTOP) as ada, window(tmp_path, first, "Bob", PHONE) as bob:
            ada.join(port).sees_online("Ada")
            bob.join(port).sees_online("Ada", "Bob")
            ada.sees_online("Ada", "Bob")
            bob.write("Hello")
            ada.page.wait_for("document.querySelector('#typing').innerText === 'Bob is typing…'")
            bob.press("Enter", 13)
            ada.sees("Hello")
            ada.page.wait_for("document.querySelector('#typing').innerText === ''")
            ada.write("Two")
            ada.press("Enter", 13, modifiers=8)  # with shift
            ada.say("lines <b>& marks</b> 👋")
            bob.sees("Hello", "Two\nlines <b>& marks</b> 👋")

            assert 0 == first.stop()
            ada.is_("offline")
            bob.is_("offline")
            ada.say("Are you there?")
            ada.say("I am.")
            ada.page.wait_for(f"{WAITING}.length === 2")
            with serve(tmp_path, sqlite_url, PORT=str(port)) as second:
                assert port == second.port
                ada.is_("online")
                bob.is_("online")
                told = ["Hello", "Two\nlines <b>& marks</b> 👋", "Are you there?", "I am."]
                ada.sees(*told)
                bob.sees(*told)
                ada.sees_online("Ada", "Bob")
                bob.say("Back again.")
                ada.sees(*told, "Back again.")
                assert [1, 2, 3, 4, 5] == ada.page.value_of(IDS) == bob.page.value_of(IDS)

                bob.page.value_of("document.querySelector('#leave').click()")
                ada.sees_online("Ada")
                assert bob.page.value_of("!document.querySelector('#entrance').hidden")


def test_messages_that_were_not_heard_are_asked_for(tmp_path: Path, sqlite_url: str) -> None:
    """When a number is skipped, or the process says that there are more."""
    with serve(tmp_path, sqlite_url) as service, window(tmp_path, service, "Ada", DESKTOP) as ada:
        ada.join(service.port).say("one")
        ada.sees("one")
        store_unheard(sqlite_url, 2, "two")
        ada.say("three")
        ada.sees("one", "two", "three")
        store_unheard(sqlite_url, 4, "four")
        ada.sees("one", "two", "three", "four")

        for number in range(5, 400):
            store_unheard(sqlite_url, number, f"No. {number}")
        ada.page.wait_for(f"{IDS}.at(-1) === 399")
        assert list(range(1, 400)) == ada.page.value_of(IDS)


def test_a_message_whose_acknowledgement_was_lost_is_shown_once(tmp_path: Path, sqlite_url: str) -> None:
    with (
        serve(tmp_path, sqlite_url) as service,
        Relay(service.port) as relay,
        window(tmp_path, service, "Ada", DESKTOP) as ada,
        window(tmp_path, service, "Bob", DESKTOP) as bob,
    ):
        bob.join(service.port)
        ada.join(relay.port).say("before")
        ada.sees("before")
        relay.deaf = True
        ada.say("only once")
        bob.sees("before", "only once")
        assert [["only once", "sending…"]] == ada.page.value_of(WAITING)
        relay.deaf = False
        relay.cut()
        ada.say("after")
        ada.sees("before", "only once", "after")
        bob.sees("before", "only once", "after")


@identified
def test_a_login_lasts_longer_than_its_token_and_ends_when_it_is_revoked(tmp_path: Path, sqlite_url: str) -> None:
    variables = {"JWT_EXPIRES_IN_SECONDS": "3"}
    with serve(tmp_path, sqlite_url, **variables) as service, window(tmp_path, service, "Ada", DESKTOP) as ada:
        ada.join(service.port)
        ada.page.value_of(
            "new MutationObserver(() => { window.lost = true })"
            ".observe(document.querySelector('#chat'), {attributeFilter: ['data-state']})"
        )
        ends = datetime.now(UTC) + timedelta(seconds=8)
        ada.page.wait_for(f"Date.now() > {ends.timestamp() * 1000}")
        ada.say("still here")
        ada.sees("still here")
        assert ada.page.value_of("window.lost") is None

        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database, database:
            database.execute("DELETE FROM sessions")
        ada.page.wait_for("!document.querySelector('#entrance').hidden")
        assert ada.page.value_of("document.querySelector('#refusal').innerText")


@identified
def test_a_wrong_password_is_refused_in_words(tmp_path: Path, sqlite_url: str) -> None:
    with serve(tmp_path, sqlite_url) as service, window(tmp_path, service, "Ada", PHONE) as ada:
        ada.open(service.port)
        ada.write(new_user("Ada")["email"])
        ada.page.value_of("document.querySelector('#email').value = 'ada@example.com'")
        ada.page.value_of("document.querySelector('#password').value = 'wrong'")
        ada.page.value_of("document.querySelector('#enter').requestSubmit()")
        ada.page.wait_for("document.querySelector('#refusal').innerText !== ''")
        assert not ada.page.value_of("document.querySelector('#enter button').disabled")


@pytest.mark.parametrize("shape", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everything_on_the_page_fits_and_has_a_name(tmp_path: Path, sqlite_url: str, shape: dict[str, Any]) -> None:
    with serve(tmp_path, sqlite_url) as service, window(tmp_path, service, "Ada", shape) as ada:
        ada.open(service.port)
        ada.page.require_fit_and_names(FITTING)
        ada.join(service.port).say("x" * 2000)
        ada.page.wait_for(f"{IDS}.length === 1")
        ada.page.require_fit_and_names(FITTING)


def store_unheard(url: str, number: int, text: str) -> None:
    """What another process stores while this one is deaf."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as database, database:
        database.execute("UPDATE rooms SET last = ? WHERE id = ?", (number, ROOM))
        columns = "room_id, id, user_id, username, content, kind, sent_at"
        stored = (
            ROOM,
            number,
            "somebody",
            "Somebody",
            text,
            "text",
            datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        )
        database.execute(f"INSERT INTO messages ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", stored)  # noqa: S608


class Relay:
    """Stands between a browser and a service; while it is `deaf`, nothing that the service says arrives."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self._service = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """End all connections."""
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready, self._listener:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._over:
                for key, _ in ready.select(timeout=0.1):
                    if key.data is None:
                        self._accept(ready)
                    else:
                        self._pass_on(ready, key.fileobj, *key.data)
            for pair in self._pairs:
                for end in pair:
                    end.close()

    def _accept(self, ready: selectors.BaseSelector) -> None:
        client, service = self._listener.accept()[0], socket.create_connection(self._service)
        self._pairs.append((client, service))
        ready.register(client, selectors.EVENT_READ, (service, False))
        ready.register(service, selectors.EVENT_READ, (client, True))

    def _pass_on(self, ready: selectors.BaseSelector, source: Any, target: socket.socket, from_service: bool) -> None:  # noqa: FBT001
        try:
            data = source.recv(65536)
            if data and not (self.deaf and from_service):
                target.sendall(data)
        except OSError:
            data = b""
        if not data:
            ready.unregister(source)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
