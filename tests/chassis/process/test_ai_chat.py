"""The assistant of a real process and the SDK of OpenAI, against a provider on this machine that fails in every way."""

from __future__ import annotations

import gzip
import json
import secrets
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from acme_service.chassis.ai_chat import Message
from acme_service.chassis.ai_chat.provider import estimated_tokens
from acme_service.services.ai_chat import PROMPT

from tests.ai_chat import EVENTS, Behaviour, Call, FakeProvider, fails, says, streamed, streaming, text_of

from .command import Command, run
from .service import in_thread

SERVICE = "chassis.process.ai_application"
LIMITS = {
    "AI_ATTEMPTS": "1",
    "AI_FIRST_TOKEN_SECONDS": "1",
    "AI_TOKEN_SECONDS": "1",
    "AI_TOTAL_SECONDS": "3",
    "AI_OUTPUT_TOKENS": "256",
    "AI_MAX_COMPLETIONS_PER_USER": "100",
    "AI_DAILY_TOKENS": "100000000",
}
CANCELLED_SECONDS = 1.0
"""In so long the provider sees that nothing is wanted of it any more."""


class Server(Command):
    service = SERVICE


@contextmanager
def assistant(folder: Path, provider: FakeProvider, **variables: str) -> Iterator[tuple[Server, httpx2.Client]]:
    key = secrets.token_urlsafe(24)
    options = {**LIMITS, "AI_BASE_URL": provider.url, "AI_API_KEY": key, **variables}
    with Server(folder, **options) as server, server.client() as client:
        yield server, client


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, provider: FakeProvider) -> Iterator[Server]:
    """One for all tests that leave it as they found it; in its log stands nothing of what was said, and no key."""
    folder = tmp_path_factory.mktemp("assistant")
    (folder / "service.db").write_bytes(sqlite_template.read_bytes())
    with assistant(folder, provider) as (running, client):
        yield running
        assert 0 == gauge(client, "ai_completions_running")
        running.signal()
        assert 0 == running.exit_code(5)
        running.events()
        written = f"{running.lines} {running.stderr()}"
        assert not [secret for secret in (running.environment["AI_API_KEY"], PRIVATE) if secret in written]
        assert [] == [line["exception"] for line in running.lines if "exception" in line]


@pytest.fixture
def client(server: Server, provider: FakeProvider) -> Iterator[httpx2.Client]:
    provider.calls.clear()
    with server.client() as opened:
        yield opened


PRIVATE = secrets.token_hex(8)


def ask(client: httpx2.Client, message: Any = PRIVATE, **body: Any) -> httpx2.Response:
    return client.post("/api/ai/chat", json={"message": message, **body})


def gauge(client: httpx2.Client, name: str) -> float:
    """The metric *name*, with its labels; 0 before its first."""
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def stored(server: Server, table: str = "ai_messages") -> list[tuple[Any, ...]]:
    path = server.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own name


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "in vain"
        time.sleep(0.01)


def raw(*pieces: bytes, status: int = 200, kind: str = "text/event-stream", packed: str = "identity") -> Behaviour:
    """These bytes as the body."""

    def behave(call: Call) -> None:
        call.start(status, kind, Content_Encoding=packed)
        for piece in pieces:
            call.write(piece)
        call.end()

    return behave


def event(document: Any) -> Behaviour:
    def behave(call: Call) -> None:
        call.start()
        call.event(document)
        call.end()

    return behave


def hangs(call: Call) -> None:
    call.start()
    call.is_cancelled(20)


def endless(piece: bytes, *, status: int = 200, seconds: float = 0.0) -> Behaviour:
    """Until the service has had enough."""

    def behave(call: Call) -> None:
        call.start(status)
        for _ in range(100_000):
            call.write(piece)
            time.sleep(seconds)

    return behave


def cut(call: Call) -> None:
    call.start()
    call.cut()


def choices(*given: Any) -> Behaviour:
    return event({"id": "c", "object": "chat.completion.chunk", "choices": list(given)})


