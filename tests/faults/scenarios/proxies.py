"""Two processes behind nginx and behind haproxy, set as the project's documentation says, and restarted in turn."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from chassis.open.harness import free_port

from ..load import Ask, Load
from ..story import Story, cannot_run, patient_scenario
from ..world import SECONDS, Running, Store, World, new_client

PAGE = "docs/proxies.md"
DRAIN_DELAY_SECONDS = 3
"""Above the check interval times the failures of the documented configurations."""
USERS = 8


def _block(heading: str) -> str:
    """The first code block below *heading* of the render's page about proxies."""
    from acme_service.app import SERVICE  # noqa: PLC0415 - the render

    page = (SERVICE.versions.parents[3] / PAGE).read_text("utf-8")
    found = re.search(rf"^## {heading}$.*?^```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE} has no block below {heading!r}"
    return found[1]


def _with_addresses(configuration: str, backends: list[int], front: int) -> str:
    """The documented *configuration* with the addresses of this run."""
    for host, port in zip(("10.0.0.11", "10.0.0.12"), backends, strict=True):
        configuration = configuration.replace(f"{host}:8000", f"127.0.0.1:{port}")
    return re.sub(r"\b(listen|bind) (\*:)?80\b", rf"\1 127.0.0.1:{front}", configuration)


@contextlib.contextmanager
def _proxy(command: list[str], url: str) -> Iterator[None]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            ends = time.monotonic() + SECONDS
            while not answers(url):
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                assert time.monotonic() < ends, f"{command[0]} does not answer"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        with new_client(url) as client:
            return client.get("/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


def _command(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    return path or cannot_run(f"no {name} (Debian's package is `{name}`)")


@patient_scenario
def rolling_restart_behind_nginx(world: World, story: Story) -> None:
    """Two processes behind nginx, restarted in turn under reads and writes: no request fails."""
    with _backends(world, story) as backends, nginx(world, story, backends.ports) as front:
        backends.roll(front)


@contextlib.contextmanager
def nginx(world: World, story: Story, ports: list[int]) -> Iterator[int]:
    """The port of an nginx before two processes on *ports*, which one of them serves at least."""
    program = _command("nginx")
    front, file, log = free_port(), world.folder / "nginx.conf", world.folder / "error.log"
    file.write_text(_nginx(_with_addresses(_block("nginx"), ports, front), world.folder))
    try:
        with _proxy([program, "-c", str(file), "-e", str(log)], f"http://127.0.0.1:{front}"):
            yield front
    finally:
        lines = log.read_text().splitlines() if log.exists() else []
        refused = sum("connect() failed" in line for line in lines)
        story.did(f"nginx noted {refused} refused connections, which it tried elsewhere")
        others = [line for line in lines if "[error]" in line and "connect()" not in line]
        story.lines += [f"   note  {line}" for line in others[:5]]


def _nginx(server: str, folder: Path) -> str:
    kept = "".join(
        f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nworker_processes 1;\n"
    return f"{head}events {{}}\nhttp {{\n  access_log off;\n{kept}{server}}}\n"


@patient_scenario
def rolling_restart_behind_haproxy(world: World, story: Story) -> None:
    """Two processes behind haproxy, restarted in turn under reads and writes: no request fails."""
    program = _command("haproxy")
    with _backends(world, story) as backends:
        front = free_port()
        file = world.folder / "haproxy.cfg"
        file.write_text(_with_addresses(_block("HAProxy"), backends.ports, front))
        with _proxy([program, "-db", "-q", "-f", str(file)], f"http://127.0.0.1:{front}"):
            backends.roll(front)


class Backends:
    """Two processes on one database; one after the other is ended by SIGTERM and started again."""

    def __init__(self, world: World, story: Story, store: Store, running: contextlib.ExitStack) -> None:
        self._world, self._story, self._store, self._running = world, story, store, running
        self.ports = [free_port(), free_port()]
        self._processes = [self._start(port) for port in self.ports]
        for process in self._processes:
            process.port()

    def _start(self, port: int) -> Running:
        variables = {"DRAIN_DELAY_SECONDS": str(DRAIN_DELAY_SECONDS), "TRUSTED_PROXIES": "127.0.0.1"}
        return self._running.enter_context(self._world.serve(self._store.url, PORT=str(port), **variables))

    def roll(self, front: int) -> None:
        """Restart both under load through the port *front*. Raises BrokenPromise if a request fails."""
        url = f"http://127.0.0.1:{front}"
        with new_client(url, self._store.token) as client:
            ids = [self._new_user(client, number) for number in range(USERS)]
        with (
            Load(url, _read, token=self._store.token, clients=4, pause=0.005) as reads,
            Load(url, _writes_to(ids), token=self._store.token, clients=4, pause=0.005) as writes,
        ):
            time.sleep(1)
            codes = [self._restart(number) for number in range(2)]
            time.sleep(1)
        self._story.did("restarted both in turn under 4 clients that read and 4 that write")
        self._story.holds(codes == [0, 0], f"both ended cleanly: {codes}")
        self._story.holds(
            set(reads.statuses()) == {200}, f"every read succeeded: {reads.statuses()} {reads.failures() or ''}"
        )
        self._story.holds(
            set(writes.statuses()) == {200}, f"every write succeeded: {writes.statuses()} {writes.failures() or ''}"
        )

    @staticmethod
    def _new_user(client: httpx2.Client, number: int) -> str:
        user = {"name": "Ada", "email": f"ada{number}@example.com", "password": "correct horse battery"}
        user_id: str = client.post("/api/users", json=user).raise_for_status().json()["id"]
        return user_id

    def _restart(self, number: int) -> int:
        process = self._processes[number]
        process.signal(signal.SIGTERM)
        code = process.exit_code(DRAIN_DELAY_SECONDS + 15)
        self._processes[number] = self._start(self.ports[number])
        self._processes[number].port()
        while not answers(f"http://127.0.0.1:{self.ports[number]}"):
            time.sleep(0.05)
        time.sleep(DRAIN_DELAY_SECONDS)  # the proxy has to notice that it is back, before the other one leaves
        return code


def _read(client: httpx2.Client, _number: int) -> httpx2.Response:
    return client.get("/api/users?limit=5")


def _writes_to(ids: list[str]) -> Ask:
    def write(client: httpx2.Client, number: int) -> httpx2.Response:
        return client.patch(f"/api/users/{ids[number % len(ids)]}", json={"name": f"n{number}"})

    return write


@contextlib.contextmanager
def _backends(world: World, story: Story) -> Iterator[Backends]:
    _, store = world.postgresql()
    with contextlib.ExitStack() as running:
        yield Backends(world, story, store, running)
