"""A headless Chromium, driven over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

from tests.databases import skip_or_fail_in_ci

START_SECONDS = 20
DESKTOP = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one, and it loads no page but ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1200,1400",
)


class Page:
    """One tab: what it requested, and what it complained about."""

    def __init__(self, socket: ClientConnection) -> None:
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._last_id = 0
        for domain in ("Page", "Network", "Log", "Runtime", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._last_id += 1
        self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=START_SECONDS))
            if message.get("id") == self._last_id:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def value_of(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = START_SECONDS) -> None:
        """Return when the JavaScript *expression* is true."""
        deadline = time.monotonic() + seconds
        while not self.value_of(expression):
            assert time.monotonic() < deadline, (expression, self.complaints)
            time.sleep(0.05)

    def write(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        pressed: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def require_fit_and_names(self, parts: str) -> None:
        """Nothing is cut off, neither of the page nor of those of its *parts*; what can be used has a name."""
        assert self.value_of("document.documentElement.scrollWidth <= innerWidth")
        assert self.value_of("document.documentElement.scrollHeight <= innerHeight")
        assert self.value_of(
            f"[...document.querySelectorAll({parts!r})].every(each => each.scrollWidth <= each.clientWidth)"
        )
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        named = {"button", "textbox", "log", "list", "link"}
        nameless = [
            node["role"]["value"]
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in named and not node.get("name", {}).get("value")
        ]
        assert [] == nameless

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        what, parameters = message.get("method"), message.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif what == "Log.entryAdded" and parameters["entry"]["level"] in {"warning", "error"}:
            self.complaints.append(parameters["entry"]["text"])
        elif what == "Runtime.consoleAPICalled" and parameters["type"] in {"warning", "error", "assert"}:
            self.complaints.append(json.dumps(parameters["args"]))
        elif what == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif what == "Audits.issueAdded" and "contentSecurityPolicy" in json.dumps(parameters):
            self.complaints.append(json.dumps(parameters))


@contextmanager
def browser_page(profile: Path) -> Iterator[Page]:
    """An empty tab of a new browser whose profile is the empty directory *profile*."""
    with subprocess.Popen(
        [_executable(), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with connect(_debugger_address(profile), max_size=None) as socket:
                page = Page(socket)
                yield page
                page.call("Browser.close")  # a killed one leaves a folder in /tmp
                process.wait(START_SECONDS)
        finally:
            process.kill()


def _executable() -> str:
    """The path of a Chromium; without one the test is skipped, and fails where CI is set."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        skip_or_fail_in_ci("no Chromium: the documentation page is not tried in a browser")
    return found


def _debugger_address(profile: Path) -> str:
    port_file = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_SECONDS
    while not port_file.exists() or not (lines := port_file.read_text().splitlines()):
        assert time.monotonic() < deadline, "Chromium did not start"
        time.sleep(0.05)
    with urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=START_SECONDS) as answer:
        tabs = json.load(answer)
    return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
