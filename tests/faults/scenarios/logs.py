"""Log output that nobody reads, that is closed, and a log file without room."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import httpx2

from chassis.open.harness import free_port

from ..disks import small_disk
from ..story import Story, scenario
from ..world import SECONDS, SERVE, Running, World

DROPPED = re.compile(r"^log_messages_dropped_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class Mute(Running):
    """The service with its standard output at the descriptor *output*, so that the log tells no port."""

    def __init__(self, folder: Path, environment: dict[str, str], output: int, command: Sequence[str] = SERVE) -> None:
        self._port = free_port()
        self.signalled_at = 0.0
        self.process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment | {"PORT": str(self._port)},
            stdout=output,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def port(self, listener: str = "main") -> int:
        del listener
        return self._port

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._wait(SECONDS)

    def is_ready(self) -> bool:
        try:
            with self.client() as client:
                return client.get("/health/ready").status_code == 200
        except httpx2.TransportError:
            return False


def _dropped(client: httpx2.Client) -> float:
    return sum(map(float, DROPPED.findall(client.get("/metrics").text)))


def _serves(service: Running, count: int) -> str:
    with service.client() as client:
        statuses = {client.get(f"/{'x' * 7000}").status_code for _ in range(count)}
    return ", ".join(map(str, statuses))


@scenario
def stdout_blocked(world: World, story: Story) -> None:
    """Nobody reads standard output: requests are served, lost lines are counted, and SIGTERM ends it cleanly."""
    store = world.sqlite()
    reading, writing = os.pipe()
    try:
        with Mute(world.folder, world.environment(store.url), writing) as service:
            story.until(service.is_ready, SECONDS, "it is ready")
            statuses = _serves(service, 1500)
            story.did("sent 1,500 requests, whose lines need 10 MB, while nobody read the pipe")
            story.holds(statuses == "404", f"each got its response: {statuses}")
            with service.client() as client:
                story.holds(_dropped(client) > 0, f"log_messages_dropped_total is {_dropped(client):.0f}")
            service.signal()
            story.holds(service.exit_code(15) == 0, "a clean end")
    finally:
        os.close(reading)
        os.close(writing)


@scenario
def stdout_closed(world: World, story: Story) -> None:
    """Standard output is closed, from the start or by its reader: requests are served, and SIGTERM ends it cleanly."""
    store = world.sqlite()
    reading, writing = os.pipe()
    os.close(reading)
    shell = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *SERVE]
    file = ["/bin/sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *SERVE]
    for how, command in (("by its reader", SERVE), ("from the start", shell), ("with all three descriptors", file)):
        with Mute(world.folder, world.environment(store.url), writing, command) as service:
            story.until(service.is_ready, SECONDS, f"closed {how}: it is ready")
            statuses = _serves(service, 50)
            story.holds(statuses == "404", f"50 requests got their responses: {statuses}")
            service.signal()
            code = service.exit_code(15)
            story.holds(code == 0, f"a clean end: {code}")
    os.close(writing)


@scenario
def log_file_without_room(world: World, story: Story) -> None:
    """The disk under LOG_FILE is full: requests are served, lost lines are counted, and lines are written again with
    room.
    """
    store = world.sqlite()
    with small_disk(world.folder, 2) as disk, world.serve(store.url, LOG_FILE=str(disk / "service.log")) as service:
        log = disk / "service.log"
        (disk / "ballast").write_bytes(b"x" * 1_000_000)
        statuses = _serves(service, 400)
        story.did("sent 400 requests, whose lines need more than the 1 MB of the disk that are free")
        story.holds(statuses == "404", f"each got its response: {statuses}")
        with service.client() as client:
            story.until(lambda: _dropped(client) > 0, 5, "log_messages_dropped_total tells of it")
            story.holds(client.get("/health/ready").status_code == 200, "it is ready")
            (disk / "ballast").unlink()
            story.did("made room")
            requested = client.get("/").headers["x-request-id"]
            story.until(lambda: requested in log.read_text(), 5, "a line is written again")
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            story.holds(len(lines) > 0, f"and none of the {len(lines)} lines of the file is half a line")
        service.signal()
        story.holds(service.exit_code(15) == 0, "a clean end")
