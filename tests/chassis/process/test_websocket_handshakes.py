"""What becomes of a websocket's handshake that is not accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .service import Answer, Service, read_answer, read_to_end, request

VERSION = "Sec-WebSocket-Version: 13"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="


def upgrade(path: str, *fields: str, method: str = "GET") -> bytes:
    return request(path, method, "Connection: Upgrade", "Upgrade: websocket", *fields)


REJECTIONS = {
    "no handler": (403, "forbidden", upgrade("/nothing", VERSION, KEY)),
    "an old version": (400, "bad-request", upgrade("/websocket/aware", "Sec-WebSocket-Version: 8", KEY)),
    "no key": (400, "bad-request", upgrade("/websocket/aware", VERSION)),
    "a body": (501, "not-implemented", upgrade("/websocket/aware", VERSION, KEY, "Content-Length: 3") + b"abc"),
    "a field of 8 KiB": (431, "headers-too-large", upgrade("/websocket/aware", VERSION, KEY, "X-Big: " + "a" * 8160)),
    "a target of 8 KiB": (431, "headers-too-large", upgrade("/" + "a" * 8180, VERSION, KEY)),
    "a field that is just not too large": (403, "forbidden", upgrade("/nothing", VERSION, KEY, "X: " + "a" * 8159)),
    "a body of no bytes": (403, "forbidden", upgrade("/nothing", VERSION, KEY, "Content-Length: 0")),
    "another method": (405, "method-not-allowed", upgrade("/websocket/aware", VERSION, KEY, method="POST")),
}

TOLD = {"request rejected", "unhandled exception", "counted", "standard library"}
"""What a handshake may leave in the log; `standard library` stands for what uvicorn says itself."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def answer_to(service: Service, sent: bytes) -> Answer:
    """The answer to *sent*; the connection must end cleanly after it."""
    with service.connect() as client:
        client.sendall(sent)
        answer = read_answer(client)
        assert read_to_end(client) == b""
        return answer


@pytest.mark.parametrize("name", REJECTIONS)
def test_a_rejected_handshake_is_a_problem_document_and_a_line(service: Service, name: str) -> None:
    status, slug, sent = REJECTIONS[name]

    answer = answer_to(service, sent)
    line = service.line("request rejected", request_id=answer.json()["instance"])

    assert (status, status) == (answer.status, answer.json()["status"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["instance"]
    assert answer.json()["type"].endswith(f":{slug}")
    assert (status, slug, sent.split()[0].decode(), "127.0.0.1") == tuple(
        line[key] for key in ("status", "problem", "method", "client")
    )


def test_a_rejected_handshake_bears_the_request_id_that_the_client_chose(service: Service) -> None:
    for number, fields in enumerate(((VERSION, KEY), (KEY,))):
        answer = answer_to(service, upgrade("/nothing", *fields, f"X-Request-ID: chosen-{number}"))

        assert f"chosen-{number}" == answer.json()["instance"] == answer.headers["x-request-id"]


def test_each_rejected_handshake_is_logged_and_counted_once() -> None:
    with Service() as service:
        for _, _, sent in REJECTIONS.values():
            answer_to(service, sent)
        service.signal()
        service.exit_code(within_seconds=5)
        events = service.events()

    assert ["request rejected", "counted"] * len(REJECTIONS) == [event for event in events if event in TOLD]
    assert [status for status, _, _ in REJECTIONS.values()] == [
        line["status"] for line in service.lines if line["event"] == "counted"
    ]


def test_a_handshake_does_not_cost_the_request_before_it_its_answer(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/slow?seconds=0.1") + upgrade("/websocket/aware", VERSION, KEY))
        rest = bytearray()

        assert [200, 400] == [read_answer(client, rest).status for _ in range(2)]


@pytest.mark.parametrize(("path", "error"), [("failing", "ZeroDivisionError"), ("silent", "RuntimeError")])
def test_a_crash_before_the_acceptance_is_one_line_with_the_id_of_its_answer(path: str, error: str) -> None:
    with Service() as service:
        answer = answer_to(service, upgrade(f"/websocket/{path}", VERSION, KEY))
        line = service.line("unhandled exception", request_id=answer.headers["x-request-id"])
        service.signal()
        service.exit_code(within_seconds=5)
        events = service.events()

    assert (500, "Internal Server Error") == (answer.status, answer.json()["detail"])
    assert error == line["exception"][0]["exc_type"]
    assert ["unhandled exception", "counted"] == [event for event in events if event in TOLD]


def test_an_answer_of_the_handler_s_own_is_a_rejection_and_no_failure() -> None:
    with Service() as service:
        answer = answer_to(service, upgrade("/websocket/answering", VERSION, KEY))
        service.signal()
        service.exit_code(within_seconds=5)
        events = service.events()

    assert (401, b"own") == (answer.status, answer.body)
    assert 401 == service.line("request rejected")["status"]
    assert ["request rejected", "counted"] == [event for event in events if event in TOLD]


def test_a_handshake_that_the_stop_cuts_off_is_told_so() -> None:
    with Service(shutdown_deadline_seconds=0.5) as service, service.connect() as client:
        client.sendall(upgrade("/websocket/pondering", VERSION, KEY))
        service.line("pondering")
        service.signal()
        answer = read_answer(client)

    assert (503, "shutting-down") == (answer.status, answer.json()["type"].split(":")[-1])