BEFORE: dict[str, tuple[Behaviour, int, str]] = {
    "wrong key": (fails(401), 502, "rejected_key"),
    "forbidden": (fails(403), 502, "rejected_key"),
    "a packed body": (raw(gzip.compress(b"data: x\n\n" * 1000), packed="gzip"), 502, "invalid_response"),
    "a packed error": (raw(gzip.compress(b"x" * 10_000_000), status=500, packed="gzip"), 502, "invalid_response"),
    "an error in Punycode": (
        raw(b"x" * 100_000, status=500, kind="text/plain; charset=punycode"),
        502,
        "failed",
    ),
    "an error of zlib": (raw(b"x", status=500, kind="text/plain; charset=zlib"), 502, "failed"),
    "lists in lists": (raw(b"data: " + b"[" * 100_000 + b"\n\n"), 502, "invalid_response"),
    "no such model": (fails(404), 502, "rejected_request"),
    "wrong request": (fails(400), 502, "rejected_request"),
    "a redirect": (fails(307, Location="http://127.0.0.1:9/"), 502, "rejected_request"),
    "too many requests": (fails(429), 503, "rate_limited"),
    "a crash": (fails(500), 502, "failed"),
    "a gateway": (fails(504), 502, "failed"),
    "an endless error": (endless(b"x\n" * 30_000, status=500), 502, "invalid_response"),
    "silence": (hangs, 504, "timed_out"),
    "comments alone": (endless(b": wait\n\n", seconds=0.05), 504, "timed_out"),
    "a lost connection": (cut, 502, "unreachable"),
    "an event of an error": (event({"error": {"message": "no"}}), 502, "failed"),
    "a page": (raw(b"<html>", kind="text/html"), 502, "invalid_response"),
    "no JSON": (raw(b"data: {nonsense\n\n"), 502, "invalid_response"),
    "no UTF-8": (raw(b"data: \xff\xfe\n\n"), 502, "invalid_response"),
    "a number": (event(5), 502, "invalid_response"),
    "a list": (event([]), 502, "invalid_response"),
    "null": (event(None), 502, "invalid_response"),
    "choices that are none": (event({"choices": 3}), 502, "invalid_response"),
    "a choice that is none": (choices("x"), 502, "invalid_response"),
    "no delta": (choices({"index": 0}), 502, "invalid_response"),
    "content that is a list": (choices({"index": 0, "delta": {"content": ["x"]}}), 502, "invalid_response"),
    "content that is a number": (choices({"index": 0, "delta": {"content": 7}}), 502, "invalid_response"),
    "an endless line": (endless(b"x" * 60_000), 502, "invalid_response"),
    "an endless event": (endless(b"data: x\n" * 5_000), 502, "invalid_response"),
    "nothing at all": (raw(), 502, "invalid_response"),
    "nothing to say": (says(), 502, "empty"),
}


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["whole", "events"])
@pytest.mark.parametrize("how", BEFORE)
def test_a_failure_before_the_first_token_is_a_response_of_its_own(
    server: Server, client: httpx2.Client, provider: FakeProvider, how: str, headers: dict[str, str]
) -> None:
    behaviour, status, kind = BEFORE[how]
    provider.behaviours = [behaviour]
    before = gauge(client, f'ai_provider_errors_total{{kind="{kind}"}}'), len(stored(server))
    used = budget(server)
    response = client.post("/api/ai/chat", json={"message": PRIVATE}, headers=headers)

    assert status == response.status_code, response.text
    assert "application/problem+json" == response.headers["content-type"]
    assert server.environment["AI_API_KEY"] not in response.text
    assert "wrong" not in response.json()["detail"]
    assert 1 == len(provider.calls)
    assert before[0] + 1 == gauge(client, f'ai_provider_errors_total{{kind="{kind}"}}')
    assert before[1] == len(stored(server))
    assert (kind in {"timed_out", "empty"}) == (budget(server) > used), "what may have to be paid for counts"
    server.line("provider failed", kind=kind, outcome="failed")


