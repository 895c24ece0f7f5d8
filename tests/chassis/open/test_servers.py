"""`asgi(SERVICE)` on other servers, and with TestClient."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from starlette.testclient import TestClient

from acme_service.chassis import Parts, asgi

from .harness import Served, new_database, route, served, service, text

APP = "chassis.open.served:app"
SERVERS = {
    "uvicorn": ("-m", "uvicorn", APP, "--port", "{port}"),
    "gunicorn": (
        *("-m", "gunicorn", APP, "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:{port}", "--workers", "2"),
        *("--preload", "--no-control-socket"),
    ),
    "hypercorn": ("-m", "hypercorn", APP, "--bind", "127.0.0.1:{port}"),
    "granian": ("-m", "granian", APP, "--interface", "asgi", "--port", "{port}", "--host", "127.0.0.1"),
}
WITHOUT_LIFESPAN = {
    "uvicorn": (*SERVERS["uvicorn"], "--lifespan", "off"),
    "granian": ("-m", "granian", APP, "--interface", "asginl", "--port", "{port}", "--host", "127.0.0.1"),
}


def json_lines(server: Served) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.output.read_text().splitlines() if line.startswith("{")]


def lines_of(server: Served, event: str) -> list[dict[str, Any]]:
    return [line for line in json_lines(server) if line["event"] == event]


@pytest.mark.parametrize("name", SERVERS)
def test_it_serves_logs_and_ends(tmp_path: Path, name: str) -> None:
    with served(SERVERS[name], tmp_path) as server:
        assert {"status": "ready"} == server.wait_until_ready().json()
        response = httpx2.get(f"{server.url}/pid", headers={"X-Request-ID": "mine"})
        server.end()

    assert (200, "mine") == (response.status_code, response.headers["x-request-id"])
    (line,) = lines_of(server, "served")
    assert ("mine", int(response.text), "open") == (line["request_id"], line["pid"], line["service"])
    assert "a.library" == lines_of(server, "of the standard library")[0]["logger"]
    assert "/pid" in [line["route"] for line in lines_of(server, "request")]
    assert lines_of(server, "stopped"), server.told()
    if name != "hypercorn":  # its workers are processes of another kind
        assert "Traceback" not in server.told()


@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.7")])
def test_a_peer_has_its_own_address_where_a_socket_is_for_both_families(
    tmp_path: Path, trusted: str, client: str
) -> None:
    """It has peers of IPv4 as ::ffff:127.0.0.1; our own server has a socket for each family."""
    hypercorn = ("-m", "hypercorn", APP, "--bind", "[::ffff:127.0.0.1]:{port}")
    with served(hypercorn, tmp_path, TRUSTED_PROXIES=trusted) as server:
        server.wait_until_ready()
        httpx2.get(f"{server.url}/pid")
        httpx2.get(f"{server.url}/pid", headers={"X-Forwarded-For": "203.0.113.7"})
        server.end()

    clients = [line["client"] for line in lines_of(server, "request") if line["route"] == "/pid"]
    assert ["127.0.0.1", client] == clients


@pytest.mark.parametrize("name", SERVERS)
def test_what_a_server_logs_in_its_worker_is_in_our_form(tmp_path: Path, name: str) -> None:
    with served(SERVERS[name], tmp_path) as server:
        server.wait_until_ready()
        httpx2.get(f"{server.url}/pid")
        server.end()
        loggers = {line["logger"].partition(".")[0] for line in json_lines(server)}

    expected = {"uvicorn": "uvicorn", "gunicorn": "uvicorn", "hypercorn": "hypercorn", "granian": "_granian"}
    assert expected[name] in loggers, server.told()


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(
    ("environment", "messages"),
    [
        ({"OPERATIONS_PORT": "1"}, ["OPERATIONS_PORT: this server has no second listener"]),
        ({"LOG_LEVEL": "loud", "REQUEST_TIMEOUT_SECONDS": "soon"}, ["LOG_LEVEL", "REQUEST_TIMEOUT_SECONDS"]),
        ({"LOG_FILE": "open.db/x.log"}, ["LOG_FILE: ", "cannot be opened for writing"]),
    ],
)
def test_a_setting_that_is_wrong_is_named_on_stderr(
    tmp_path: Path, name: str, environment: dict[str, str], messages: list[str]
) -> None:
    with served(SERVERS[name], tmp_path, **environment) as server:
        ends = time.monotonic() + 20
        while "start-up failed" not in server.errors.read_text() and time.monotonic() < ends:
            time.sleep(0.05)
        server.end()

    told = server.errors.read_text()
    assert "open: start-up failed: " in told
    for message in messages:
        assert message in told
    assert "in _running" not in told
    if name != "hypercorn":  # which raises an exception of its own where it is told
        assert "chassis/asgi.py" not in told


@pytest.mark.parametrize("name", WITHOUT_LIFESPAN)
def test_without_lifespan_a_request_is_503_and_one_line(tmp_path: Path, name: str) -> None:
    with served(WITHOUT_LIFESPAN[name], tmp_path) as server:
        responses: list[httpx2.Response] = []
        while len(responses) < 3:
            try:
                responses.append(httpx2.get(f"{server.url}/pid", headers={"X-Request-ID": "mine"}))
            except httpx2.TransportError:
                assert server.process.poll() is None, server.told()
                time.sleep(0.05)
        server.end()

    assert [(503, "application/problem+json", "mine")] * 3 == [
        (each.status_code, each.headers["content-type"], each.headers["x-request-id"]) for each in responses
    ]
    assert "no-store" == responses[0].headers["cache-control"]
    assert 1 == server.told().count("the application is not started: the server has to run its lifespan")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings in the environment of this very process, whose hooks and handlers come back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENV", "test")
    monkeypatch.setenv("DATABASE_URL", new_database(tmp_path))
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    handlers, level = logging.root.handlers, logging.root.level
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("here")
def test_a_test_client_runs_it_twice() -> None:
    app = asgi(service(route("/x", text)))
    handler = signal.getsignal(signal.SIGTERM)
    for _ in range(2):
        with TestClient(app) as client:
            assert (200, "text") == (client.get("/x").status_code, client.get("/x").text)
            assert {"status": "ready"} == client.get("/health/ready").json()
            assert 'route="/x"' in client.get("/metrics").text

    assert handler is signal.getsignal(signal.SIGTERM)
    assert sys.stdout is not None


@pytest.mark.usefixtures("here")
def test_a_suite_of_test_clients_keeps_one_log_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FILE", str(tmp_path / "log"))
    app = asgi(service(route("/x", text)))

    before = set(threading.enumerate())

    def writers() -> list[str]:
        return [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("log-")]

    for _ in range(4):
        with TestClient(app) as client:
            assert 200 == client.get("/x").status_code
    deadline = time.monotonic() + 5
    while len(writers()) > 3 and time.monotonic() < deadline:
        time.sleep(0.01)  # the earlier ones write what they still have

    assert ["log-errors", "log-file", "log-stdout"] == sorted(writers())
    assert 4 == (tmp_path / "log").read_text("utf-8").count('"event":"stopped"')


@pytest.mark.usefixtures("here")
def test_a_test_client_without_lifespan_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    response = TestClient(asgi(service(route("/x", text)))).get("/x")

    assert (503, 503) == (response.status_code, response.json()["status"])
    assert "with TestClient(app) as client" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.anyio
async def test_the_phase_follows_the_lifespan_and_a_dead_critical_task() -> None:
    cores: list[Any] = []

    def build(core: Any) -> Parts:
        cores.append(core)
        return Parts()

    with TestClient(asgi(service(build=build))) as client:
        (core,) = cores
        assert core.lifecycle.ready
        core.lifecycle.fail("a test")
        assert 503 == client.get("/health/ready").status_code
        assert 200 == client.get("/health/live").status_code
    assert "STOPPING" == core.lifecycle.phase.name


@asynccontextmanager
async def failing_end() -> AsyncIterator[None]:
    yield
    raise ZeroDivisionError("at the end")


@asynccontextmanager
async def failing_start() -> AsyncIterator[None]:
    raise ConnectionError("at the start")
    yield


@pytest.mark.usefixtures("here")
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("hook", "sent"),
    [
        (failing_end, ["lifespan.startup.complete", "lifespan.shutdown.failed: at the end"]),
        (failing_start, ["lifespan.startup.failed: at the start"]),
    ],
)
async def test_a_failing_lifespan_is_told_to_the_server_and_logged_once(
    hook: Any, sent: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    messages: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        messages.append(": ".join(message.values()))

    app = asgi(service(build=lambda _core: Parts(lifespan={"x": hook})))
    await app({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]

    assert sent == messages
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    assert 1 == len([line for line in told if line["level"] in {"error", "critical"}])
