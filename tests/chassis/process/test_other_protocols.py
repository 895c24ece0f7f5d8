"""Requests that ask for another protocol are served in HTTP/1.1, and requests in another one are rejected."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .service import Answer, Service, read_answer, read_to_end, request
from .test_http_limits import REJECTIONS, answer_to

UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
"""As each cleartext request of Java's HttpClient and of `curl --http2` has it."""
HOST_LINE = b"Host: test\r\n"
CHUNKED = b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nX-Trailer: forged\r\n\r\n"

FRAMINGS: dict[str, Callable[[bytes], tuple[list[str], bytes]]] = {
    "length": lambda body: ([f"Content-Length: {len(body)}"], body),
    "chunks": lambda body: (
        ["Transfer-Encoding: chunked"],
        (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n",
    ),
}

JAVA = """
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.*;

public class Client {
    static final HttpClient client = HttpClient.newHttpClient();

    static void send(String url, HttpRequest.BodyPublisher body) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(url));
        var sent = body == null ? request.build() : request.POST(body).build();
        var response = client.send(sent, HttpResponse.BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body());
    }

    public static void main(String[] arguments) throws Exception {
        send(arguments[0] + "/echo", HttpRequest.BodyPublishers.ofString("of known length"));
        send(arguments[0] + "/echo", HttpRequest.BodyPublishers.ofString(""));
        send(arguments[0] + "/", null);
        byte[] bytes = "in chunks".getBytes();
        send(arguments[0] + "/echo", HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(bytes)));
    }
}
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def answers_to(service: Service, sent: bytes, count: int, *, piece_bytes: int = 0) -> list[Answer]:
    """The first *count* answers on one connection, on which *sent* arrives in pieces."""
    rest = bytearray()
    with service.connect() as client:
        for start in range(0, len(sent), piece_bytes or len(sent)):
            client.sendall(sent[start : start + (piece_bytes or len(sent))])
            if piece_bytes:
                time.sleep(0.002)
        return [read_answer(client, rest) for _ in range(count)]


@pytest.mark.parametrize("piece_bytes", [0, 7])
@pytest.mark.parametrize(
    ("fields", "body"),
    [((), b""), (("Content-Length: 0",), b""), (("Content-Length: 3",), b"abc"),
     (("Transfer-Encoding: chunked",), CHUNKED)],
    ids=["no body", "an empty body", "a length", "chunks"],
)  # fmt: skip
def test_an_upgrade_to_h2c_is_ignored_and_keeps_the_connection(
    service: Service, fields: tuple[str, ...], body: bytes, piece_bytes: int
) -> None:
    upgrading = request("/echo", "POST", UPGRADE, *fields) + body
    plain = request("/echo", "POST", "Content-Length: 2") + b"de"

    first, second, third, fourth = answers_to(service, (upgrading + plain) * 2, 4, piece_bytes=piece_bytes)

    expected = b"abc" if body else b""
    assert [expected, b"de"] * 2 == [each.body for each in (first, second, third, fourth)]
    assert "close" not in first.headers["connection"]


@given(
    requests=st.lists(
        st.tuples(st.booleans(), st.sampled_from(["length", "chunks"]), st.binary(max_size=60)), min_size=1, max_size=6
    ),
    piece_bytes=st.sampled_from([0, 13, 64]),
)
@settings(max_examples=20, deadline=None)
def test_an_upgrade_changes_nothing_about_where_a_request_ends(
    service: Service, requests: list[tuple[bool, str, bytes]], piece_bytes: int
) -> None:
    sent = b"".join(
        request("/echo", "POST", *((UPGRADE,) if upgrade else ()), *FRAMINGS[framing](body)[0])
        + FRAMINGS[framing](body)[1]
        for upgrade, framing, body in requests
    )

    answers = answers_to(service, sent, len(requests), piece_bytes=piece_bytes)

    assert [body for _, _, body in requests] == [answer.body for answer in answers]


def test_pipelined_upgrades_are_all_ignored(service: Service) -> None:
    upgrading = request("/echo", "POST", UPGRADE, "Content-Length: 3") + b"abc"

    assert [b"abc"] * 20 == [answer.body for answer in answers_to(service, upgrading * 20, 20)]


def test_the_application_sees_the_request_as_it_was_sent(service: Service) -> None:
    (answer,) = answers_to(service, request("/headers", "POST", UPGRADE, "Transfer-Encoding: chunked") + CHUNKED, 1)

    assert answer.json().items() >= {"upgrade": "h2c", "transfer-encoding": "chunked"}.items()
    assert "x-trailer" not in answer.json()


@pytest.mark.parametrize("body_field", ["Content-Length: 00", "Content-Length: 3", "Transfer-Encoding: chunked"])
def test_a_handshake_of_a_websocket_has_no_body(service: Service, body_field: str) -> None:
    fields = ("Connection: Upgrade", "Upgrade: websocket", body_field)

    assert 501 == answer_to(service, request("/websocket/echo", "GET", *fields)).status


@pytest.mark.parametrize("upgrade", ["h2c, websocket", "TLS/1.0", "websockets", "h2c\r\nUpgrade: websocket"])
def test_an_upgrade_to_anything_but_a_websocket_alone_is_ignored(service: Service, upgrade: str) -> None:
    fields = ("Connection: Upgrade", f"Upgrade: {upgrade}", "Content-Length: 3")

    (answer,) = answers_to(service, request("/echo", "POST", *fields) + b"abc", 1)

    assert (200, b"abc") == (answer.status, answer.body)


def test_an_upgrade_in_http_1_0_is_ignored(service: Service) -> None:
    handshake = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    sent = f"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{handshake}\r\n\r\n".encode()

    assert 200 == answer_to(service, sent).status


def test_a_body_behind_an_upgrade_is_asked_for(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/echo", "POST", UPGRADE, "Content-Length: 3", "Expect: 100-continue"))
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(1000)
        client.sendall(b"abc")

        assert b"abc" == read_answer(client).body


def test_an_upload_behind_an_upgrade_arrives_whole(service: Service) -> None:
    body = bytes(range(256)) * 8000
    with service.connect() as client:
        client.sendall(request("/echo", "POST", UPGRADE, f"Content-Length: {len(body)}") + body)

        assert body == read_answer(client).body


@pytest.mark.parametrize(
    "name", [name for name, (_, sent) in REJECTIONS.items() if HOST_LINE in sent and b"Upgrade" not in sent]
)
def test_what_is_rejected_is_rejected_with_an_upgrade_as_well(service: Service, name: str) -> None:
    status, sent = REJECTIONS[name]

    answer = answer_to(service, sent.replace(HOST_LINE, HOST_LINE + UPGRADE.encode() + b"\r\n", 1))

    assert status == answer.status


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("upgrade", [(), (UPGRADE,)], ids=["plain", "h2c"])
@pytest.mark.parametrize(
    ("status", "coding"),
    [
        (501, "gzip"),
        (501, "gzip, chunked"),
        (501, "identity"),
        (501, "xchunked"),
        (501, "chunked;a=b"),
        (501, "\x0bchunked"),
        (501, '"chunked"'),
        (501, "chunked\r\nTransfer-Encoding: gzip"),
        (501, "gzip\r\nTransfer-Encoding: chunked"),
        (400, "chunked, identity"),
        (400, "chunked, chunked"),
        (400, "chunked\r\nTransfer-Encoding: chunked"),
        (400, ", chunked"),
        (400, ""),
    ],
)
def test_a_transfer_coding_other_than_chunked_is_rejected(
    service: Service, status: int, coding: str, upgrade: tuple[str, ...]
) -> None:
    body = b"0\r\n\r\n" + SMUGGLED

    with service.connect() as client:
        client.sendall(request("/echo", "POST", *upgrade, f"Transfer-Encoding: {coding}") + body)
        received = read_to_end(client)

    # A control character, or a field after chunked, is the parser's to reject.
    assert received.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.1 400 "))
    assert 1 == received.count(b"HTTP/1.1 ")


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "CHUNKED "])
def test_chunked_may_be_written_in_any_case(service: Service, coding: str) -> None:
    for fields in ((), (UPGRADE,)):
        (answer,) = answers_to(service, request("/echo", "POST", *fields, f"Transfer-Encoding: {coding}") + CHUNKED, 1)
        assert b"abc" == answer.body


FOREIGN = {
    "OPTIONS in RTSP": b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "GET in RTSP": b"GET / RTSP/1.0\r\nHost: test\r\n\r\n",
    "GET in RTSP 1.1": b"GET / RTSP/1.1\r\nHost: test\r\n\r\n",
    "POST in RTSP": b"POST /echo RTSP/1.0\r\nContent-Length: 0\r\n\r\n",
    "DESCRIBE": b"DESCRIBE rtsp://test/ RTSP/1.0\r\nCSeq: 2\r\n\r\n",
    "PLAY": b"PLAY rtsp://test/ RTSP/1.0\r\nHost: test\r\nCSeq: 2\r\n\r\n",
    "PLAY in HTTP": b"PLAY / HTTP/1.1\r\nHost: test\r\n\r\n",
    "SOURCE in ICE": b"SOURCE /stream ICE/1.0\r\nHost: test\r\n\r\n",
    "SOURCE in HTTP": b"SOURCE /stream HTTP/1.1\r\nHost: test\r\n\r\n",
}


@pytest.mark.parametrize("piece_bytes", [0, 1])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_request_in_another_protocol_is_rejected(service: Service, name: str, piece_bytes: int) -> None:
    (answer,) = answers_to(service, FOREIGN[name], 1, piece_bytes=piece_bytes)

    assert (501, "close") == (answer.status, answer.headers["connection"])


@pytest.mark.parametrize("version", ["RTSP/2.0", "HTTP/0.9", "HTTP/3.0", "SIP/2.0", "ICE/1.0", "http/1.1"])
def test_a_version_other_than_http_1_is_rejected(service: Service, version: str) -> None:
    answer = answer_to(service, f"GET / {version}\r\nHost: test\r\n\r\n".encode())

    assert answer.status in {400, 501, 505}


def test_a_pipelined_request_in_another_protocol_is_rejected(service: Service) -> None:
    statuses = [each.status for each in answers_to(service, request("/") + FOREIGN["GET in RTSP"], 2)]

    assert [200, 501] == statuses


BEFORE = {
    "a request": request("/"),
    "the same line in a field": request("/", "GET", "X-Note: GET / HTTP/1.1"),
    "the same line in a body": request("/echo", "POST", "Content-Length: 6") + b"GET / ",
    "spaces": request("/echo", "POST", "Content-Length: 3") + b"   ",
}


@pytest.mark.parametrize("line", [b"GET / RTSP/1.0", b"GET /  RTSP/1.0", b"OPTIONS * RTSP/1.0", b"POST /echo RTSP/1.1"])
@pytest.mark.parametrize("before", BEFORE)
def test_a_request_in_rtsp_is_rejected_wherever_segments_end(service: Service, before: str, line: bytes) -> None:
    first = BEFORE[before]
    sent = first + line + b"\r\nHost: test\r\n\r\n"
    for end in range(len(first), len(sent)):
        rest = bytearray()
        with service.connect() as client:
            client.sendall(sent[:end])
            statuses = [read_answer(client, rest).status]  # so it has read that
            client.sendall(sent[end:])
            statuses.append(read_answer(client, rest).status)
        assert [200, 501] == statuses, sent[:end]


@pytest.mark.parametrize("before", ["", "GET / HTTP/1.1\r\nHost: test\r\n\r\n"])
def test_the_name_of_rtsp_elsewhere_is_none_wherever_segments_end(service: Service, before: str) -> None:
    """Not in a target, nor in a field's value after what looks like a request, nor in a body."""
    body = b"GET / RTSP/1.0"
    sent = before.encode() + request("/echo?a=RTSP/", "POST", "X-Note: GET / RTSP/1.0", f"Content-Length: {len(body)}")
    sent += body
    for end in range(1, len(sent)):
        with service.connect() as client:
            client.sendall(sent[:end])
            time.sleep(0.002)
            client.sendall(sent[end:])
            rest = bytearray()
            answers = [read_answer(client, rest) for _ in range(2 if before else 1)]
        assert (200, body) == (answers[-1].status, answers[-1].body), sent[:end]


@pytest.mark.parametrize("piece_bytes", [0, 3])
def test_the_name_of_another_protocol_elsewhere_is_no_request_in_it(service: Service, piece_bytes: int) -> None:
    body = b"not GET /echo RTSP/1.0"
    sent = request("/echo", "POST", "X-Note: / RTSP/1.0", f"Content-Length: {len(body)}") + body

    assert [body] * 2 == [each.body for each in answers_to(service, sent * 2, 2, piece_bytes=piece_bytes)]


def test_an_expectation_in_http_1_0_is_ignored(service: Service) -> None:
    sent = b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with service.connect() as client:
        client.sendall(sent)
        time.sleep(0.05)
        client.sendall(b"abc")
        received = read_to_end(client)

    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"\r\n\r\nabc")


