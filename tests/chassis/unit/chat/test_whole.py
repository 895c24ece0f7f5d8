"""A whole chat in process: that its parts are put together as each of them is tested."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from acme_service.chassis.access import Identities, Identity
from acme_service.chassis.chat import server, sweep
from acme_service.chassis.errors import MalformedRequest, Unauthenticated
from acme_service.chassis.lifecycle import Phase

from .direct import UNLIMITED, Direct, direct

pytestmark = pytest.mark.anyio

SOON = 0.05


class Tokens(Identities):
    """A token is the user's name; of those in *ended* the login has ended, of those in *old* the time."""

    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.old: set[str] = set()

    async def identify(self, token: str, client: str) -> Identity:  # noqa: ARG002 - the signature
        if token.startswith("x"):
            raise Unauthenticated("No such token.", challenge="Bearer")
        expires_at = time.time() + (-1 if token in self.old else 60)
        return Identity(user_id=token.partition(".")[0], name=token, expires_at=expires_at, login=token)

    async def live(self, identities: Sequence[Identity]) -> frozenset[object]:
        return frozenset({identity.login for identity in identities} - self.ended)


async def test_a_message_that_is_sent_again_is_heard_once() -> None:
    with capture_logs():
        async with direct() as chat:
            bob, ada = [await (await chat.client()).join("r", user) for user in ("bob", "ada")]
            for number in (1, 2):
                answer = await ada.call("send-message", number, roomId="r", message="Tea?", clientMessageId="c")
                assert (1, number == 2) == (answer["id"], answer["again"])
            await ada.call("send-message", 3, roomId="r", message="After.")
            await bob.until(lambda: len(bob.heard("new-message")) > 1)

            assert [1, 2] == [message["id"] for message in bob.heard("new-message")]


async def test_last_ids_are_told_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LAST_ID_SECONDS", SOON)
    with capture_logs():
        async with direct() as chat:
            ada = await (await chat.client()).join("r", "ada")
            await ada.call("send-message", roomId="r", message="Tea?")
            await ada.until(lambda: len(ada.heard("last-message")) > 1)

            assert {"roomId": "r", "id": 1} == ada.heard("last-message")[0]


async def test_last_ids_are_told_when_redis_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LAST_ID_SECONDS", 3600.0)
    made = Direct(redis_url=SecretStr("redis://127.0.0.1:1"))
    told = asyncio.Event()

    async def last_ids(_room_ids: Sequence[str]) -> dict[str, int]:
        told.set()
        return {}

    monkeypatch.setattr(made.rooms, "last_ids", last_ids)
    made.presence.join("r", "ada", "Ada", "sid")
    redis = made.chat._redis  # noqa: SLF001 - what calls it is tested with a real Redis
    assert redis is not None
    task = asyncio.ensure_future(made.chat.tasks()["chat last ids"]())
    await asyncio.sleep(SOON)
    assert not told.is_set()
    redis._on_healed()  # noqa: SLF001 - as above
    async with asyncio.timeout(1):
        await told.wait()
    task.cancel()


async def test_while_the_process_drains_transports_are_closed_and_no_session_begins() -> None:
    with capture_logs():
        async with direct() as chat:
            ada = await (await chat.client()).join("r", "ada")
            chat.lifecycle.advance(Phase.DRAINING)
            late = chat.opened()
            await ada.until(lambda: ada.ended)
            await late.until(lambda: late.ended)

            assert [] == late.frames
            assert not [frame for frame in ada.frames if frame.startswith("41")]


async def test_a_second_poll_ends_the_session_and_both() -> None:
    """Or the library would wake one of them when the session ends, and the others would outlast the drain."""
    with capture_logs():
        async with direct() as chat:
            sid, waiting = await chat.polled()
            with pytest.raises(MalformedRequest, match="polls this session"):
                await chat.poll(sid)

            assert b"1" == await asyncio.wait_for(waiting, 1)
            with pytest.raises(MalformedRequest, match="no session"):
                await chat.poll(sid)


async def test_a_client_that_says_goodbye_over_polling_has_its_poll_ended() -> None:
    with capture_logs():
        async with direct() as chat:
            sid, waiting = await chat.polled()
            await chat.poll(sid, packets="1")

            assert b"" == await asyncio.wait_for(waiting, 1)


async def test_who_does_not_read_is_given_up_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIVENESS_SECONDS", SOON)
    with capture_logs():
        async with direct(replace(UNLIMITED, waiting_bytes=10_000)) as chat:
            bob, slow = [await (await chat.client()).join("r", user) for user in ("bob", "slow")]
            slow.reads.clear()
            for number in range(20):
                await bob.call("send-message", number, roomId="r", message="x" * 2000)
            await bob.until(lambda: bob.heard("user-left"))

            assert (1, 1) == (len(chat.connections), chat.presence.listeners("r"))
            slow.reads.set()


async def test_only_tokens_that_count_connect() -> None:
    with capture_logs():
        async with direct(identities=Tokens()) as chat:
            for auth in ("", "{}", '{"token":"x"}', '{"token":5}', '["ada"]'):
                stranger = chat.opened()
                stranger.send(f"40{auth}")
                await stranger.until(lambda stranger=stranger: len(stranger.frames) > 1)  # type: ignore[misc]
                assert stranger.frames[1].startswith("44")
            assert 0 == len(chat.connections)


@pytest.mark.parametrize("how", ["old", "ended"])
async def test_a_token_that_counts_no_more_ends_its_connection_unless_another_came(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LIVENESS_SECONDS", SOON)
    tokens = Tokens()
    with capture_logs():
        async with direct(identities=tokens) as chat:
            ada, bob = [await (await chat.client(user)).join("r", user) for user in ("ada", "bob")]
            getattr(tokens, how).update({"ada.old", "bob.old"})
            for client, user in ((ada, "ada"), (bob, "bob")):
                if how == "old":
                    assert (await client.call("authenticate", 5, token=f"{user}.old"))["ok"]
                else:
                    chat.connections.get(client.sid).identity = await tokens.identify(f"{user}.old", "")  # type: ignore[union-attr]
            assert (await bob.call("authenticate", 6, token="bob.new"))["ok"]
            await ada.until(lambda: ada.heard("session-ended"))
            await bob.until(lambda: bob.heard("user-left"))

            assert 401 == ada.heard("session-ended")[0]["error"]["status"]
            assert "41" in ada.frames, "the client must not come back by itself"
            assert (await bob.call("typing", 7, roomId="r"))["ok"]
            assert json.dumps(bob.heard("session-ended")) == "[]"


async def test_sessions_that_never_connect_keep_no_token_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIVENESS_SECONDS", SOON)
    monkeypatch.setattr(sweep, "IDLE_SECONDS", 0.0)
    tokens = Tokens()
    with capture_logs():
        async with direct(identities=tokens) as chat:
            for _ in range(30):
                await chat.poll()
            ada = await chat.client("ada")
            tokens.ended.add("ada")
            await ada.until(lambda: ada.heard("session-ended"))
