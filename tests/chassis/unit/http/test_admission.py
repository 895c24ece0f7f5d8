"""What becomes of a handler whose caller is no longer admitted, whatever the server does after a close."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from acme_service.chassis.access import AUTHENTICATED, Caller, Policy
from acme_service.chassis.errors import ClientGone, Forbidden
from acme_service.chassis.http.admission import Admission

pytestmark = pytest.mark.anyio


class OnlyOnce:
    """Admits a caller once."""

    scheme: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.asked = 0

    async def authorize(self, policy: Policy, connection: HTTPConnection) -> Caller:  # noqa: ARG002 - as an authorizer
        self.asked += 1
        if self.asked > 1:
            raise Forbidden("Not any more.")
        return Caller(user_id="amy")


async def test_the_handler_receives_a_disconnect_and_can_send_no_more() -> None:
    sent: list[Message] = []
    received: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.receive", "text": "too late"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while len(sent) < 2:
            await asyncio.sleep(0.01)
        received.append(await receive())
        with pytest.raises(ClientGone):
            await send({"type": "websocket.send", "text": "too late"})

    admission = Admission(OnlyOnce(), AUTHENTICATED, 0.05)
    await admission.serve(app, {"type": "websocket", "headers": []}, receive, send)

    assert ["websocket.accept", "websocket.close"] == [message["type"] for message in sent]
    assert [("websocket.disconnect", 1008)] == [(message["type"], message["code"]) for message in received]


async def test_a_websocket_that_is_not_accepted_is_not_checked_again() -> None:
    once = OnlyOnce()

    async def never(*_: Any) -> Any:
        raise AssertionError

    async def app(*_: Any) -> None:
        await asyncio.sleep(0.1)

    await Admission(once, AUTHENTICATED, 0.01).serve(app, {"type": "websocket", "headers": []}, never, never)

    assert 1 == once.asked
