"""The chat serves the client that most people use: socket.io-client for JavaScript, unmodified, from npm."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import pytest

import acme_service

from tests.application import new_user
from tests.chat import IDENTIFIED, SHARED, log_in, metric, until
from tests.databases import skip_or_fail_in_ci
from tests.process import ServiceProcess

from ..redis_server import RedisServer

PACKAGE = "socket.io-client@4.8.4"
PAGE = Path(acme_service.__file__).parent / "chassis" / "chat" / "page"
VENDORED = PAGE / "socket.io.esm.min.js"
DOCUMENTS = Path(acme_service.__file__).parents[2] / "docs"
PROGRAM = Path(__file__).with_name("socketio_client.mjs")
ROOM = "tea-room"
SECONDS = 20.0
TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the client's package, which npm installs."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        skip_or_fail_in_ci("no Node with npm: the chat is not tried with the client for JavaScript")
    folder = tmp_path_factory.mktemp("node")
    options = ("--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline")
    installed = subprocess.run(
        [npm, "install", *options, "--prefix", str(folder), PACKAGE], check=False, timeout=300, cwd=folder
    )
    if installed.returncode:
        skip_or_fail_in_ci(f"npm could not install {PACKAGE}")
    return folder / "node_modules"


class JavaScript:
    """A Node process with one client, which connects at once."""

    def __init__(self, packages: Path, port: int, **options: Any) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._read = 0
        self._new: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [str(shutil.which("node")), str(PROGRAM), str(packages), f"http://127.0.0.1:{port}", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def wait(self, event: str, **members: Any) -> dict[str, Any]:
        """The next *event* with these *members*; what came before it is passed over."""
        ends = time.monotonic() + SECONDS
        while True:
            for number, (name, data) in enumerate(self.heard[self._read :], self._read + 1):
                if name == event and members.items() <= data.items():
                    self._read = number
                    found: dict[str, Any] = data
                    return found
            try:
                line = self._new.get(timeout=max(0.01, ends - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no {event} {members}: {self.heard}"
            told = json.loads(line)
            self.heard.append((told["event"], told["data"]))

    def call(self, event: str, *arguments: Any, **members: Any) -> dict[str, Any]:
        """The acknowledgement of *event*."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps({'event': event, 'arguments': arguments or [members]})}\n")
        self._process.stdin.flush()
        return self.wait("acknowledged")

    def join(self, name: str, room: str = ROOM) -> dict[str, Any]:
        who = {} if IDENTIFIED else {"userId": name, "username": name}
        answer = self.call("join-room", roomId=room, **who)
        assert answer["ok"], answer
        return answer

    def leave(self) -> None:
        """Disconnect, and end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._new.put(line)
        self._new.put(None)


def credentials(service: ServiceProcess, name: str) -> dict[str, Any]:
    """The option that says who connects; the user is created."""
    if not IDENTIFIED:
        return {}
    with service.client() as client:
        client.post("/api/auth/register", json=new_user(name)).raise_for_status()
        return {"auth": {"token": log_in(client, name)}}


@pytest.mark.parametrize("transports", TRANSPORTS, ids=" ".join)
def test_people_talk_over_each_transport(
    packages: Path, tmp_path: Path, sqlite_url: str, transports: list[str]
) -> None:
    with serve(tmp_path, DATABASE_URL=sqlite_url) as service:
        ada_is, bob_is = credentials(service, "Ada"), credentials(service, "Bob")
        with (
            JavaScript(packages, service.port, transports=transports, **ada_is) as ada,
            JavaScript(packages, service.port, transports=["websocket"], **bob_is) as bob,
        ):
            assert transports[0] == ada.wait("open")["transport"]
            if len(transports) > 1:
                assert "websocket" == ada.wait("upgrade")["transport"]
            else:
                ada.wait("connect")
            assert 0 == ada.join("Ada")["lastMessageId"]
            bob.wait("connect")
            bob.join("Bob")
            assert "Bob" == ada.wait("user-joined")["username"]
            answer = ada.call("send-message", roomId=ROOM, message="Tea? 🫖", messageType="text", clientMessageId="1")
            assert (True, 1, False) == (answer["ok"], answer["id"], answer["again"])
            said = bob.wait("new-message")
            assert ("Tea? 🫖", "1") == (said["content"], said["clientMessageId"])
            bob.call("typing", roomId=ROOM)
            assert ada.wait("typing")["typing"] is True
            assert [1] == [message["id"] for message in ada.call("history", roomId=ROOM, since=0)["messages"]]
            refused = ada.call("send-message", roomId="another", message="unheard")
            assert (False, 403) == (refused["ok"], refused["error"]["status"])
            assert 404 == ada.call("unknown", {})["error"]["status"]


@pytest.mark.skipif(not IDENTIFIED, reason="the chat is open: no feature identifies callers")
@pytest.mark.parametrize("transports", TRANSPORTS[:2], ids=" ".join)
def test_a_refused_connection_is_told_why(
    packages: Path, tmp_path: Path, sqlite_url: str, transports: list[str]
) -> None:
    with serve(tmp_path, DATABASE_URL=sqlite_url) as service:
        for options in ({}, {"auth": {"token": "not one"}}):
            with JavaScript(packages, service.port, transports=transports, **options) as stranger:
                error = stranger.wait("connect_error")
                assert error["data"]["status"] in {401, 422}, error
                assert {"type", "title", "detail", "instance"} <= error["data"].keys()
                assert error["active"] is False, "it does not try again by itself"


@pytest.mark.parametrize("transports", TRANSPORTS, ids=" ".join)
def test_a_client_comes_back_by_itself_after_a_restart(
    packages: Path, tmp_path: Path, sqlite_url: str, transports: list[str]
) -> None:
    with serve(tmp_path, DATABASE_URL=sqlite_url) as first:
        port = first.port
        ada_is = credentials(first, "Ada")
        with JavaScript(packages, port, transports=transports, **ada_is) as ada:
            before = ada.wait("connect")["sid"]
            ada.join("Ada")
            assert ada.call("send-message", roomId=ROOM, message="before")["ok"]
            assert 0 == first.stop()
            assert ada.wait("disconnect")["active"] is True
            with serve(tmp_path, DATABASE_URL=sqlite_url, PORT=str(port)):
                assert before != ada.wait("connect")["sid"]
                assert 1 == ada.join("Ada")["lastMessageId"]
                assert 2 == ada.call("send-message", roomId=ROOM, message="after")["id"]


def test_the_client_of_the_documentation_shows_each_message_once_over_a_restart(
    packages: Path, tmp_path: Path, sqlite_url: str
) -> None:
    with contextlib.ExitStack() as stack, serve(tmp_path, DATABASE_URL=sqlite_url) as first:
        port, (dora_is, bob_is) = first.port, [credentials(first, name) for name in ("Dora", "Bob")]
        with (
            documented_client(packages, port, dora_is) as shown,
            JavaScript(packages, port, transports=["websocket"], **bob_is) as bob,
        ):
            for round_ in ("before", "after"):
                bob.wait("connect")
                bob.join("Bob", "hall")
                bob.call("send-message", roomId="hall", message=f"{round_} 1")
                assert f"Bob {round_} 1" == shown.get(timeout=SECONDS)
                bob.call("send-message", roomId="hall", message=f"{round_} 2")
                assert f"Bob {round_} 2" == shown.get(timeout=SECONDS)
                if round_ == "before":
                    assert 0 == first.stop()
                    stack.enter_context(serve(tmp_path, DATABASE_URL=sqlite_url, PORT=str(port)))
            assert shown.empty()


@contextlib.contextmanager
def documented_client(packages: Path, port: int, identity: dict[str, Any]) -> Iterator[queue.Queue[str]]:
    """The client that docs/chat.md shows, in Node; what it prints."""
    found = re.search(r"```js\n(.*?)```", (DOCUMENTS / "chat.md").read_text("utf-8"), re.DOTALL)
    assert found, "docs/chat.md has lost its client"
    script = found[1].replace("https://example.com", f"http://127.0.0.1:{port}")
    if not IDENTIFIED:
        script = script.replace("const who = {}", 'const who = { userId: "dora", username: "Dora" }')
    path = packages.parent / "documented.mjs"
    path.write_text(f"const token = {json.dumps(identity.get('auth', {}).get('token', ''))};\n{script}")
    printed: queue.Queue[str] = queue.Queue()
    with subprocess.Popen([str(shutil.which("node")), str(path)], stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=_pass_on, args=(process.stdout, printed), daemon=True)
        reader.start()
        try:
            yield printed
        finally:
            process.kill()
            reader.join()


def _pass_on(output: IO[str], lines: queue.Queue[str]) -> None:
    for line in output:
        lines.put(line.rstrip())


def test_with_redis_a_client_needs_websockets(
    packages: Path, tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    variables = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_server.url}
    with serve(tmp_path, **variables) as first, serve(tmp_path, **variables) as second:
        ada_is, bob_is = credentials(first, "Ada"), credentials(second, "Bob")
        with JavaScript(packages, first.port, transports=["polling"], reconnection=False, **ada_is) as refused:
            assert "xhr poll error" == refused.wait("connect_error")["message"]
        with (
            JavaScript(packages, first.port, transports=["websocket"], **ada_is) as ada,
            JavaScript(
                packages, second.port, transports=["polling", "websocket"], tryAllTransports=True, **bob_is
            ) as bob,
        ):
            talk(ada, bob)


def test_with_sticky_sessions_a_client_may_poll_several_processes(
    packages: Path, tmp_path: Path, sqlite_url: str, redis_server: RedisServer
) -> None:
    """Behind nginx as the page about the chat says it, from addresses of which each is always sent to one process."""
    variables = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_server.url, "CHAT_POLLING": "true"}
    variables |= {"CHAT_MESSAGES_PER_SECOND": "1000", "CHAT_EVENTS_PER_SECOND": "1000"}
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(serve(tmp_path, **variables)) for _ in range(2)]
        front = stack.enter_context(nginx(tmp_path, [service.port for service in services]))
        who = [credentials(services[0], name) for name in ("Ada", "Bob")]
        clients: dict[int, JavaScript] = {}
        for last in range(2, 30):
            address = f"127.0.0.{last}"
            options = {"transports": ["polling"], "localAddress": address, **who[len(clients)]}
            client = stack.enter_context(JavaScript(packages, front, **options))
            client.wait("connect")
            at = next(n for n, service in enumerate(services) if metric(service, "chat_connections") > (n in clients))
            if at not in clients:
                clients[at] = client
            else:
                client.leave()
                until(lambda at=at: metric(services[at], "chat_connections") == 1)  # type: ignore[misc] # a default of its own
            if len(clients) == len(services):
                break
        ada, bob = clients.values()
        talk(ada, bob)
        # Requests in a row, none of which may reach the other process.
        for number in range(21, 61):
            assert number == ada.call("send-message", roomId=ROOM, message=str(number))["id"]
            bob.wait("new-message", id=number)
            time.sleep(0.1 if number % 10 == 0 else 0)
        assert not [event for client in (ada, bob) for event, _ in client.heard if event == "disconnect"]


def talk(ada: JavaScript, bob: JavaScript) -> None:
    """Two clients at different processes hear each other."""
    ada.join("Ada")
    bob.join("Bob")
    for number in range(1, 21):
        sender, hearer = (ada, bob) if number % 2 else (bob, ada)
        assert number == sender.call("send-message", roomId=ROOM, message=str(number))["id"]
        assert str(number) == hearer.wait("new-message", id=number)["content"]


def serve(folder: Path, **variables: str) -> ServiceProcess:
    return ServiceProcess(folder, **SHARED, **variables)


@contextlib.contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    """Two processes behind nginx as docs/proxies.md has it, with the line of docs/chat.md; the port of both."""
    program = shutil.which("nginx")
    if program is None:
        skip_or_fail_in_ci("no nginx: long polling is not tried behind sticky sessions")
    front = free_port()
    sticky = re.search(r"^ *(hash .*;)$", block(DOCUMENTS / "chat.md"), re.MULTILINE)
    assert sticky, "docs/chat.md has lost its line for nginx"
    server = block(DOCUMENTS / "proxies.md").replace("listen 80;", f"listen 127.0.0.1:{front};")
    server = server.replace("upstream service {", f"upstream service {{\n  {sticky[1]}")
    for host, port in zip(("10.0.0.11", "10.0.0.12"), ports, strict=True):
        server = server.replace(f"{host}:8000", f"127.0.0.1:{port}")
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off; pid {folder}/nginx.pid; worker_processes 1; events {{}}"
    (folder / "nginx.conf").write_text(f"{head}\nhttp {{ access_log off; {kept}\n{server} }}\n")
    command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: accepts(front))
            yield front
        finally:
            process.terminate()


def block(document: Path) -> str:
    found = re.search(r"```nginx\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    assert found, document
    return found[1]


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_the_page_has_the_client_as_its_authors_publish_it(packages: Path) -> None:
    """Its licence and the hash of the file lie beside it."""
    published = (packages / "socket.io-client" / "dist" / VENDORED.name).read_bytes()
    name, version = PACKAGE.rsplit("@", 1)
    licence = (PAGE / "socket.io.LICENSE.txt").read_text("utf-8")

    assert published == VENDORED.read_bytes()
    assert f"{hashlib.sha256(published).hexdigest()}  {VENDORED.name}\n" == Path(f"{VENDORED}.sha256").read_text(
        "utf-8"
    )
    assert f"{name} {version}" in licence
    assert (packages / "socket.io-client" / "LICENSE").read_text("utf-8") in licence
