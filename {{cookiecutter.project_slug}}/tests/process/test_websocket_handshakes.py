"""What becomes of a websocket's handshake that is not accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.process.service import Answer, Service, read_answer, read_to_end, request

VERSION = "Sec-WebSocket-Version: 13"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="


def upgrade(path: str, *fields: str, method: str = "GET") -> bytes:
    return request(path, method, "Connection: Upgrade", "Upgrade: websocket", *fields)


REFUSALS = {
    "no handler": (403, "client-error", upgrade("/nothing", VERSION, KEY)),
    "an old version": (400, "bad-request", upgrade("/websocket/aware", "Sec-WebSocket-Version: 8", KEY)),
    "no key": (400, "bad-request", upgrade("/websocket/aware", VERSION)),
    "another method": (405, "method-not-allowed", upgrade("/websocket/aware", VERSION, KEY, method="POST")),
}


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


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_handshake_is_a_problem_document_and_a_line(service: Service, name: str) -> None:
    status, slug, sent = REFUSALS[name]

    answer = answer_to(service, sent)
    line = service.line("request refused", request_id=answer.json()["instance"])

    assert (status, status) == (answer.status, answer.json()["status"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["instance"]
    assert answer.json()["type"].endswith(f":{slug}")
    assert (status, slug, sent.split()[0].decode(), "127.0.0.1") == tuple(
        line[key] for key in ("status", "problem", "method", "client")
    )


def test_a_refused_handshake_bears_the_request_id_that_the_client_chose(service: Service) -> None:
    for number, fields in enumerate(((VERSION, KEY), (KEY,))):
        answer = answer_to(service, upgrade("/nothing", *fields, f"X-Request-ID: chosen-{number}"))

        assert f"chosen-{number}" == answer.json()["instance"] == answer.headers["x-request-id"]


def test_each_refused_handshake_is_logged_and_counted_once() -> None:
    with Service() as service:
        for _, _, sent in REFUSALS.values():
            answer_to(service, sent)
        service.signal()
        service.exit_code(within_seconds=5)
        events = service.events()

    assert [len(REFUSALS)] * 2 == [events.count("request refused"), events.count("counted")]
    assert sorted(status for status, _, _ in REFUSALS.values()) == sorted(
        line["status"] for line in service.lines if line["event"] == "counted"
    )
