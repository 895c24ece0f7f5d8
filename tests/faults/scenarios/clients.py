"""Clients that send too much, nothing, or nonsense, and that do not read."""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..sockets import connection, ends_within, first_status, get, post, status_of
from ..story import Story, patient_scenario, scenario
from ..world import MORE, SERVE, Running, World

MEGABYTE = 1_000_000
HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@scenario
def huge_bodies(world: World, story: Story) -> None:
    """50 bodies at once that are declared or sent without end are 413, and memory grows by less than 20 MB."""
    store = world.sqlite()
    head = post("/api/users", b"", f"Authorization: Bearer {store.token}", declared=3 << 30)
    chunked = head.replace(b"Content-Length: %d" % (3 << 30), b"Transfer-Encoding: chunked")
    with world.serve(store.url) as service, ThreadPoolExecutor(50) as threads:
        story.holds(status_of(service, get()) == 200, "a request succeeds")
        before = service.resident_megabytes()
        statuses = set(threads.map(lambda _: status_of(service, head + b"{"), range(50)))
        story.did("declared 50 bodies of 3 GiB at once")
        story.holds(statuses == {413}, f"each is 413: {statuses}")
        statuses = set(threads.map(lambda _: _endless(service, chunked), range(50)))
        story.did("sent 50 bodies in chunks without end")
        story.holds(statuses <= {413, 0}, f"each is 413, or reset while it was sent: {statuses}")
        story.holds(413 in statuses, "which their clients can read")
        grown = service.resident_megabytes() - before
        story.holds(grown < 20, f"memory grew by {grown:.0f} MB")
        _is_well(service, story)


def _endless(service: Running, head: bytes) -> int:
    """The status of the response to a body of 5 MB; 0 if the connection was reset while it was sent."""
    with connection(service) as client, contextlib.suppress(OSError):
        client.sendall(head)
        for _ in range(300):
            client.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        return first_status(client)
    return 0


def _is_well(service: Running, story: Story) -> None:
    status = status_of(service, get("/health/ready"))
    story.holds(status == 200, f"it is ready afterwards: {status}")


