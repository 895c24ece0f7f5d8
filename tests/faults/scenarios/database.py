"""A PostgreSQL that crashes, restarts, freezes, is slow, fails over, or has no connection left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
from sqlalchemy import make_url

from ..load import Load, list_users
from ..postgres import Link
from ..story import Story, scenario
from ..world import Running, World

PASSWORD = "correct horse battery"
QUICK = {"DB_STATEMENT_TIMEOUT_SECONDS": "1", "DB_POOL_TIMEOUT_SECONDS": "1", "DB_CONNECT_TIMEOUT_SECONDS": "1"}
_numbers = itertools.count()


def rename(client: httpx2.Client, _number: int = 0) -> httpx2.Response:
    """A write that hashes no password, to the first user."""
    me = client.get("/api/auth/me")
    return me if me.is_error else client.patch(f"/api/users/{me.json()['id']}", json={"name": f"n{next(_numbers)}"})


def ready(client: httpx2.Client) -> bool:
    return client.get("/health/ready").status_code == 200


@scenario
def database_crash(world: World, story: Story) -> None:
    """PostgreSQL crashes under load: no 500, liveness stays, readiness fails within 2 s, success within 1 s of its
    return.
    """
    with world.postgresql_to_break() as (cluster, store), world.serve(store.url) as service:
        with (
            service.client(store.token) as client,
            Load(service.url, list_users, token=store.token, pause=0.01) as load,
        ):
            time.sleep(0.5)
            cluster.crash()
            story.did("crashed PostgreSQL (pg_ctl stop -m immediate) under 4 clients")
            story.until(lambda: not ready(client), 2, "readiness fails")
            story.holds(client.get("/health/live").status_code == 200, "liveness stays 200")
            time.sleep(0.5)
            cluster.start()
            back = time.monotonic()
            story.did("started it again")
            story.until(lambda: load.successes_since(back), 1, "first success after its return")
            story.until(lambda: ready(client), 2, "ready again")
        story.holds(not load.not_told(), f"every response was a success or a 503 with Retry-After: {load.statuses()}")
        before = len([outcome for outcome in load.outcomes if outcome.status == 503])
        story.holds(before > 0, f"{before} requests saw the outage")


@scenario
def database_restart_while_idle(world: World, story: Story) -> None:
    """PostgreSQL restarts while nothing is asked: no request fails afterwards."""
    with world.postgresql_to_break() as (cluster, store), world.serve(store.url) as service:
        with service.client(store.token) as client, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: list_users(client, 0), range(16)))
            cluster.restart()
            story.did("filled the pool, restarted PostgreSQL, and waited for 1.5 s")
            time.sleep(1.5)
            statuses = list(pool.map(lambda _: list_users(client, 0).status_code, range(16)))
        story.holds(set(statuses) == {200}, f"16 of 16 requests at once succeed: {statuses}")


@scenario
def database_failover(world: World, story: Story) -> None:
    """The primary becomes read-only: writes are 503, not 500, readiness fails, and success comes within 1 s of a new
    primary.
    """
    with world.postgresql_to_break() as (cluster, store), Link(store.url, world.folder).open() as link:
        with world.serve(link.address, **QUICK) as service, service.client(store.token) as client:
            story.holds(rename(client).status_code == 200, "a write succeeds on the first primary")
            cluster.read_only(on=True)
            story.did("made the primary read-only (SQLSTATE 25006), with its connections open")
            time.sleep(0.3)
            rejected = [rename(client) for _ in range(5)]
            statuses = [answer.status_code for answer in rejected]
            story.holds(set(statuses) == {503}, f"writes are rejected with 503: {statuses}")
            story.holds(all("retry-after" in answer.headers for answer in rejected), "each with Retry-After")
            story.until(lambda: not ready(client), 3, "readiness fails")
            cluster.read_only(on=False)
            story.did("made it writable")
            story.until(lambda: rename(client).status_code == 200, 1, "the first write succeeds")
            story.until(lambda: ready(client), 3, "ready again")


@scenario
def database_moves_to_another_primary(world: World, story: Story) -> None:
    """The address leads to a new primary while old connections stay open to a read-only one: the pool follows within 1
    s.
    """
    with world.postgresql_to_break() as (cluster, store), Link(store.url, world.folder).open() as link:
        with world.serve(link.address, **QUICK) as service, service.client(store.token) as client:
            with ThreadPoolExecutor(6) as pool:
                list(pool.map(lambda _: list_users(client, 0), range(12)))
            shared, _ = world.postgresql()
            other = shared.copy_of_seed(str(make_url(store.url).database))
            cluster.read_only(on=True)
            link.lead_to(other)
            story.did("led new connections to a second primary, and left the pool's on the first, which is read-only")
            time.sleep(0.3)
            story.until(lambda: rename(client).status_code == 200, 1, "the first write succeeds")
            statuses = [rename(client).status_code for _ in range(10)]
            story.holds(set(statuses) == {200}, f"and so do the next ones: {statuses}")


@scenario
def database_connections_ended_by_administrator(world: World, story: Story) -> None:
    """Every connection is terminated (57P01) under load: nothing but successes and 503 with Retry-After, at most 1 s
    long.
    """
    cluster, store = world.postgresql()
    with world.serve(store.url) as service, Load(service.url, list_users, token=store.token, pause=0.01) as load:
        time.sleep(0.5)
        for _ in range(3):
            cluster.end_connections(store.url)
            time.sleep(0.3)
        story.did("terminated all connections three times under 4 clients")
        moment = time.monotonic()
        story.until(lambda: load.successes_since(moment) > 20, 1, "requests succeed")
    story.holds(not load.not_told(), f"every response was a success or a 503 with Retry-After: {load.statuses()}")


@scenario
def database_pool_exhausted(world: World, story: Story) -> None:
    """Every connection is busy: others are 503 at DB_POOL_TIMEOUT_SECONDS, and the pool is whole afterwards."""
    cluster, store = world.postgresql()
    pool = {"DB_POOL_SIZE": "2", "DB_MAX_OVERFLOW": "0", "DB_POOL_TIMEOUT_SECONDS": "0.5"}
    with world.serve(store.url, **pool, DB_STATEMENT_TIMEOUT_SECONDS="3") as service:
        with service.client(store.token) as client, ThreadPoolExecutor(7) as threads:
            story.holds(list_users(client, 0).status_code == 200, "a read succeeds, and the caller is in the cache")
            with cluster.locked(store.url, "users"):
                story.did("locked the table `users`, with a pool of 2 connections, and sent 7 requests")
                answers = list(threads.map(lambda _: timed(client, "/api/users"), range(7)))
                story.holds(client.get("/health/live").status_code == 200, "liveness stays 200")
            waited = sorted(seconds for _, seconds in answers)
            statuses = [answer.status_code for answer, _ in answers]
            story.holds(set(statuses) == {503}, f"each is 503: {statuses}")
            told = f"5 of them after {waited[0]:.2f} to {waited[4]:.2f} s, the timeout being 0.5 s"
            story.holds(waited[4] < 2.5, told)
            statuses = list(threads.map(lambda _: list_users(client, 0).status_code, range(7)))
            story.holds(statuses.count(200) == 7, f"after the lock, 7 of 7 succeed: {statuses}")


def timed(client: httpx2.Client, path: str) -> tuple[httpx2.Response, float]:
    started = time.monotonic()
    return client.get(path), time.monotonic() - started


@scenario
def database_frozen(world: World, story: Story) -> None:
    """PostgreSQL stops answering with its connections open: requests are 503 within their timeouts, not hung."""
    with world.postgresql_to_break() as (cluster, store), world.serve(store.url, **QUICK) as service:
        _stalls(
            service, store.token, story, Stall("PostgreSQL (SIGSTOP to its processes)", cluster.freeze, cluster.thaw)
        )


@scenario
def database_network_partition(world: World, story: Story) -> None:
    """The network to PostgreSQL passes nothing on: requests are 503 within their timeouts, and succeed when it does
    again.
    """
    _, store = world.postgresql()
    with Link(store.url, world.folder).open() as link, world.serve(link.address, **QUICK) as service:
        _stalls(service, store.token, story, Stall("the proxy before PostgreSQL", link.stall, link.flow))


@dataclass(frozen=True)
class Stall:
    """How to stop everything that PostgreSQL says, and how to let it go on."""

    what: str
    begin: Callable[[], None]
    end: Callable[[], None]


def _stalls(service: Running, token: str, story: Story, stall: Stall) -> None:
    with service.client(token) as client, ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: list_users(client, 0), range(6)))
        stall.begin()
        story.did(f"froze {stall.what}, and sent 6 requests; statements and connects may take 1 s")
        try:
            answers = list(threads.map(lambda _: timed(client, "/api/users"), range(6)))
            statuses, longest = [answer.status_code for answer, _ in answers], max(seconds for _, seconds in answers)
            story.holds(set(statuses) == {503}, f"each is 503: {statuses}")
            story.holds(longest < 6, f"after {longest:.1f} s at most, allowed 6 s")
            story.until(lambda: not ready(client), 6, "readiness fails")
            story.holds(client.get("/health/live").status_code == 200, "liveness stays 200")
        finally:
            stall.end()
        story.until(lambda: list_users(client, 0).status_code == 200, 3, "the first success after it flows again")
        statuses = list(threads.map(lambda _: list_users(client, 0).status_code, range(12)))
        story.until(lambda: ready(client), 5, "ready again")
        story.holds(statuses.count(200) >= 10, f"and most of the next ones at once: {statuses}")


@scenario
def database_slow(world: World, story: Story) -> None:
    """PostgreSQL is slow: what needs no database is answered as ever."""
    _, store = world.postgresql()
    with Link(store.url, world.folder, delay_seconds=0.3).open() as link, world.serve(link.address) as service:
        with service.client() as client, Load(service.url, list_users, token=store.token, clients=12) as load:
            time.sleep(1)
            seconds = sorted(timed(client, "/health/live")[1] for _ in range(100))
        story.did(f"put 0.3 s each way before PostgreSQL, under 12 clients: {load.statuses()}")
        story.holds(seconds[98] < 0.25, f"/health/live took {seconds[98] * 1000:.0f} ms at the 99th percentile")


@scenario
def database_name_unknown(world: World, story: Story) -> None:
    """The database's host name does not resolve: the start fails with 3 and one line that names the address."""
    url = "postgresql://service:a-very-long-one@no-such-host.invalid/acme"
    started = time.monotonic()
    done = world.run(url, "serve", DB_CONNECT_TIMEOUT_SECONDS="2")
    story.did("served with an address whose host is no-such-host.invalid")
    story.holds(done.returncode == 3, f"exit code 3: {done.returncode}")
    output = done.stdout + done.stderr
    story.holds(time.monotonic() - started < 30, f"after {time.monotonic() - started:.1f} s")
    story.holds("no-such-host.invalid" in output, "the log names the host")
    story.holds("a-very-long-one" not in output, "and not the password")
    story.holds("Traceback" not in output and '"frames"' not in output, "and shows no stack")