def budget(server: Server) -> int:
    """The tokens that count for today."""
    return sum(row[2] for row in stored(server, "ai_token_budgets"))


def after(behave: Callable[[Call], object]) -> Behaviour:
    """*behave*, after two tokens."""

    def both(call: Call) -> None:
        call.start()
        call.part("one")
        call.part(" two")
        behave(call)

    return both


AMID: dict[str, tuple[Behaviour, int]] = {
    "a lost connection": (after(Call.cut), 502),
    "silence": (after(lambda call: call.is_cancelled()), 504),
    "an event of an error": (after(lambda call: call.event({"error": {"message": "no"}})), 502),
    "no JSON": (after(lambda call: call.write(b"data: {no\n\n")), 502),
    "no reason for its end": (after(Call.end), 502),
    "an endless line": (after(lambda call: call.write(b"x" * 2_000_000)), 502),
    "more time than there is": (says(*["more "] * 60, seconds=0.1), 504),
}


@pytest.mark.parametrize("how", AMID)
def test_a_failure_amid_the_tokens_is_an_event_or_one_response(
    server: Server, client: httpx2.Client, provider: FakeProvider, how: str
) -> None:
    behaviour, status = AMID[how]
    provider.behaviours = [behaviour]
    before = len(stored(server)), budget(server)
    events = streamed(client, PRIVATE)
    whole = ask(client)

    assert ["token", "error"] == [events[0][0], events[-1][0]]
    assert status == events[-1][1]["status"] == whole.status_code
    assert events[-1][1].keys() == whole.json().keys()
    assert 2 == len(provider.calls), "asked again after the first token"
    assert before[0] == len(stored(server))
    assert before[1] < budget(server), "what was said counts"
    server.line("request", request_id=events[-1][1]["instance"], status=status)


def test_what_may_pass_is_tried_again_while_nothing_was_said(folder: Path) -> None:
    behaviours, limits = (cut, fails(503, Retry_After="0"), says("yes")), {"AI_ATTEMPTS": "3", "AI_TOTAL_SECONDS": "20"}
    with FakeProvider(*behaviours) as provider, assistant(folder, provider, **limits) as (server, client):
        assert "yes" == ask(client).json()["message"]
        assert 3 == len(provider.calls)
        server.line("provider failed", kind="failed", attempt=2, outcome="retried")

        for number, status in enumerate((429, 503), 4):
            provider.behaviours = [fails(status, Retry_After="30")]
            response = ask(client)
            assert (503, "30") == (response.status_code, response.headers["retry-after"])
            assert number == len(provider.calls), "it is to be left alone for longer than a client waits"

        provider.behaviours = [fails(500)]
        assert 502 == ask(client).status_code
        assert 8 == len(provider.calls)


def test_a_provider_that_is_not_there_is_one_response(folder: Path) -> None:
    nowhere = {"AI_BASE_URL": "http://127.0.0.1:9/v1"}
    with FakeProvider() as provider, assistant(folder, provider, **nowhere) as (server, client):
        assert 502 == ask(client).status_code
        server.line("provider failed", kind="unreachable")


def written(document: Any, accept: str) -> bytes:
    body = json.dumps(document)
    head = f"POST /api/ai/chat HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("said", [(), ("one",)], ids=["before the first token", "amid the tokens"])
def test_a_client_that_leaves_cancels_the_request_to_the_provider(
    server: Server, client: httpx2.Client, provider: FakeProvider, said: tuple[str, ...], accept: str
) -> None:
    def behave(call: Call) -> None:
        call.start()
        for part in said:
            call.part(part)
        begun.set()
        seen.append(call.is_cancelled())

    seen: list[bool] = []
    begun = threading.Event()
    provider.behaviours = [behave]
    cancelled = gauge(client, 'ai_requests_total{outcome="cancelled"}')
    before = len(stored(server)), budget(server)
    with server.connect() as leaving:
        leaving.sendall(written({"message": PRIVATE}, accept))
        assert begun.wait(5)
    left_at = time.monotonic()
    until(lambda: bool(seen))

    assert time.monotonic() - left_at < CANCELLED_SECONDS
    assert [True] == seen
    until(lambda: gauge(client, 'ai_requests_total{outcome="cancelled"}') == cancelled + 1)
    assert 0 == gauge(client, "ai_completions_running")
    assert before[0] == len(stored(server))
    assert 0 < budget(server) - before[1] < 100, "what was reserved for the rest is given back"