NONSENSE: dict[str, tuple[bytes, set[int]]] = {
    "body without JSON": (post("/api/auth/login", b""), {400, 422}),
    "bad UTF-8": (post("/api/auth/login", b'{"email": "\xff\xfe", "password": "x"}'), {400, 422}),
    "lone surrogate": (
        post("/api/auth/login", b'{"email": "\\ud800@example.com", "password": "\\udfff"}'),
        {400, 401, 422},
    ),
    "NUL in text": (
        post("/api/auth/register", b'{"name": "a\\u0000b", "email": "n@example.com", "password": "correct horse"}'),
        {422},
    ),
    "depth of 9,000": (post("/api/users", b"[" * 9_000 + b"]" * 9_000), {413}),
    "number of 5,000 digits": (post("/api/auth/login", b'{"email": ' + b"9" * 5000 + b"}"), {400, 422}),
    "NaN": (post("/api/auth/login", b'{"email": NaN, "password": "x"}'), {400, 422}),
    "1e400": (post("/api/auth/login", b'{"email": 1e400, "password": "x"}'), {400, 422}),
    "the same key twice": (
        post("/api/auth/login", b'{"email": "a@example.com", "email": "b@example.com", "password": "x"}'),
        {400, 422},
    ),
    "bad escape in the path": (get("/api/users/%ff%fe%00"), {400, 401, 404, 422}),
    "bytes in the path": (get("/\udcff\udcfe"), {400, 404}),
    "NUL in a field": (get("/", "X-Request-ID: a\0b"), {400}),
    "page of 10^18": (get("/api/users?page=1000000000000000000"), {422}),
    "page of 10^400": (get("/api/users?page=1" + "0" * 400), {422}),
    "limit of 2^63": (get("/api/users?limit=9223372036854775808"), {422}),
    "negative page": (get("/api/users?page=-1"), {422}),
    "NUL in a cursor": (get("/api/users?cursor=%00"), {400, 422}),
    "NUL in an id": (get("/api/users/%00"), {404, 422}),
    "surrogate in an id": (get("/api/users/%ed%a0%80"), {400, 404, 422}),
    "ids that are none": (get("/api/users?ids=" + ",".join(["%00", "9" * 40, "%ff"])), {400, 422}),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", {400}),
    "length and chunks": (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n", {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "unknown coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", {400, 501}),
    "another protocol": (b"DESCRIBE rtsp://127.0.0.1/ RTSP/1.0\r\n\r\n", {400, 501, 505}),
}


@scenario
def nonsense(world: World, story: Story) -> None:
    """What no client should send gets a 4xx, never a 500, on PostgreSQL too; nothing of it is an error in the log."""
    _, store = world.postgresql()
    with world.serve(store.url) as service:
        for name, (request, accepted) in NONSENSE.items():
            sent = _with_token(request, store.token) if b"/api/users" in request else request
            status = status_of(service, sent)
            story.holds(status in accepted, f"{name}: {status}")
        _is_well(service, story)
        service.signal()
        story.holds(service.exit_code(30) == 0, "a clean end")
        service.events()
    errors = [line["event"] for line in service.lines if line["level"] in ("error", "critical")]
    story.holds(not errors, f"no line of the log is an error: {errors}")


def _with_token(request: bytes, token: str) -> bytes:
    return request.replace(b"\r\n", f"\r\nAuthorization: Bearer {token}\r\n".encode(), 1)


@scenario
def json_floods(world: World, story: Story) -> None:
    """Bodies under 1 MiB of very many keys or empty lists, on 8 connections: 413, a probe is answered within 0.5 s all
    the while, and memory grows by less than 20 MB.
    """
    store = world.sqlite()
    many_keys = json.dumps({f"{number:x}": 1 for number in range(94_000)}, separators=(",", ":")).encode()
    nested = b"[" + b",".join([b"[]"] * 340_000) + b"]"
    with world.serve(store.url) as service:
        status_of(service, get("/health/live"))
        before = service.resident_megabytes()
        for what, body in (("keys", many_keys), ("empty lists", nested)):
            request = post("/api/users", body, f"Authorization: Bearer {store.token}")  # a login has a smaller limit
            with ThreadPoolExecutor(8) as threads:
                floods = [threads.submit(status_of, service, request) for _ in range(24)]
                probes = []
                while not all(flood.done() for flood in floods):
                    started = time.monotonic()
                    status_of(service, get("/health/live"))
                    probes.append(time.monotonic() - started)
                statuses = {flood.result() for flood in floods}
            story.did(f"sent 24 bodies of {len(body):,} bytes of {what}, 8 at a time")
            story.holds(statuses == {413}, f"each is 413: {statuses}")
            slowest = max(probes, default=0.0)
            story.holds(slowest < 0.5, f"/health/live took {slowest * 1000:.0f} ms at most")
        grown = service.resident_megabytes() - before
        story.holds(grown < 20, f"memory grew by {grown:.0f} MB")


@scenario
def half_close(world: World, story: Story) -> None:
    """A client that closes its sending side after a whole request gets its whole response."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE) as service, connection(service) as client:
        client.sendall(get("/large?megabytes=5", "Connection: close"))
        client.shutdown(socket.SHUT_WR)
        received = 0
        while piece := client.recv(1 << 16):
            received += len(piece)
        story.did("closed the sending side after a request for 5 MB")
        story.holds(received > 5 * MEGABYTE, f"{received:,} bytes came")


@scenario
def idle_connections(world: World, story: Story) -> None:
    """3,000 idle connections: a new request is answered within 0.5 s, and all end at shutdown."""
    store = world.sqlite()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(3000, (most - 200) // 2)
    with world.serve(store.url) as service, contextlib.ExitStack() as clients:
        for _ in range(count):
            clients.enter_context(connection(service))
        story.did(f"opened {count} connections and sent nothing on them")
        started = time.monotonic()
        status = status_of(service, get())
        story.holds(status == 200, f"a new request succeeds: {status}")
        story.holds(time.monotonic() - started < 0.5, f"after {(time.monotonic() - started) * 1000:.0f} ms")
        service.signal()
        story.holds(service.exit_code(15) == 0, "SIGTERM ends it cleanly")


@patient_scenario
def slow_reader(world: World, story: Story) -> None:
    """A client asks for 50 MB and reads nothing: memory grows by less than 20 MB, and it is dropped within 45 s."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE) as service:
        status_of(service, get())
        before = service.resident_megabytes()
        with connection(service, receive_bytes=4096) as client:
            client.sendall(get("/large?megabytes=50"))
            started = time.monotonic()
            while service.descriptors() and _is_connected(service, client) and time.monotonic() - started < 45:
                time.sleep(0.5)
            took = time.monotonic() - started
            grown = service.resident_megabytes() - before
            story.did("asked for 50 MB and read nothing")
            story.holds(grown < 20, f"memory grew by {grown:.1f} MB")
            story.holds(took < 45, f"the connection ended after {took:.0f} s")


def _is_connected(service: Running, client: socket.socket) -> bool:
    """Whether the service still has its end of *client*'s connection."""
    mine = f"{client.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        row[2].endswith(f":{mine}") and row[1].endswith(f":{service.port():04X}") and row[3] == "01" for row in rows
    )


@patient_scenario
def slow_senders(world: World, story: Story) -> None:
    """Clients that send nothing, or a byte a second, are closed, a head within 15 s and a body within 40 s."""
    store = world.sqlite()
    # The time of a whole request ends a slow body too: that is not what is tried here.
    times = {"KEEP_ALIVE_SECONDS": "5", "REQUEST_TIMEOUT_SECONDS": "300"}
    with world.serve(store.url, **times) as service, ThreadPoolExecutor(3) as threads:
        silent = threads.submit(_drips, service, b"", 20.0)
        head = threads.submit(_drips, service, b"GET / HTTP/1.1\r\nX-Slow: ", 20.0)
        body = threads.submit(_drips, service, HEAD + b"Content-Length: 1000\r\n\r\n", 45.0)
        story.did("sent nothing; a head, and a body, a byte a second; with KEEP_ALIVE_SECONDS=5")
        for name, future, most in (("silence", silent, 15), ("a slow head", head, 15), ("a slow body", body, 40)):
            seconds = future.result()
            story.holds(seconds is not None and seconds < most, f"{name} was ended after {seconds} s, allowed {most}")


