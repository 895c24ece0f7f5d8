"""A Redis that never worked, is killed, freezes, and comes back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from chassis.redis_server import RedisServer
from tests.redis_server import redis_executable

from ..load import Load, list_users
from ..story import Story, cannot_run, scenario
from ..world import ADMIN, Running, World


@contextlib.contextmanager
def redis(world: World) -> Iterator[RedisServer]:
    try:
        executable = redis_executable()
    except BaseException as error:  # noqa: BLE001 - pytest's own exceptions, which are no Exception
        cannot_run(str(error))
    server = RedisServer(executable, world.folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def login(service: Running) -> int:
    with service.client() as client:
        return client.post("/api/auth/login", json=ADMIN).status_code


@scenario
def redis_never_worked(world: World, story: Story) -> None:
    """The service starts without its Redis: one warning names address and reason, and one line tells when it works."""
    store = world.sqlite()
    server = RedisServer(_executable(), world.folder)
    with world.serve(store.url, REDIS_URL=f"unix://:a-very-long-one@{world.folder / 'redis.sock'}") as service:
        with service.client(store.token) as client:
            story.did("started the service before its Redis")
            story.holds(client.get("/api/users").status_code == 200, "requests that read are served")
            story.holds(client.get("/health/ready").status_code == 200, "it is ready")
            status = login(service)
            story.holds(status == 503, f"a login, which cannot be counted, is 503: {status}")
            time.sleep(2)
            told = _told(service, "warning")
            story.holds(any("redis.sock" in line for line in told), f"a warning names the address: {told}")
            story.holds(len(told) <= 2, f"it is told {len(told)} times, not with each request")
            server.start()
            try:
                story.did("started Redis")
                story.until(lambda: login(service) == 200, 6, "a login succeeds")
                story.until(lambda: _told(service, "info"), 3, "a line tells that it is back")
                service.signal()
                story.holds(service.exit_code(30) == 0, "a clean end")
            finally:
                server.kill()
        service.events()
    story.holds("a-very-long-one" not in str(service.lines), "the password is in no line")


def _told(service: Running, level: str) -> list[str]:
    """What the log has told about Redis at *level* so far."""
    lines = service.lines_so_far()
    return [str(line) for line in lines if "redis" in line["event"].lower() and line["level"] == level]


def _executable() -> str:
    try:
        return redis_executable()
    except BaseException as error:  # noqa: BLE001 - as above
        cannot_run(str(error))


@scenario
def redis_killed(world: World, story: Story) -> None:
    """Redis dies under load and comes back: every request is served, logins are 503 meanwhile, and 200 within 5 s of
    its return.
    """
    _outage(world, story, lambda server: server.kill(), lambda server: server.start(), "killed Redis (kill -9)")


@scenario
def redis_frozen(world: World, story: Story) -> None:
    """Redis stops answering: requests are served, none waits over 2 s, and logins work within 5 s of its return."""
    _outage(world, story, lambda server: server.freeze(), lambda server: server.thaw(), "froze Redis (SIGSTOP)")


Take = Callable[[RedisServer], None]


def _outage(world: World, story: Story, take: Take, give: Take, what: str) -> None:
    store = world.sqlite()
    with redis(world) as server, world.serve(store.url, REDIS_URL=server.url) as service:
        story.holds(login(service) == 200, "a login succeeds")
        with Load(service.url, list_users, token=store.token, clients=3, pause=0.01) as load:
            time.sleep(0.5)
            take(server)
            try:
                story.did(f"{what} under 3 clients")
                story.until(lambda: login(service) == 503, 3, "a login, which cannot be counted, is 503")
                time.sleep(4)  # longer than any request may wait
            finally:
                give(server)
            story.did("gave it back")
            story.until(lambda: login(service) == 200, 5, "a login succeeds")
    statuses = load.statuses()
    story.holds(set(statuses) == {200}, f"every other request succeeded: {statuses}")
    story.holds(load.slowest_seconds < 2.5, f"the slowest took {load.slowest_seconds:.2f} s")