def test_the_end_of_the_service_is_the_last_event(folder: Path) -> None:
    seen: list[bool] = []
    amid = after(lambda call: seen.append(call.is_cancelled()))
    with FakeProvider(amid) as provider, assistant(folder, provider, AI_TOKEN_SECONDS="60") as (server, client):
        whole = in_thread(lambda: ask(client))
        provider.call()
        with streaming(client, PRIVATE) as events:
            assert "token" == next(events)[0]
            server.signal()
            *_, (name, data) = events

        assert ("error", 503) == (name, data["status"])
        assert data["type"].endswith(":shutting-down")
        response = whole()
        assert (503, data["type"]) == (response.status_code, response.json()["type"])
        assert 0 == server.exit_code(4)
        until(lambda: [True, True] == seen)


def test_silence_is_filled_with_comments_and_a_late_failure_is_an_event(folder: Path) -> None:
    limits = {"AI_FIRST_TOKEN_SECONDS": "14", "AI_TOTAL_SECONDS": "60", "REQUEST_TIMEOUT_SECONDS": "1"}
    with FakeProvider(hangs) as provider, assistant(folder, provider, **limits) as (_, client):
        response = client.post("/api/ai/chat", json={"message": "x"}, headers=EVENTS, timeout=30)
        lines = [line for line in response.text.split("\n") if line]

        assert 200 == response.status_code
        assert [": waiting", "id: 1", "event: error"] == lines[:3]
        assert '"status":504' in lines[3]


def test_a_completion_may_take_longer_than_other_requests(folder: Path) -> None:
    slow, limit = says("a", "b", "c", seconds=0.5), {"REQUEST_TIMEOUT_SECONDS": "0.3"}
    with FakeProvider(slow) as provider, assistant(folder, provider, **limit) as (_, client):
        assert "abc" == ask(client).json()["message"]


def test_completions_at_a_time_are_limited_for_a_user(folder: Path) -> None:
    behave = after(lambda call: call.is_cancelled())
    limits = {"AI_MAX_COMPLETIONS": "3", "AI_MAX_COMPLETIONS_PER_USER": "2", "AI_TOKEN_SECONDS": "30"}
    with FakeProvider(behave) as provider, assistant(folder, provider, **limits, AI_TOTAL_SECONDS="60") as (_, client):
        with streaming(client, "x") as first, streaming(client, "y") as second:
            assert ["token", "token"] == [next(each)[0] for each in (first, second)]
            third = ask(client)
            assert 429 == third.status_code
            assert int(third.headers["retry-after"]) > 0
            assert 2 == gauge(client, "ai_completions_running")
        until(lambda: gauge(client, "ai_completions_running") == 0)
        assert 2 == len(provider.calls)


def test_completions_at_a_time_are_limited_in_all(folder: Path) -> None:
    with (
        FakeProvider(after(lambda call: call.is_cancelled())) as provider,
        assistant(folder, provider, AI_MAX_COMPLETIONS="1", AI_TOKEN_SECONDS="30") as (server, client),
        streaming(client, "x") as first,
    ):
        next(first)
        rejected = ask(client)
        assert (503, "10") == (rejected.status_code, rejected.headers["retry-after"])
        server.line("limit reached", completions=1)


