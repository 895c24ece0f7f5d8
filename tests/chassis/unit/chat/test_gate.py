from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from acme_service.chassis.chat.gate import LINK, Gate
from acme_service.chassis.chat.link import Link
from acme_service.chassis.errors import (
    ContentTooLarge,
    Forbidden,
    MalformedRequest,
    NotFound,
    ServiceError,
    Unavailable,
)

pytestmark = pytest.mark.anyio

OWN = b"http://chat.example"
HANDSHAKE = "EIO=4&transport={transport}"


class Served:
    """A gate, and what came through it."""

    def __init__(self, *, polling: bool = True, draining: bool = False, origins: tuple[str, ...] = ()) -> None:
        self.refused: list[str] = []
        self.closed: list[Link] = []
        self.link = Link("", frames_per_second=1000, on_rejected=self.refused.append)
        self.links = {"known": self.link}
        self.scope: dict[str, Any] = {}
        self.body = b""
        self.gate = Gate(
            self._serve,
            link_of=self.links.get,
            new_link=self._new_link,
            draining=lambda: draining,
            origins=origins,
            polling=polling,
            packet_bytes=1000,
            close=self._close,
            on_refused=self.refused.append,
        )

    async def _new_link(self, client: str) -> Link:
        return Link(client, frames_per_second=1000, on_rejected=self.refused.append)

    async def _close(self, link: Link) -> None:
        self.closed.append(link)

    async def _serve(self, scope: Any, receive: Any, _send: Any) -> None:
        self.scope = scope
        if scope["type"] == "http" and scope["method"] == "POST":
            self.body = (await receive())["body"]

    async def ask(  # noqa: PLR0913 - the parts of a request
        self,
        query: str = HANDSHAKE,
        *,
        kind: str = "http",
        method: str = "GET",
        path: str = "/socket.io/",
        origin: bytes = b"",
        pieces: tuple[bytes, ...] = (),
        before_body: Callable[[], None] = lambda: None,
    ) -> None:
        headers = [(b"host", b"chat.example"), *([(b"origin", origin)] if origin else []), (b"content-length", b"9")]
        transport = "websocket" if kind == "websocket" else "polling"
        scope = {
            "type": kind,
            "method": method,
            "path": path,
            "root_path": "/socket.io",
            "scheme": "ws" if kind == "websocket" else "http",
            "query_string": query.format(transport=transport).encode(),
            "headers": headers,
            "client": ("192.0.2.1", 5),
        }
        left = list(pieces)

        async def receive() -> dict[str, Any]:
            before_body()
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(_message: Any) -> None:
            raise AssertionError("the gate itself sends nothing")

        await self.gate(scope, receive, send)


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_handshake_gets_a_link_of_its_own_and_a_session_the_one_it_has(kind: str) -> None:
    served = Served()
    await served.ask(kind=kind)
    made = served.scope[LINK]
    await served.ask(HANDSHAKE + "&sid=known", kind=kind)

    assert ("192.0.2.1", served.link) == (made.client, served.scope[LINK])
    with pytest.raises(MalformedRequest, match="no session of this sid"):
        await served.ask(HANDSHAKE + "&sid=strange", kind=kind)


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_origins_are_checked_for_both_transports(kind: str) -> None:
    served = Served(origins=("https://app.example",))
    for origin in (b"", OWN, b"https://app.example"):
        await served.ask(kind=kind, origin=origin)
    for query in (HANDSHAKE, HANDSHAKE + "&sid=known"):
        with pytest.raises(Forbidden, match=r"https://evil\.example"):
            await served.ask(query, kind=kind, origin=b"https://evil.example")

    assert ["forbidden"] * 2 == served.refused


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_while_the_process_drains_sessions_go_on_and_none_begins(kind: str) -> None:
    served = Served(draining=True)
    with pytest.raises(Unavailable):
        await served.ask(kind=kind)
    await served.ask(HANDSHAKE + "&sid=known", kind=kind)

    assert served.link is served.scope[LINK]


async def test_polling_can_be_off() -> None:
    served = Served(polling=False)
    await served.ask(kind="websocket")
    with pytest.raises(MalformedRequest, match="websockets alone"):
        await served.ask()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", MalformedRequest),
        ("EIO=4", MalformedRequest),
        ("EIO=3&transport=polling", MalformedRequest),
        ("EIO=4&transport=websocket", MalformedRequest),
        ("EIO=4&transport=polling&transport=polling", MalformedRequest),
        ("EIO=4&transport=polling&j=0", MalformedRequest),
        ("EIO=4&transport=polling&" + "&".join(f"a{n}=1" for n in range(30)), MalformedRequest),
    ],
)
async def test_queries_that_no_client_sends(query: str, error: type[ServiceError]) -> None:
    served = Served()

    with pytest.raises(error):
        await served.ask(query)
    assert ["bad-request"] == served.refused


async def test_nothing_is_below_the_path() -> None:
    with pytest.raises(NotFound):
        await Served().ask(path="/socket.io/admin")


async def test_a_polled_body_arrives_whole_with_its_length() -> None:
    served = Served()
    await served.ask(HANDSHAKE + "&sid=known", method="POST", pieces=(b"42[", b'"typing"]\x1e3'))

    assert b'42["typing"]\x1e3' == served.body
    assert [b"14"] == [value for name, value in served.scope["headers"] if name == b"content-length"]


async def test_a_session_that_ends_while_its_body_comes_is_not_served() -> None:
    served = Served()
    with pytest.raises(MalformedRequest, match="no session of this sid"):
        await served.ask(HANDSHAKE + "&sid=known", method="POST", pieces=(b"3",), before_body=served.links.clear)


@pytest.mark.parametrize("body", [b"", b"\xff", b"bAAAA", b"d=40", b"4{}", b"\x1e".join([b"3"] * 17)])
async def test_polled_bodies_that_no_client_sends(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        await Served().ask(HANDSHAKE + "&sid=known", method="POST", pieces=(body,))


async def test_a_polled_body_is_read_no_further_than_its_limit() -> None:
    with pytest.raises(ContentTooLarge):
        await Served().ask(HANDSHAKE + "&sid=known", method="POST", pieces=(b"4" * 600, b"2" * 600, b"never read"))
