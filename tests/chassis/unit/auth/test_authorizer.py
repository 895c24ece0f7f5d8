"""Where the authorizer for bearer tokens finds the token."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from acme_service.chassis.access import AUTHENTICATED, Caller
from acme_service.chassis.auth import BearerAuthorizer
from acme_service.chassis.errors import Unauthenticated

pytestmark = pytest.mark.anyio


class Tokens:
    """Knows every token."""

    async def identify(self, token: str, client: str) -> tuple[Caller, object]:
        return Caller(user_id=token, client=client), {}

    def rejection(self, reason: str, client: str) -> Unauthenticated:  # noqa: ARG002 - what an authorizer is given
        return Unauthenticated(reason, challenge="Bearer")


async def caller_of(kind: str, *headers: tuple[bytes, bytes], query: bytes = b"") -> str:
    scope: dict[str, Any] = {"type": kind, "headers": headers, "query_string": query, "client": None, "path": "/"}
    caller: Caller = await BearerAuthorizer(Tokens()).authorize(AUTHENTICATED, HTTPConnection(scope))
    return caller.user_id


AUTHORIZATION = (b"authorization", b"Bearer amy")
SUBPROTOCOLS = (b"sec-websocket-protocol", b"chat, bearer.bob")


async def test_a_websocket_presents_its_token_in_either_field() -> None:
    assert "amy" == await caller_of("websocket", AUTHORIZATION)
    assert "bob" == await caller_of("websocket", SUBPROTOCOLS)


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("http", [SUBPROTOCOLS]),
        ("websocket", [AUTHORIZATION, SUBPROTOCOLS]),
        ("websocket", [(b"sec-websocket-protocol", b"bearer.amy, bearer.bob")]),
    ],
)
async def test_anything_but_one_token_is_rejected(kind: str, headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unauthenticated):
        await caller_of(kind, *headers)


@pytest.mark.parametrize("query", [b"token=amy", b"access_token=amy", b"authorization=Bearer%20amy"])
async def test_a_token_in_the_query_is_none(query: bytes) -> None:
    with pytest.raises(Unauthenticated):
        await caller_of("websocket", query=query)