def test_the_tokens_of_a_day_are_never_exceeded(tmp_path: Path, database_url: str) -> None:
    """Each request reserves 256 tokens of its completion and some 60 of its prompt, and uses 10."""
    limits = {"AI_DAILY_TOKENS": "1000", "DATABASE_URL": database_url}
    slow = says("a", seconds=0.5)
    with FakeProvider(slow) as provider, assistant(tmp_path, provider, **limits) as (_, client):
        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(response.status_code for response in pool.map(lambda _: ask(client), range(8)))

        assert statuses[0] == 200
        assert statuses.count(200) + statuses.count(429) == 8
        assert len(provider.calls) == statuses.count(200) <= 1000 // 300
        provider.behaviours = [says("a", usage=(600, 300))]
        assert 200 == ask(client).status_code
        rejected = ask(client)
        assert 429 == rejected.status_code
        assert 0 < int(rejected.headers["retry-after"]) <= 86_400


def test_a_conversation_is_bounded_in_messages_and_tokens(folder: Path) -> None:
    limits = {"AI_MAX_MESSAGES": "4", "AI_INPUT_TOKENS": "300"}
    with FakeProvider() as provider, assistant(folder, provider, **limits) as (server, client):
        conversation = ask(client, "first").json()["conversation_id"]
        for message in ("second", "third"):
            assert 200 == ask(client, message, conversation_id=conversation).status_code
        assert [3, 4, 5, 6] == [row[1] for row in stored(server)]

        system = estimated_tokens([Message("system", f"{PROMPT}\nToday is 2026-11-28.")])
        for left, kept in ((15, ["third", "Hello there"]), (9, [])):
            length = 3 * (300 - system - 4 - left)
            ask(client, "x" * length, conversation_id=conversation)
            contents = [content for _, content in provider.calls[-1].said]
            assert [*kept, "x" * length] == contents[1:], "the oldest give way, and none begins with a completion"
            conversation = ask(client, "third").json()["conversation_id"]
        too_long = ask(client, "x" * 1000)
        assert (422, "/message") == (too_long.status_code, too_long.json()["errors"][0]["pointer"])