def curl(url: str, _folder: Path) -> list[str]:
    """What curl prints of three requests, each with how many connections it opened for it."""
    report = ["-w", " %{http_code} %{http_version} %{num_connects}\n", "-sS", "--http2"]
    command = ["curl", *report, "-d", "abc", f"{url}/echo", "--next", *report, f"{url}/slow?seconds=0"]
    command += ["--next", *report, "-H", "Transfer-Encoding: chunked", "-d", "in chunks", f"{url}/echo"]
    return printed(command)


def java(url: str, folder: Path) -> list[str]:
    program = folder / "Client.java"
    program.write_text(JAVA)
    return printed(["java", str(program), url])


def printed(command: list[str]) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()


CLIENTS: dict[str, tuple[Callable[[str, Path], list[str]], list[str]]] = {
    "curl": (curl, ["abc 200 1.1 1", '{"ok":true} 200 1.1 0', "in chunks 200 1.1 0"]),
    "javac": (java, ["200 of known length", "200 ", '200 {"ok":true,"path":"/"}', "200 in chunks"]),
}
"""By the program that must be installed; a JDK is not everywhere, and its requests are those of the tests above."""


@pytest.mark.parametrize("program", [program for program in CLIENTS if shutil.which(program)])
def test_clients_that_ask_for_h2c_are_served(service: Service, program: str, tmp_path: Path) -> None:
    client, expected = CLIENTS[program]

    assert expected == client(f"http://127.0.0.1:{service.port()}", tmp_path)
