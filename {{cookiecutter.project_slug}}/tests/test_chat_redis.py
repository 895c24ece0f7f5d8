"""One chat over two processes that share a Redis and a database."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .chat import SHARED, Talk, metric, until
from .process import ServiceProcess
from .redis_server import RedisServer

ROOM = "hall"
GONE_SECONDS = 6.0
"""Within which the users of a process that died have left: see docs/chat.md."""


@pytest.fixture
def environment(redis_server: RedisServer) -> dict[str, str]:
    return {**SHARED, "REDIS_URL": redis_server.url}


@pytest.fixture
def pair(
    environment: dict[str, str], sqlite_template: Path, tmp_path: Path
) -> Iterator[tuple[ServiceProcess, ServiceProcess]]:
    shutil.copy(sqlite_template, tmp_path / "service.db")
    with ExitStack() as stack:
        first, second = (stack.enter_context(ServiceProcess(tmp_path, **environment)) for _ in range(2))
        yield first, second


def test_a_room_is_one_whichever_process_its_people_are_at(
    pair: tuple[ServiceProcess, ServiceProcess], talk: Talk
) -> None:
    ada, bob = talk(pair[0], "Ada"), talk(pair[1], "Bob")
    ada.join(ROOM)
    bob.join(ROOM)
    for person in (ada, bob):
        person.sees(ROOM, ada, bob)
    for number in range(1, 11):
        assert number == (ada if number % 2 else bob).say(ROOM, str(number))["id"]
    for person in (ada, bob):
        until(lambda person=person: len(person.all("new-message")) == 10)  # type: ignore[misc] # a default of its own
        assert list(range(1, 11)) == sorted(message["id"] for message in person.all("new-message"))
    bob.ok("typing", roomId=ROOM)
    ada.wait("typing", userId=bob.user_id)
    bob.leave()
    ada.wait("user-left", userId=bob.user_id)


def test_a_process_that_starts_later_knows_who_is_there(
    pair: tuple[ServiceProcess, ServiceProcess], environment: dict[str, str], tmp_path: Path, talk: Talk
) -> None:
    ada = talk(pair[0], "Ada")
    ada.join(ROOM)
    with ServiceProcess(tmp_path, **environment) as third:
        bob = talk(third, "Bob")
        bob.join(ROOM)
        for person in (ada, bob):
            person.sees(ROOM, ada, bob)
        third.stop()
    ada.wait("user-left", userId=bob.user_id)


def test_the_users_of_a_process_that_dies_leave_in_time(
    pair: tuple[ServiceProcess, ServiceProcess], environment: dict[str, str], tmp_path: Path, talk: Talk
) -> None:
    ada = talk(pair[0], "Ada")
    ada.join(ROOM)
    with ServiceProcess(tmp_path, **environment) as dying:
        bob = talk(dying, "Bob")
        bob.join(ROOM)
        ada.wait("user-joined", userId=bob.user_id)
    died = time.monotonic()

    ada.wait("user-left", userId=bob.user_id)
    assert time.monotonic() - died < GONE_SECONDS + 1


def test_without_redis_each_process_goes_on_and_afterwards_nothing_is_missing(
    pair: tuple[ServiceProcess, ServiceProcess], redis_server: RedisServer, talk: Talk
) -> None:
    ada, near, bob = talk(pair[0], "Ada"), talk(pair[0], "Near"), talk(pair[1], "Bob")
    for person in (ada, near, bob):
        person.join(ROOM)
    ada.wait("user-joined", userId=bob.user_id)
    redis_server.kill()
    until(lambda: metric(pair[0], "chat_degraded") == metric(pair[1], "chat_degraded") == 1)
    said = ada.say(ROOM, "Anybody?")
    near.wait("new-message", id=said["id"])
    ada.wait("user-left", GONE_SECONDS + 2, userId=bob.user_id)
    assert not bob.all("new-message")
    bob.heard.clear()
    redis_server.start()
    until(lambda: metric(pair[0], "chat_degraded") == metric(pair[1], "chat_degraded") == 0)

    assert said["id"] == bob.wait("last-message", 2, roomId=ROOM)["id"]
    assert ["Anybody?"] == [message["content"] for message in bob.ok("history", roomId=ROOM, since=0)["messages"]]
    bob.wait("user-joined", userId=ada.user_id)
    ada.say(ROOM, "There you are.")
    bob.wait("new-message", content="There you are.")
    for process in pair:
        assert process.line("chat degraded")["hint"]
        process.line("chat healed")


def test_with_redis_clients_use_websockets_unless_polling_is_wanted(
    pair: tuple[ServiceProcess, ServiceProcess], environment: dict[str, str], tmp_path: Path
) -> None:
    path = "/socket.io/?EIO=4&transport=polling"
    with pair[0].client() as client:
        refused = client.get(path)
    with ServiceProcess(tmp_path, **environment, CHAT_POLLING="true") as service, service.client() as client:
        served = client.get(path)

    assert (400, 200) == (refused.status_code, served.status_code)
    assert 'transports: ["websocket"]' in refused.json()["detail"]