def _drips(service: Running, start: bytes, most: float) -> float | None:
    with connection(service) as client:
        client.sendall(start)
        started = time.monotonic()
        while time.monotonic() - started < most:
            if ends_within(client, 1) is not None:
                return round(time.monotonic() - started, 1)
            with contextlib.suppress(OSError):
                client.sendall(b"x" if start else b"")
    return None


@scenario
def descriptors_run_out(world: World, story: Story) -> None:
    """200 idle connections under a limit of 64 descriptors: it says so, spends no processor, and a new request
    succeeds.
    """
    store = world.sqlite()
    command = ["/bin/sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *SERVE]
    with world.serve(store.url, command=command) as service, contextlib.ExitStack() as clients:
        story.holds(status_of(service, get()) == 200, "a request succeeds")
        for _ in range(200):
            clients.enter_context(connection(service))
        story.did("opened 200 connections under `ulimit -n 64`, hard and soft, and sent nothing on them")
        before = service.cpu_seconds()
        time.sleep(2)
        spent = service.cpu_seconds() - before
        story.holds(spent < 1, f"it spent {spent:.2f} s of processor in 2 s")
        status = status_of(service, get(), seconds=10)
        story.holds(status == 200, f"a new request succeeds, and the longest idle connection goes: {status}")
        clients.close()
        story.until(lambda: status_of(service, get("/health/ready")) == 200, 3, "ready once they left")
        service.signal()
        story.holds(service.exit_code(15) == 0, "a clean end")
        service.events()
    told = [line["event"] for line in service.lines if "descriptor" in str(line).lower()]
    story.holds(told, f"the log tells of the descriptors: {sorted(set(told))}")
    story.holds(len(told) < 20, f"{len(told)} times, not for each connection")


@scenario
def too_many_requests_at_once(world: World, story: Story) -> None:
    """More than MAX_CONCURRENT_REQUESTS: the rest are 503 with Retry-After at once; probes and metrics are exempt."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE, MAX_CONCURRENT_REQUESTS="10") as service:
        with service.client() as client, ThreadPoolExecutor(10) as threads:
            held = [threads.submit(client.get, "/slow?seconds=3") for _ in range(10)]
            time.sleep(0.7)
            story.did("sent 10 requests that take 3 s, with MAX_CONCURRENT_REQUESTS=10")
            started = time.monotonic()
            more = [client.get("/") for _ in range(5)]
            took = time.monotonic() - started
            story.holds([answer.status_code for answer in more] == [503] * 5, "5 more are 503")
            story.holds(all("retry-after" in answer.headers for answer in more), "with Retry-After")
            story.holds(took < 1.5, f"at once: all after {took * 1000:.0f} ms")
            probes = [client.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics")]
            story.holds(probes == [200] * 3, f"probes and metrics are 200: {probes}")
            story.holds([future.result().status_code for future in held] == [200] * 10, "the 10 were finished")
            story.holds(client.get("/").status_code == 200, "and a new one succeeds")


@scenario
def many_scrapers(world: World, story: Story) -> None:
    """30 scrapers of /metrics at once: never not ready twice in a row, others wait 0.5 s at most at the median, and a
    scrape costs less than half of what it costs alone, for they share one.
    """
    store = world.sqlite()
    with world.serve(store.url) as service, service.client(store.token) as client, ThreadPoolExecutor(30) as threads:
        client.get("/api/auth/me")
        before = service.cpu_seconds()
        alone = (_scrape(service, time.monotonic() + 2), service.cpu_seconds() - before)
        before = service.cpu_seconds()
        ends = time.monotonic() + 3
        scrapers = [threads.submit(_scrape, service, ends) for _ in range(30)]
        seconds, statuses = [], []
        while time.monotonic() < ends:
            started = time.monotonic()
            client.get("/api/auth/me")
            seconds.append(time.monotonic() - started)
            statuses.append(client.get("/health/ready").status_code)
        scrapes = sum(future.result() for future in scrapers)
        story.did(f"scraped /metrics {scrapes} times in 3 s")
        costs = [1000 * seconds / count for count, seconds in (alone, (scrapes, service.cpu_seconds() - before))]
        story.holds(costs[1] < costs[0] / 2, f"one took {costs[1]:.1f} ms of processor, {costs[0]:.1f} ms alone")
        twice = (503, 503) in itertools.pairwise(statuses)
        story.holds(not twice, f"readiness never failed twice in a row, as a balancer counts: {Counter(statuses)}")
        median = sorted(seconds)[len(seconds) // 2]
        story.holds(median < 0.5, f"/api/auth/me took {median * 1000:.0f} ms at the median")


def _scrape(service: Running, ends: float) -> int:
    count = 0
    while time.monotonic() < ends:
        with connection(service) as client:
            client.sendall(get("/metrics", "Connection: close"))
            count += first_status(client) == 200
            ends_within(client, 30)
    return count
