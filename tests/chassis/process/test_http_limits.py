from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acme_service.chassis.server.deadlines import LINGER_SECONDS

from .service import Answer, Service, in_thread, read_answer, read_to_end, request

HEADER_SECONDS = 0.5
BODY_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 0.7
WRITE_SECONDS = 0.5


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(
        header_timeout_seconds=HEADER_SECONDS,
        body_timeout_seconds=BODY_SECONDS,
        keep_alive_seconds=KEEP_ALIVE_SECONDS,
        write_timeout_seconds=WRITE_SECONDS,
    ) as running:
        yield running


def answer_to(service: Service, sent: bytes) -> Answer:
    """The answer to *sent*; the connection must end cleanly after it."""
    with service.connect() as client:
        client.sendall(sent)
        answer = read_answer(client)
        assert answer.headers.get("connection") == "close"
        assert read_to_end(client) == b""
        return answer


def with_body(*fields: str, body: bytes = b"", target: str = "/echo") -> bytes:
    return request(target, "POST", *fields) + body


def in_chunks(body: bytes, target: str = "/echo") -> bytes:
    return with_body("Transfer-Encoding: chunked", body=body, target=target)


PIECES = 1_000_000
"""So many bytes come in several pieces, whatever the system's buffers are."""


REJECTIONS = {
    "a target of 64 KiB": (414, b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: test\r\n\r\n"),
    "a target of 9 KiB": (414, request("/" + "a" * 9000)),
    "a header of 64 KiB": (431, request("/", "GET", "X-Big: " + "a" * 65_536)),
    "a header of 33 KiB in small fields": (431, request("/", "GET", *(f"X-{n}: {'a' * 400}" for n in range(82)))),
    "a header without end": (431, request("/")[:-2] + b"X-Big: " + b"a" * 40_000),
    "101 fields": (431, request("/", "GET", *(f"X-{n}: a" for n in range(100)))),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, request("/", "GET", "Host: test")),
    "two Hosts in HTTP/1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    "a Host that is none": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "an unknown method": (501, request("/", "FOO1")),
    "CONNECT": (501, request("test:80", "CONNECT")),
    "no HTTP at all": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "HTTP/2 without an agreement": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a version of the future": (400, b"GET / HTTP/1.2\r\nHost: test\r\n\r\n"),
    "a version without a Host": (505, b"GET / HTTP/2.0\r\nHost: test\r\n\r\n"),
    "a target that is not ASCII": (400, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: test\r\n\r\n"),
    "a fragment": (400, request("/#top")),
    "a length and chunks": (400, with_body("Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "two lengths": (400, with_body("Content-Length: 3", "Content-Length: 3", body=b"abc")),
    "an unknown transfer coding": (400, with_body("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n")),
    "a negative length": (400, with_body("Content-Length: -1")),
    "a length beyond 64 bits": (400, with_body("Content-Length: 99999999999999999999")),
    "a length of thousands of zeros": (400, with_body(f"Content-Length: {'0' * 5000}5", body=b"abcde")),
    "a length of 20 digits": (400, with_body(f"Content-Length: {'0' * 19}5", body=b"abcde")),
    "a chunk size that is no number": (400, in_chunks(b"zz\r\n")),
    "an extension of a chunk without end": (431, in_chunks(b"1;" + b"a" * PIECES)),
    "a trailer without end": (431, in_chunks(b"0\r\nX-Big: " + b"a" * PIECES)),
    "33 KiB of trailers": (431, in_chunks(b"0\r\n" + b"X-Small: 1234567890\r\n" * 1610 + b"\r\n")),
    "a space before the colon": (400, b"GET / HTTP/1.1\r\nHost : test\r\n\r\n"),
    "a folded field": (400, request("/", "GET", "X-A: a\r\n b")),
    "a bare CR": (400, request("/", "GET", "X-A: a\rX-B: b")),
    "a bare LF": (400, b"GET / HTTP/1.1\nHost: test\n\n"),
    "NUL in a field": (400, request("/", "GET", "X-A: a\0b")),
    "a websocket with a body": (
        501,
        with_body("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3", body=b"abc"),
    ),
}


@pytest.mark.parametrize("name", REJECTIONS)
def test_what_is_no_acceptable_request_gets_a_problem_document(service: Service, name: str) -> None:
    status, sent = REJECTIONS[name]

    answer = answer_to(service, sent)

    assert status == answer.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} == answer.json().keys()
    assert status == answer.json()["status"]
    assert answer.headers["x-request-id"] == answer.json()["instance"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_a_rejection_is_logged_and_counted_once(service: Service) -> None:
    answer = answer_to(service, request("/", "FOO2"))

    line = service.line("request rejected", request_id=answer.json()["instance"])
    assert (501, "not-implemented", "127.0.0.1") == (line["status"], line["problem"], line["client"])
    assert service.line("counted", status=501, method="other")


@pytest.mark.parametrize(
    ("sent", "event"),
    [
        (request("/", "GET", "X-Request-ID: two-hosts", "Host: test"), "request rejected"),
        (request("/", "GET", "X-Request-ID: large-head", "X-Big: " + "a" * 65_536), "request rejected"),
        (with_body("X-Request-ID: bad-chunk", "Transfer-Encoding: chunked", body=b"zz\r\n"), "request rejected"),
        (request("/crash", "GET", "X-Request-ID: crash"), "unhandled exception"),
    ],
    ids=["two Hosts", "a large head", "a bad chunk", "a crash"],
)
def test_a_rejection_bears_the_request_id_that_the_client_chose(service: Service, sent: bytes, event: str) -> None:
    answer = answer_to(service, sent)

    chosen = answer.json()["instance"]
    assert chosen == answer.headers["x-request-id"]
    assert f"X-Request-ID: {chosen}".encode() in sent
    assert service.line(event, request_id=chosen)


def test_a_rejection_bears_no_request_id_that_is_malformed(service: Service) -> None:
    answer = answer_to(service, request("/", "GET", "X-Request-ID: a b", "Host: test"))

    assert answer.headers["x-request-id"] == answer.json()["instance"] != "a b"


def test_a_rejection_does_not_bear_the_id_of_the_request_before(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/", "GET", "X-Request-ID: before") + b"NONSENSE\r\n\r\n")
        rest = bytearray()
        read_answer(client, rest)

        assert read_answer(client, rest).json()["instance"] != "before"


def test_a_crash_outside_every_middleware_is_logged_once_with_the_id_of_its_answer(service: Service) -> None:
    answer = service.ask("/crash")

    assert answer.status == 500
    assert answer.headers["x-request-id"] == answer.json()["instance"]
    assert b"ZeroDivision" not in answer.body
    assert service.line("unhandled exception", request_id=answer.json()["instance"])


def test_a_head_answer_has_no_body(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/", "HEAD") + request("/nothing-here", "GET", "Connection: close"))
        received = read_to_end(client)

    first, _, rest = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert rest.startswith(b"HTTP/1.1 404 Not Found")


def test_an_absolute_target_names_the_host(service: Service) -> None:
    answer = service.ask("http://other/path")

    assert (404, "text/plain; charset=utf-8") == (answer.status, answer.headers["content-type"])


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/slow?seconds=0.1") + request("/") + b"NONSENSE\r\n\r\n")

        rest = bytearray()
        assert [200, 200, 400] == [read_answer(client, rest).status for _ in range(3)]


def test_a_pipelined_request_finds_nothing_of_the_one_before_it(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/context") * 3)
        rest = bytearray()

        assert [b"nothing"] * 3 == [read_answer(client, rest).body for _ in range(3)]


def test_pipelining_without_end_is_rejected(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/slow?seconds=0.1") + request("/") * 500)
        rest = bytearray()
        statuses = [read_answer(client, rest).status for _ in range(34)]

    assert [200] * 33 + [429] == statuses


def test_a_413_can_be_read_by_a_client_that_is_still_sending(service: Service) -> None:
    size = 8 * 1024 * 1024
    with service.connect() as client:
        client.sendall(request("/reject", "POST", f"Content-Length: {size}"))
        client.sendall(b"x" * size)

        assert read_answer(client).status == 413
        assert read_to_end(client) == b""


def test_a_client_that_asks_before_sending_is_told_no_without_the_body(service: Service) -> None:
    expecting = ("Content-Length: 1000000", "Expect: 100-continue")

    answer = answer_to(service, with_body(*expecting, target="/reject"))

    assert answer.status == 413


def test_a_client_that_asks_before_sending_is_told_to_go_on(service: Service) -> None:
    with service.connect() as client:
        client.sendall(with_body("Content-Length: 3", "Expect: 100-continue"))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")

        assert read_answer(client).body == b"abc"


def test_a_small_unread_body_does_not_cost_the_connection(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/", "POST", "Content-Length: 3"))
        assert read_answer(client).status == 200
        client.sendall(b"abc" + request("/again"))

        assert read_answer(client).status == 404


def test_a_body_arrives_whole_in_any_pieces(service: Service) -> None:
    body = bytes(range(256)) * 2000
    with service.connect() as client:
        client.sendall(request("/echo", "POST", "Transfer-Encoding: chunked"))
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")

        assert body == read_answer(client).body


def test_a_length_may_have_19_digits(service: Service) -> None:
    with service.connect() as client:
        client.sendall(with_body(f"Content-Length: {'0' * 18}5", body=b"abcde"))

        assert read_answer(client).body == b"abcde"


def test_a_trailer_is_no_header_of_its_request_nor_of_the_next(service: Service) -> None:
    trailers = b"X-Forwarded-For: 203.0.113.9\r\nContent-Type: text/html\r\nHost: a/b\r\nX-Request-ID: forged\r\n"
    with service.connect() as client:
        client.sendall(in_chunks(b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n", "/headers") + request("/headers"))
        rest = bytearray()
        answers = [read_answer(client, rest) for _ in range(2)]

    assert [{"host": "test", "transfer-encoding": "chunked"}, {"host": "test"}] == [each.json() for each in answers]


def test_trailers_are_counted_for_each_request_anew(service: Service) -> None:
    trailing = in_chunks(b"0\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n")
    with service.connect() as client:
        client.sendall(trailing * 3)
        rest = bytearray()

        assert [200] * 3 == [read_answer(client, rest).status for _ in range(3)]


def test_extensions_of_chunks_are_counted_between_the_bytes_of_the_body_alone(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/echo", "POST", "Transfer-Encoding: chunked"))
        for _ in range(3):
            for piece in (b"1;" + b"x" * 20_000 + b"\r\n", b"a\r\n"):
                client.sendall(piece)
                time.sleep(0.02)
        client.sendall(b"0\r\n\r\n")

        assert read_answer(client).body == b"aaa"


def test_a_client_that_closed_its_sending_side_gets_its_whole_answer(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/slow?seconds=0.2"))
        client.shutdown(socket.SHUT_WR)

        assert read_answer(client).json() == {"ok": True}
        assert read_to_end(client) == b""


@pytest.mark.parametrize("reset", [True, False], ids=["with a reset", "with a close"])
def test_a_stream_that_has_nothing_to_send_ends_when_its_client_leaves(*, reset: bool) -> None:
    with Service(write_timeout_seconds=WRITE_SECONDS) as service, service.connect() as client:
        client.sendall(request("/events"))
        assert b"hello" in client.recv(10_000)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

        service.line("stream ended")


def test_a_failure_in_the_middle_of_an_answer_leaves_it_unfinished(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/broken-stream"))
        received = read_to_end(client)

    assert b"half" in received
    assert not received.endswith(b"0\r\n\r\n")


SLACK_SECONDS = 4
"""What a busy machine may add to a limit."""

SLOW_CLIENTS: dict[str, tuple[float, int | None, bytes, bytes]] = {
    "says nothing": (HEADER_SECONDS, None, b"", b""),
    "drips its header": (HEADER_SECONDS, 408, b"GET / HTTP/1.1\r\nX-Long: ", b"a"),
    "drips its body": (BODY_SECONDS, 408, with_body("Content-Length: 1000"), b"a"),
}


def held(service: Service, first: bytes, drip: bytes) -> tuple[float, bytes]:
    """How long a client that sends *first* and then *drip* again and again may stay, and what it is told."""
    started = time.monotonic()
    with service.connect() as client:
        client.sendall(first)
        client.settimeout(0.05)
        while True:
            try:
                received = client.recv(65536)
            except TimeoutError:
                client.sendall(drip)
                continue
            return time.monotonic() - started, received


def test_a_client_that_makes_no_progress_is_told_so_and_closed(service: Service) -> None:
    def start(values: tuple[float, int | None, bytes, bytes]) -> Callable[[], Any]:
        return in_thread(lambda: held(service, values[2], values[3]))

    running = {name: start(values) for name, values in SLOW_CLIENTS.items()}

    for name, wait in running.items():
        limit, status, _, _ = SLOW_CLIENTS[name]
        seconds, received = wait()
        assert limit <= seconds < limit + SLACK_SECONDS, name
        if status is None:
            assert received == b"", name
        else:
            assert f" {status} ".encode() in received, name
            assert json.loads(received.partition(b"\r\n\r\n")[2])["status"] == status


def test_a_body_that_drips_on_after_its_response_does_not_keep_the_connection() -> None:
    """Whoever sends one byte at a time would have the connection for the whole of an idle one's time."""
    with Service(keep_alive_seconds=60) as service, service.connect() as client:
        started = time.monotonic()
        client.sendall(with_body("Content-Length: 1000", target="/"))
        client.settimeout(0.05)
        received = b""
        while time.monotonic() - started < 30:
            with contextlib.suppress(TimeoutError):
                if not (piece := client.recv(65536)):
                    break
                received += piece
            with contextlib.suppress(OSError):
                client.sendall(b"a")
        seconds = time.monotonic() - started

    assert b"HTTP/1.1 200" in received
    assert seconds < LINGER_SECONDS + SLACK_SECONDS


def test_a_client_learns_how_long_its_connection_is_kept() -> None:
    with Service() as default, Service(keep_alive_seconds=1.5) as short:
        assert ("keep-alive", "timeout=74") == tuple(map(default.ask("/").headers.get, ("connection", "keep-alive")))
        assert "keep-alive" not in short.ask("/").headers


def test_an_idle_connection_is_closed_after_the_keep_alive_time(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/"))
        read_answer(client)
        started = time.monotonic()

        assert read_to_end(client) == b""
        assert KEEP_ALIVE_SECONDS <= time.monotonic() - started < KEEP_ALIVE_SECONDS + SLACK_SECONDS


def test_a_client_that_does_not_read_its_answer_is_dropped(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/big"))

        service.line("connection given up", reason="the client does not read its response")


def test_a_slow_reader_that_makes_progress_keeps_its_connection(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/big"))
        received = 0
        while received < 30_000_000:
            time.sleep(0.1 if received < 10_000_000 else 0)
            piece = client.recv(1_000_000)
            assert piece, f"the connection ended after {received} bytes"
            received += len(piece)
