"""Signals at every moment, and what is in flight then."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from ..load import Load, list_users
from ..postgres import Cluster
from ..sockets import HANDSHAKE, close_code, connection, frame, get, post
from ..story import BrokenPromise, Story, long_scenario, patient_scenario, scenario
from ..world import MORE, SERVE, Running, World

FORCED = 128 + signal.SIGTERM
REVISION = '''"""A change of two tables that takes long in between."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("shoe_size", sa.Integer()))
    op.execute("SELECT pg_sleep(2)")
    op.create_table("shoes", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("shoes")
    op.drop_column("users", "shoe_size")
'''


@scenario
def signal_during_start(world: World, story: Story) -> None:
    """SIGTERM at any moment of the start ends the process within 1 s, and no traceback is written."""
    store = world.sqlite()
    for number in range(6):
        with subprocess.Popen(
            SERVE, cwd=world.folder, env=world.environment(store.url), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            time.sleep(0.15 + number * 0.25)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            try:
                output, _ = process.communicate(timeout=30)
            finally:
                process.kill()
            took = time.monotonic() - started
        told = f"after {0.15 + number * 0.25:.2f} s: code {process.returncode} within {took:.2f} s"
        # Before its first line runs nobody has said yet what the signal means.
        story.holds(process.returncode in (0, FORCED, -signal.SIGTERM), told)
        story.holds(took < 2 and b"Traceback" not in output, "without a traceback, within 1 s on an idle machine")


@scenario
def second_signal(world: World, story: Story) -> None:
    """A second signal of any kind ends a process that still drains, at once and with 128 + n."""
    store = world.sqlite()
    pairs = ((signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGHUP))
    for first, second in pairs:
        with world.serve(store.url, service=MORE) as service, connection(service) as client:
            client.sendall(get("/slow?seconds=30"))
            time.sleep(0.3)
            service.signal(first)
            time.sleep(0.3)
            os.kill(service.pid, second)
            started = time.monotonic()
            code = service.exit_code(30)
            took = time.monotonic() - started
        story.holds(code == 128 + second, f"{first.name}, then {second.name}: exit code {code}")
        story.holds(took < 1.5, f"after {took:.2f} s")


@scenario
def blocked_event_loop(world: World, story: Story) -> None:
    """A handler blocks the event loop for 2 s: the lag is measured, and everything goes on; a longer one cannot hold
    the end.
    """
    store = world.sqlite()
    with world.serve(store.url, service=MORE, SHUTDOWN_DEADLINE_SECONDS="1") as service:
        with service.client() as client:
            story.holds(client.get("/blocking?seconds=2").status_code == 200, "blocked the event loop for 2 s")
            time.sleep(1.2)
            lags = [line for line in client.get("/metrics").text.splitlines() if "event_loop_lag_seconds_sum" in line]
            lag = float(lags[0].rsplit(" ", 1)[1])
            story.holds(lag > 0.5, f"event_loop_lag_seconds tells of it: {lag:.2f} s")
            story.holds(client.get("/health/ready").status_code == 200, "ready afterwards")
        with connection(service) as client:
            client.sendall(get("/blocking?seconds=60"))
            time.sleep(0.3)
            service.signal()
            started = time.monotonic()
            code = service.exit_code(30)
            story.did("blocked it for 60 s, and sent SIGTERM")
            story.holds(code == 75, f"exit code 75: {code}")
            story.holds(time.monotonic() - started < 15, f"after {time.monotonic() - started:.1f} s")


@scenario
def hung_requests(world: World, story: Story) -> None:
    """Requests that outlast the deadline get 503 with Retry-After, and the exit code says that they were cut off."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE, SHUTDOWN_DEADLINE_SECONDS="1") as service:
        with service.client() as client, ThreadPoolExecutor(5) as threads:
            hung = [threads.submit(client.get, "/slow?seconds=60") for _ in range(5)]
            time.sleep(0.5)
            service.signal()
            answers = [future.result() for future in hung]
            code = service.exit_code(10)
    story.did("sent 5 requests that take 60 s, and SIGTERM, with a deadline of 1 s")
    story.holds({answer.status_code for answer in answers} == {503}, "each got 503")
    story.holds(all("retry-after" in answer.headers for answer in answers), "with Retry-After")
    story.holds(code == 75, f"exit code 75: {code}")


@scenario
def terminated_under_load_behind_a_slow_balancer(world: World, story: Story) -> None:
    """SIGTERM under load, and clients that go on for less than the drain delay: no request is dropped or refused."""
    store = world.sqlite()
    with world.serve(store.url, DRAIN_DELAY_SECONDS="3") as service, service.client() as client:
        url = service.url
        with (
            Load(url, list_users, token=store.token, clients=4) as kept,
            Load(url, _on_a_new_connection, token=store.token, clients=4) as new,
        ):
            time.sleep(0.7)
            service.signal()
            story.until(lambda: client.get("/health/ready").status_code == 503, 0.5, "readiness fails")
            time.sleep(1.5)
        code = service.exit_code(15)
    story.did("sent SIGTERM, and went on for 1.5 s of the 3 s of drain delay")
    story.holds(set(kept.statuses()) == {200}, f"over kept connections: {kept.statuses()}")
    story.holds(set(new.statuses()) == {200}, f"over new connections: {new.statuses()}")
    story.holds(code == 0, f"exit code 0: {code}")


def _on_a_new_connection(client: httpx2.Client, _number: int) -> httpx2.Response:
    return client.get("/api/users?limit=5", headers={"Connection": "close"})


def _terminate_without_delay(world: World, runs: int, story: Story) -> None:
    store = world.sqlite()
    became: Counter[str] = Counter()
    for _ in range(runs):
        with world.serve(store.url, service=MORE) as service, ThreadPoolExecutor(60) as threads:
            service.port()
            clients = [threads.submit(_post_until_refused, service, keeps=number % 2 == 0) for number in range(60)]
            time.sleep(0.8)
            service.signal()
            for client in clients:
                became += client.result()
            became[f"exit code {service.exit_code(20)}"] += 1
    story.did(
        f"sent SIGTERM under 60 clients that POST back to back, without a drain delay, {runs} times: {dict(became)}"
    )
    lost = {what: count for what, count in became.items() if what.startswith("lost")}
    story.holds(not lost, f"no request that was sent went without a response: {lost}")
    story.holds(became["exit code 0"] == runs, "each a clean end")


def _post_until_refused(service: Running, *, keeps: bool) -> Counter[str]:
    """What became of each request; a refused connection is the end, for the listener is closed by then."""
    became: Counter[str] = Counter()
    while True:
        try:
            with connection(service, seconds=10) as client:
                while True:
                    outcome = _post_once(client)
                    became[outcome] += 1
                    time.sleep(random.random() * 0.02)  # noqa: S311 - a pause
                    if outcome != "answered" or not keeps:
                        break
        except ConnectionRefusedError:
            return became
        except ConnectionResetError:
            became["lost: reset"] += 1
            return became
        if sum(became.values()) > 5000:
            raise BrokenPromise("it still accepts connections")


def _post_once(client: socket.socket) -> str:
    try:
        client.sendall(post("/", b"{}"))
        head = client.recv(65536)
    except (BrokenPipeError, ConnectionResetError):
        return "lost: reset"
    if not head:
        return "ended while idle"
    return "told to close" if b"connection: close" in head.lower() else "answered"


@scenario
def terminated_without_a_drain_delay(world: World, story: Story) -> None:
    """SIGTERM under 60 clients without a drain delay: what was sent is answered, nothing is reset (3 runs)."""
    _terminate_without_delay(world, 3, story)


@long_scenario
def terminated_without_a_drain_delay_often(world: World, story: Story) -> None:
    """SIGTERM under 60 clients without a drain delay: what was sent is answered, nothing is reset (50 runs)."""
    _terminate_without_delay(world, 50, story)


@contextlib.contextmanager
def websockets(service: Running, path: str, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(connection(service)) for _ in range(count)]
        for client in clients:
            client.sendall(HANDSHAKE % path.encode())
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
        yield clients


@scenario
def websocket_stuck_at_shutdown(world: World, story: Story) -> None:
    """One websocket's client is stuck: at shutdown the others get Close 1012 within 3 s, and the end waits for no
    deadline.
    """
    store = world.sqlite()
    with world.serve(store.url, service=MORE, SHUTDOWN_DEADLINE_SECONDS="10") as service:
        with connection(service, receive_bytes=4096) as stuck, websockets(service, "/quiet", 8) as others:
            stuck.sendall(HANDSHAKE % b"/pushing")
            time.sleep(1)
            stuck.sendall(frame(8, b"\x03\xe8"))
            time.sleep(0.3)
            story.did("opened 8 websockets, and one whose client sent Close and reads nothing; then SIGTERM")
            service.signal()
            started = time.monotonic()
            codes = Counter(close_code(client) for client in others)
            took = time.monotonic() - started
            story.holds(codes == {1012: 8}, f"the others were told 1012: {dict(codes)}")
            story.holds(took < 3, f"after {took:.1f} s")
            code = service.exit_code(30)
            took = time.monotonic() - started
        story.holds(took < 8, f"it ended after {took:.1f} s, the deadline being 10 s")
        story.holds(code == 0, f"exit code 0: {code}")


@scenario
def websockets_closed_in_order(world: World, story: Story) -> None:
    """20 websockets that their clients close in order, and 20 that they drop: no line of the log is an error."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE) as service:
        with websockets(service, "/quiet", 20) as clients:
            for client in clients:
                client.sendall(frame(1, b"a") + frame(8, b"\x03\xe8"))
                assert close_code(client) == 1000
        with websockets(service, "/quiet", 20):
            pass
        time.sleep(0.5)
        story.did("closed 20 websockets with 1000, and dropped 20")
        service.signal()
        story.holds(service.exit_code(15) == 0, "a clean end")
        service.events()
    errors = [line["event"] for line in service.lines if line["level"] in ("error", "critical")]
    story.holds(not errors, f"no line of the log is an error: {Counter(errors)}")


@patient_scenario
def websocket_peer_that_does_not_read(world: World, story: Story) -> None:
    """A websocket's client that reads nothing of what is sent to it is dropped within 45 s, and memory stays."""
    store = world.sqlite()
    with world.serve(store.url, service=MORE) as service:
        with service.client() as client, connection(service, receive_bytes=4096) as stuck:
            client.get("/")
            before = service.resident_megabytes()
            stuck.sendall(HANDSHAKE % b"/pushing")
            story.did("opened a websocket that is sent to without end, and read nothing")
            opened = 'websocket_connections{route="/pushing"} 1.0'
            time.sleep(1)
            story.holds(opened in client.get("/metrics").text, "it is open")
            story.until(lambda: opened not in client.get("/metrics").text, 45, "it is dropped")
            grown = service.resident_megabytes() - before
            story.holds(grown < 20, f"memory grew by {grown:.1f} MB")


@scenario
def killed_during_a_migration(world: World, story: Story) -> None:
    """SIGKILL and SIGTERM in the middle of a migration leave the old schema; two at once then migrate, one after the
    other.
    """
    cluster, store = world.postgresql()
    versions = world.folder / "versions"
    shutil.copytree(_versions(), versions)
    (versions / "0002_shoes.py").write_text(REVISION)
    environment = world.environment(store.url, FAULTS_VERSIONS=str(versions))
    command = [sys.executable, "-m", MORE, "migrate"]
    for number in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(command, cwd=world.folder, env=environment, stdout=subprocess.DEVNULL) as process:
            story.until(lambda: _sleeps(cluster, store.url), 30, "a migration is half-way")
            process.send_signal(number)
            code = process.wait(10)
        story.did(f"sent {number.name}: code {code}")
        story.until(lambda: not _sleeps(cluster, store.url), 10, "its connection ended")
        story.holds(cluster.rows(COLUMNS, store.url) == ["0"], "no column of it is there")
        story.holds(cluster.rows(REVISION_NUMBER, store.url) == ["0001"], "the revision is the old one")
    with ThreadPoolExecutor(2) as threads:
        runs = [
            threads.submit(world.run, store.url, "migrate", module=MORE, FAULTS_VERSIONS=str(versions))
            for _ in range(2)
        ]
        codes = [run.result().returncode for run in runs]
    story.holds(codes == [0, 0], f"two at once succeed: {codes}")
    story.holds(cluster.rows(COLUMNS, store.url) == ["1"], "the column is there")
    story.holds(cluster.rows(REVISION_NUMBER, store.url) == ["0002"], "the revision is the new one")


COLUMNS = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'shoe_size'"
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
    " AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
)

REVISION_NUMBER = "SELECT version_num FROM alembic_version"


def _sleeps(cluster: Cluster, url: str) -> bool:
    return cluster.rows(SLEEPING, url) != ["0"]


def _versions() -> Path:
    from acme_service.app import SERVICE  # noqa: PLC0415 - the render

    return SERVICE.versions
