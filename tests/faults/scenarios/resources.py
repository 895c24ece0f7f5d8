"""A process that is stopped for a while, and one that works for long."""

from __future__ import annotations

import os
import signal
import time

import httpx2

from ..load import Load
from ..sockets import connection, get, post, status_of
from ..story import Story, long_scenario, scenario
from ..world import Running, World

SOAK_SECONDS = 60.0 * float(os.environ.get("SOAK_MINUTES") or 15)


@scenario
def frozen_and_thawed(world: World, story: Story) -> None:
    """The process is stopped for 3 s and goes on, as on a machine that sleeps: every request is answered, and none is
    a 500. The time that it was stopped is no client's silence.
    """
    store = world.sqlite()
    with (
        world.serve(store.url, KEEP_ALIVE_SECONDS="1") as service,
        Load(service.url, _mixed, token=store.token, pause=0.01) as load,
    ):
        time.sleep(0.5)
        os.kill(service.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(service.pid, signal.SIGCONT)
        moment = time.monotonic()
        story.did("sent SIGSTOP under 4 clients, and SIGCONT after 3 s")
        story.until(lambda: load.successes_since(moment) > 20, 3, "requests succeed")
        # A check that the stop fell into has used up its time.
        story.until(lambda: status_of(service, get("/health/ready")) == 200, 2, "it is ready")
    story.holds(not load.not_told(), f"every request got a success or a 503 with Retry-After: {load.statuses()}")


def _mixed(client: httpx2.Client, number: int) -> httpx2.Response:
    return client.get(("/", "/api/users", "/api/auth/me", "/health/ready", "/metrics")[number % 5])


@long_scenario
def soak(world: World, story: Story) -> None:
    """Minutes of mixed load, with clients that break off: memory and descriptors stay where they were after the first
    third.
    """
    _, store = world.postgresql()
    with world.serve(store.url) as service, Load(service.url, _mixed, token=store.token, clients=6, pause=0.01) as load:
        time.sleep(SOAK_SECONDS / 3)
        memory, descriptors = service.resident_megabytes(), service.descriptors()
        ends = time.monotonic() + SOAK_SECONDS * 2 / 3
        while time.monotonic() < ends:
            for _ in range(10):
                _break_off(service)
            time.sleep(1)
        grown, more = service.resident_megabytes() - memory, service.descriptors() - descriptors
    story.did(f"sent {len(load.outcomes)} requests in {SOAK_SECONDS / 60:g} minutes; SOAK_MINUTES is how many")
    story.holds(not load.not_told(), f"every request got its response: {load.statuses()}")
    story.holds(grown < 5, f"memory grew by {grown:.1f} MB in the last two thirds, allowed 5 MB")
    story.holds(more <= 10, f"and the descriptors by {more}, allowed 10")


def _break_off(service: Running) -> None:
    with connection(service) as client:
        client.sendall(post("/api/auth/login", b"{", declared=1000))