BAD: dict[str, tuple[Any, int]] = {
    "no message": ({}, 422),
    "an empty one": ({"message": ""}, 422),
    "a blank one": ({"message": " \n\t"}, 422),
    "a number": ({"message": 5}, 422),
    "a list": ({"message": ["x"]}, 422),
    "NUL": ({"message": "a\x00b"}, 422),
    "too long": ({"message": "x" * 100_001}, 422),
    "10 MB": ({"message": "x" * 10_000_000}, 413),
    "an unknown role": ({"message": "x", "context": [{"role": "tool", "content": "x"}]}, 422),
    "the role of the service": ({"message": "x", "context": [{"role": "system", "content": "x"}]}, 422),
    "a context that is none": ({"message": "x", "context": "x"}, 422),
    "a context without end": ({"message": "x", "context": [{"role": "user", "content": "x"}] * 51}, 422),
    "an unknown conversation": ({"message": "x", "conversation_id": "01890000-0000-7000-8000-000000000000"}, 404),
    "no id": ({"message": "x", "conversation_id": "1"}, 422),
    "an unknown field": ({"message": "x", "model": "large"}, 422),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_rejected_and_nothing_is_asked_or_stored(
    server: Server, client: httpx2.Client, provider: FakeProvider, what: str
) -> None:
    body, status = BAD[what]
    before = stored(server), stored(server, "ai_token_budgets")
    for headers in ({}, EVENTS):
        response = client.post("/api/ai/chat", json=body, headers=headers)
        assert status == response.status_code, response.text
        assert "application/problem+json" == response.headers["content-type"]

    assert [] == provider.calls
    assert before == (stored(server), stored(server, "ai_token_budgets"))


def test_text_that_no_database_holds_is_made_fit(tmp_path: Path, database_url: str) -> None:
    parts = ("a\x00b", "\ud800", " ✓", "\U0001f600", "\ud83d", "\ude00", "\ud83d", "z")
    place = {"DATABASE_URL": database_url}
    with FakeProvider(says(*parts)) as provider, assistant(tmp_path, provider, **place) as (_, client):
        events = streamed(client, "x")
        whole = ask(client).json()

        assert "a\ufffdb\ufffd ✓\U0001f600\U0001f600\ufffdz" == text_of(events) == whole["message"]
        messages = client.get(f"/api/ai/conversations/{whole['conversation_id']}").json()["messages"]
        assert whole["message"] == messages[-1]["content"]


def test_what_a_provider_does_not_count_is_estimated(client: httpx2.Client, provider: FakeProvider) -> None:
    for usage in (None, (-1, 10**12)):
        provider.behaviours = [says("a" * 30, usage=usage)]
        counted = ask(client, "x" * 300).json()["usage"]
        assert counted["input_tokens"] > 100
        assert 10 == counted["output_tokens"]


def test_a_provider_that_goes_on_and_on_is_ended_at_the_limit(client: httpx2.Client, provider: FakeProvider) -> None:
    def behave(call: Call) -> None:
        call.start()
        for _ in range(100_000):
            call.part("word " * 20)

    provider.behaviours = [behave]
    response = ask(client).json()

    assert "length" == response["finish_reason"]
    assert 256 * 32 < len(response["message"]) < 256 * 40


def test_a_client_that_does_not_read_holds_neither_the_end_nor_a_place(folder: Path) -> None:
    """Its completion takes 3 s, and the last events 5 s more; the write timeout of the server is far."""

    def behave(call: Call) -> None:
        call.start()
        for _ in range(100_000):
            call.part("word " * 200)

    limits = {"AI_OUTPUT_TOKENS": "100000"}
    with FakeProvider(behave) as provider, assistant(folder, provider, **limits) as (server, client):
        for seconds in (60.0, 0.0):
            with socket.socket() as lazy:
                lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                lazy.connect(("127.0.0.1", server.port()))
                lazy.sendall(written({"message": "x"}, "text/event-stream"))
                until(lambda: gauge(client, "ai_completions_running") == 1)
                if seconds:
                    until(lambda: gauge(client, "ai_completions_running") == 0, 12)
                else:
                    time.sleep(1)
                    server.signal()
                    assert 0 == server.exit_code(5)


def test_what_is_said_is_logged_only_when_that_is_wished_for(folder: Path) -> None:
    with FakeProvider() as provider, assistant(folder, provider, AI_LOG_CONTENT="true") as (server, client):
        assert 200 == ask(client).status_code
        assert "Hello there" == server.line("completion", message=PRIVATE)["completion"]


def test_the_echo_and_the_refusal_of_production(folder: Path) -> None:
    with Server(folder) as server, server.client() as client:
        assert "You said: hello" == ask(client, "hello").json()["message"]
        server.line("setting warning", problem="AI_API_KEY: not set, so an echo responds in place of a model")
    variables = {"APP_ENV": "staging", "ALLOWED_HOSTS": "example.com", "AI_BASE_URL": "ftp://x"}
    refused = run(folder, "config", "--check", service=SERVICE, **variables)
    assert 78 == refused.returncode
    assert "AI_API_KEY: missing; staging needs the key" in refused.stderr
    assert "AI_BASE_URL: it is not the address of an API" in refused.stderr


def test_each_figure_of_a_completion_is_measured(client: httpx2.Client, provider: FakeProvider) -> None:
    names = (
        'ai_requests_total{outcome="done"}',
        'ai_tokens_total{direction="input"}',
        'ai_tokens_total{direction="output"}',
        "ai_first_token_seconds_count",
        "ai_completion_seconds_count",
    )
    before = [gauge(client, name) for name in names]
    provider.behaviours = [says("a", usage=(70, 30))]
    ask(client)
    streamed(client, "x")

    assert [2, 140, 60, 2, 2] == [gauge(client, name) - was for name, was in zip(names, before, strict=True)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory of a process")
def test_memory_stays_flat_over_200_streams(client: httpx2.Client, provider: FakeProvider) -> None:
    provider.behaviours = [says(*["word "] * 100)]

    def stream(_: int) -> str:
        return text_of(streamed(client, "x"))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(stream, range(50)))
        before = gauge(client, "process_resident_memory_bytes")
        assert {"word " * 100} == set(pool.map(stream, range(200)))

    assert gauge(client, "process_resident_memory_bytes") - before < 4 * 1024 * 1024
