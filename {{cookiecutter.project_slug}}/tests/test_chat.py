"""Rooms over real sockets, in one process: what is promised to people, and what is refused to all others."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import socketio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from .application import PASSWORD, new_user
from .chat import IDENTIFIED, SHARED, Talk, Talker, identified, log_in, metric, opened_to_all, until
from .process import ServiceProcess, run

ROOM = "tea-room"
ENDED_SECONDS = 5.0
"""Within which a connection whose token counts no more is ended: see docs/chat.md."""
DROPPED = 'chat_dropped_total{reason="slow reader"}'


@pytest.fixture
def room() -> str:
    """A room of the test alone."""
    return f"room-{secrets.token_hex(4)}"


@contextlib.contextmanager
def raw(service: ServiceProcess, who: Talker, **options: Any) -> Iterator[ClientConnection]:
    """A connection as *who*, below any client library."""
    address = f"ws://127.0.0.1:{service.port}/socket.io/?EIO=4&transport=websocket"
    with connect(address, max_size=None, close_timeout=1, **options) as connection:
        assert str(connection.recv(5)).startswith("0{")
        connection.send("40" + json.dumps({"token": who.token}))
        assert str(connection.recv(5)).startswith("40{")
        yield connection


def joining(who: Talker, room: str, acknowledgement: int) -> str:
    members = {"roomId": room} if IDENTIFIED else {"roomId": room, "userId": who.user_id, "username": who.name}
    return f"42{acknowledgement}{json.dumps(['join-room', members])}"


# What people do.


def test_people_talk_and_leave(folder: Path, database_url: str, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED, DATABASE_URL=database_url) as service:
        ada, bob = talk(service, "Ada"), talk(service, "Bob")
        assert 0 == ada.join(room)["lastMessageId"]
        assert [{"userId": ada.user_id, "username": ada.name}] == ada.wait("online-users", roomId=room)["users"]
        bob.join(room)
        assert {ada.user_id, bob.user_id} == {user["userId"] for user in bob.wait("online-users")["users"]}
        assert {"roomId": room, "userId": bob.user_id, "username": bob.name} == ada.wait("user-joined")

        said = ada.say(room, "Tea?", messageType="text", clientMessageId="first")
        heard = bob.wait("new-message")
        expected = {
            "roomId": room,
            "id": 1,
            "content": "Tea?",
            "userId": ada.user_id,
            "username": ada.name,
            "timestamp": said["timestamp"],
            "type": "text",
            "clientMessageId": "first",
        }
        assert expected == heard == ada.wait("new-message")
        bob.ok("typing", roomId=room)
        assert bob.user_id == ada.wait("typing", typing=True)["userId"]
        bob.say(room, "Yes.\nPlease 🍵")
        assert ["Tea?", "Yes.\nPlease 🍵"] == [
            message["content"] for message in ada.ok("history", roomId=room, since=0)["messages"]
        ]
        assert [2] == [message["id"] for message in ada.ok("history", roomId=room, since=1)["messages"]]
        assert [2] == [message["id"] for message in ada.ok("history", roomId=room, limit=1)["messages"]]

        bob.ok("leave-room", roomId=room)
        assert bob.user_id == ada.wait("user-left")["userId"]
        assert 403 == bob.refused("send-message", roomId=room, message="Still here?")[0]
        bob.join(room)
        bob.leave()
        until(lambda: len(ada.all("user-left")) == 2)

        headers = {"Authorization": f"Bearer {ada.token}"} if IDENTIFIED else {}
        with service.client(headers=headers) as client:
            path = f"/api/rooms/{room}/messages"
            page = client.get(path, params={"limit": 1}).json()
            rest = client.get(path, params={"limit": 1, "cursor": page["next_cursor"]}).json()
            assert [[2], [1]] == [[item["id"] for item in each["items"]] for each in (page, rest)]
            assert None is rest["next_cursor"]
            assert 422 == client.get("/api/rooms/a%20b/messages").status_code
            assert 422 == client.get(path, params={"cursor": "x"}).status_code


def test_many_talk_at_once_and_everybody_hears_all_in_one_order(
    chat_service: ServiceProcess, talk: Talk, room: str
) -> None:
    people = [talk(chat_service) for _ in range(4)]
    for person in people:
        person.join(room)

    def speak(person: Talker) -> None:
        for number in range(10):
            person.say(room, f"{person.name} {number}")

    threads = [threading.Thread(target=speak, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for person in people:
        until(lambda person=person: len(person.all("new-message")) == 40)  # type: ignore[misc] # a default of its own
        assert list(range(1, 41)) == [message["id"] for message in person.all("new-message")]


def test_a_message_that_is_sent_again_is_the_same(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    ada = talk(chat_service)
    ada.join(room)
    once = ada.say(room, "once", clientMessageId="c-1")
    again = ada.say(room, "once", clientMessageId="c-1")
    ada.say(room, "after")
    ada.wait("new-message", content="after")

    assert ((once["id"], False), (once["id"], True)) == ((once["id"], once["again"]), (again["id"], again["again"]))
    assert [1, 2] == [message["id"] for message in ada.all("new-message")]


def test_what_was_acknowledged_survives_the_process(folder: Path, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED) as service:
        ada = talk(service)
        ada.join(room)
        ids = [ada.say(room, str(number))["id"] for number in range(5)]
    with ServiceProcess(folder, **SHARED) as service:
        back = Talker(service, like=ada).connect()
        assert 5 == back.join(room)["lastMessageId"]
        assert ids == [message["id"] for message in back.ok("history", roomId=room, since=0)["messages"]]
        back.leave()


def test_a_room_learns_its_last_number_without_a_further_message(
    chat_service: ServiceProcess, talk: Talk, room: str
) -> None:
    ada = talk(chat_service)
    ada.join(room)
    ada.say(room, "only")

    assert 1 == ada.wait("last-message", 7, roomId=room)["id"]


def test_two_windows_of_one_user_are_one_user(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    bob, ada = talk(chat_service, "Bob"), talk(chat_service)
    bob.join(room)
    ada.join(room)
    window = talk(chat_service, like=ada)
    window.join(room)
    ada.leave()
    bob.say(room, "Still there?")
    window.wait("new-message")

    assert (1, 0) == (len(bob.all("user-joined")), len(bob.all("user-left")))


# Who somebody is.


@identified
def test_only_a_token_in_the_payload_connects(chat_service: ServiceProcess) -> None:
    for auth in ({}, {"token": ""}, {"token": "x"}, {"token": 5}, "x", {"token": "x" * 10_000}):
        stranger = Talker(chat_service)
        with pytest.raises(socketio.exceptions.ConnectionError):
            stranger.connect(auth)
        assert stranger.wait("refused")["data"]["status"] in {401, 422}
        stranger.leave()
    address = f"ws://127.0.0.1:{chat_service.port}/socket.io/?EIO=4&transport=websocket&token={stranger.token}"
    with connect(address) as connection:
        connection.recv(5)
        connection.send("40")
        assert str(connection.recv(5)).startswith("44{")


@identified
def test_nobody_is_somebody_else(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    ada, bob = talk(chat_service), talk(chat_service, "Bob")
    bob.join(room)
    forged = {"roomId": room, "userId": bob.user_id, "username": "Bob"}

    assert 403 == ada.refused("join-room", **forged)[0]
    ada.ok("join-room", roomId=room, username="Somebody else")
    assert ada.name == bob.wait("user-joined")["username"]
    assert 403 == ada.refused("authenticate", token=bob.token)[0]
    assert 401 == ada.refused("authenticate", token="x")[0]


@identified
def test_a_login_that_ends_ends_its_connections_and_no_other(
    chat_service: ServiceProcess, talk: Talk, room: str
) -> None:
    ada, bob = talk(chat_service), talk(chat_service, "Bob")
    ada.join(room)
    bob.join(room)
    with chat_service.client(headers={"Authorization": f"Bearer {ada.token}"}) as client:
        client.post("/api/auth/logout").raise_for_status()
    started = time.monotonic()

    assert 401 == ada.wait("session-ended")["error"]["status"]
    ada.wait("disconnected")
    assert time.monotonic() - started < ENDED_SECONDS
    bob.wait("user-left", userId=ada.user_id)
    bob.say(room, "Bye.")


@identified
def test_whatever_ends_a_session_or_a_user_ends_the_connection_in_time(
    folder: Path, chat_service: ServiceProcess, talk: Talk, room: str
) -> None:
    email, bob = "root@chat.example", talk(chat_service, "Bob")
    assert 0 == run(folder, "create-admin", email, entered=f"{PASSWORD}\n", **SHARED).returncode
    bob.join(room)
    leaving = [talk(chat_service) for _ in range(4)]
    deactivated, promoted, deleted, changed = leaving
    for person in leaving:
        person.join(room)
        bob.wait("user-joined", userId=person.user_id)
    with chat_service.client() as client:
        login = client.post("/api/auth/login", json={"email": email, "password": PASSWORD}).raise_for_status().json()
        admin = {"Authorization": f"Bearer {login['access_token']}"}
        own = {"Authorization": f"Bearer {changed.token}"}
        passwords = {"current_password": PASSWORD, "new_password": f"{PASSWORD} new"}
        for person, change in ((deactivated, {"active": False}), (promoted, {"role": "admin"})):
            client.patch(f"/api/admin/users/{person.user_id}", json=change, headers=admin).raise_for_status()
        client.delete(f"/api/users/{deleted.user_id}", headers=admin).raise_for_status()
        client.post("/api/auth/password", json=passwords, headers=own).raise_for_status()
    started = time.monotonic()
    for person in leaving:
        assert 401 == person.wait("session-ended")["error"]["status"]
        person.wait("disconnected")
        assert time.monotonic() - started < ENDED_SECONDS
        bob.wait("user-left", userId=person.user_id)
        assert refused_with(chat_service, person.token) in {401, 403}
    bob.say(room, "I am alone.")


@identified
def test_no_token_of_another_kind_connects(chat_service: ServiceProcess) -> None:
    with chat_service.client() as client:
        client.post("/api/auth/register", json=new_user("Kim")).raise_for_status()
        given = {key: value for key, value in new_user("Kim").items() if key != "name"}
        tokens = client.post("/api/auth/login", json=given).raise_for_status().json()

    assert 401 == refused_with(chat_service, tokens["refresh_token"])


def refused_with(service: ServiceProcess, token: str) -> int:
    """The status with which a connection with *token* is refused."""
    with connect(f"ws://127.0.0.1:{service.port}/socket.io/?EIO=4&transport=websocket") as connection:
        connection.recv(5)
        connection.send("40" + json.dumps({"token": token}))
        answer = str(connection.recv(5))
    assert answer.startswith("44{"), answer
    status: int = json.loads(answer[2:])["data"]["status"]
    return status


@identified
def test_a_token_that_expires_ends_the_connection_unless_another_comes(folder: Path, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED, JWT_EXPIRES_IN_SECONDS="6") as service:
        ada, bob = talk(service), talk(service, "Bob")
        ada.join(room)
        bob.join(room)
        with service.client() as client:
            for _ in range(20):  # of half a second, and more on a busy machine
                ada.ok("authenticate", token=log_in(client, ada.name))
                time.sleep(0.5)
        ada.wait("user-left", userId=bob.user_id)
        bob.wait("session-ended")

        assert ada.say(room, "Still here.")["id"]


@opened_to_all
def test_a_connection_keeps_the_user_of_its_first_join(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    ada = talk(chat_service)

    assert 422 == ada.refused("join-room", roomId=room)[0]
    ada.join(room)
    assert 403 == ada.refused("join-room", roomId="other", userId="bob", username="Bob")[0]
    ada.ok("join-room", roomId="other")
    assert 403 == ada.refused("authenticate", token="x")[0]


# What is refused.

WRONG = [
    ("no object", "join-room", (), 422),
    ("text", "join-room", ("x",), 422),
    ("two objects", "join-room", ({}, {}), 422),
    ("a number for a room", "join-room", ({"roomId": 5},), 422),
    ("a room of nothing", "join-room", ({"roomId": ""},), 422),
    ("a long room", "join-room", ({"roomId": "x" * 10_000},), 422),
    ("control characters", "join-room", ({"roomId": "a\x00b\n"},), 422),
    ("a binary room", "join-room", ({"roomId": b"x"},), 422),
    ("an unknown event", "drop-tables", ({},), 404),
    ("a reserved event", "__disconnect_final", ({},), 404),
    ("a room that is not joined", "send-message", ({"roomId": "other", "message": "x"},), 403),
    ("no message", "send-message", ({"roomId": ROOM},), 422),
    ("a blank message", "send-message", ({"roomId": ROOM, "message": " \n"},), 422),
    ("a NUL", "send-message", ({"roomId": ROOM, "message": "a\x00"},), 422),
    ("a binary message", "send-message", ({"roomId": ROOM, "message": b"x"},), 422),
    ("a strange type", "send-message", ({"roomId": ROOM, "message": "x", "messageType": "x"},), 404),
    ("a message of 50 kB", "send-message", ({"roomId": ROOM, "message": "x" * 50_000},), 413),
    ("half a character", "send-message", ({"roomId": ROOM, "message": "\ud800"},), 400),
    ("joining twice", "join-room", ({"roomId": ROOM},), 409),
    ("leaving another room", "leave-room", ({"roomId": "other"},), 403),
    ("typing in another room", "typing", ({"roomId": "other"},), 403),
    ("history of another room", "history", ({"roomId": "other"},), 403),
    ("history from before", "history", ({"roomId": ROOM, "since": -1},), 422),
    ("a huge history", "history", ({"roomId": ROOM, "limit": 101},), 422),
]


@pytest.mark.parametrize(("event", "arguments", "status"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_refused_with_an_acknowledgement(
    regular: Talker, event: str, arguments: tuple[Any, ...], status: int
) -> None:
    assert status == regular.refused(event, *arguments)[0]
    regular.ok("history", roomId=ROOM)


@pytest.fixture(scope="module")
def regular(chat_service: ServiceProcess) -> Iterator[Talker]:
    """Somebody who sits in the tea room all the time."""
    talker = Talker(chat_service).connect()
    talker.join(ROOM)
    yield talker
    talker.leave()


MALFORMED = ["", "x", "4", "4{}", "4[[", "42[]", "42null", "44{}", "49", b"x", "451-1[]", "43[1]", "2" * 60_000]


@pytest.mark.parametrize("frame", MALFORMED, ids=lambda frame: repr(frame[:8]))
def test_what_no_client_sends_harms_nobody_else(
    chat_service: ServiceProcess, regular: Talker, frame: str | bytes
) -> None:
    with contextlib.suppress(ConnectionClosed, TimeoutError), raw(chat_service, regular) as connection:
        connection.send(frame)
        connection.recv(0.1)

    regular.ok("history", roomId=ROOM)


def test_a_megabyte_ends_the_connection_of_its_sender_alone(
    chat_service: ServiceProcess, talk: Talk, room: str
) -> None:
    bob = talk(chat_service, "Bob")
    bob.join(room)
    with raw(chat_service, Talker(chat_service)) as connection:
        connection.send("42" + json.dumps(["send-message", {"roomId": room, "message": "x" * 1_000_000}]))
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(5)

    assert closed.value.rcvd is not None
    assert 1009 == closed.value.rcvd.code
    bob.say(room, "Still here.")


def test_ten_thousand_events_at_once_keep_nobody_waiting(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    bob = talk(chat_service, "Bob")
    bob.join(room)
    flooder = Talker(chat_service, "Eve")
    message = json.dumps(["send-message", {"roomId": room, "message": "x"}])

    def flood() -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            for number in range(10_000):
                connection.send(f"42{number + 10}{message}")

    with raw(chat_service, flooder) as connection:
        connection.send(joining(flooder, room, 1))
        thread = threading.Thread(target=flood)
        thread.start()
        waited, flooded = [], time.monotonic()
        for _ in range(20):
            started = time.monotonic()
            bob.ok("history", roomId=room)
            waited.append(time.monotonic() - started)
            time.sleep(0.05)
        answers = [str(connection.recv(2)) for _ in range(80)]
        heard, seconds = len(bob.all("new-message")), time.monotonic() - flooded
    thread.join()

    assert sorted(waited)[10] < 0.1
    assert [answer for answer in answers if '"status":429' in answer and '"retryAfterSeconds":1' in answer]
    assert heard <= 10 * (seconds + 2)


def test_what_one_user_may_hold_is_limited(folder: Path, talk: Talk, room: str) -> None:
    limits = {"CHAT_MAX_ROOMS": "2", "CHAT_MAX_CONNECTIONS_PER_USER": "2", "CHAT_MAX_CONNECTIONS": "3"}
    with ServiceProcess(folder, **SHARED, **limits) as service:
        ada = talk(service)
        for place in ("a", "b"):
            ada.join(room + place)
        assert 429 == ada.refused("join-room", roomId=room + "c")[0]
        second = talk(service, like=ada)
        second.join(room + "a")
        third = Talker(service, like=ada)
        if IDENTIFIED:
            with pytest.raises(socketio.exceptions.ConnectionError):
                third.connect()
            assert 429 == third.wait("refused")["data"]["status"]
        else:
            third.connect()
            members = {"roomId": room, "userId": ada.user_id, "username": ada.name}
            assert 429 == third.refused("join-room", **members)[0]
        third.leave()
        until(lambda: metric(service, "chat_connections") == 2)
        talk(service, "Bob")
        with pytest.raises(InvalidStatus) as rejected, raw(service, ada):
            pass
        assert 503 == rejected.value.response.status_code


def test_sessions_that_never_connect_keep_nobody_out(folder: Path, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED, CHAT_MAX_CONNECTIONS="20") as service, service.client() as client:
        bob = talk(service, "Bob")
        bob.join(room)
        for _ in range(50):
            assert 200 == client.get("/socket.io/?EIO=4&transport=polling").status_code
        ada = talk(service)
        ada.join(room)
        bob.say(room, "Still here?")
        ada.wait("new-message")


def test_who_does_not_read_is_disconnected_and_the_others_talk_on(folder: Path, talk: Talk, room: str) -> None:
    limits = {"CHAT_MESSAGES_PER_SECOND": "1000", "CHAT_EVENTS_PER_SECOND": "1000", "CHAT_MAX_MESSAGE_BYTES": "65536"}
    with ServiceProcess(folder, **SHARED, **limits) as service:
        bob, sleeper = talk(service, "Bob"), Talker(service, "Zed")
        bob.join(room)
        with socket.socket() as small:
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            small.connect(("127.0.0.1", service.port))
            with raw(service, sleeper, sock=small, max_queue=1) as connection:
                connection.send(joining(sleeper, room, 1))
                bob.wait("user-joined")
                until(lambda: bob.say(room, "x" * 50_000) and metric(service, DROPPED) > 0, 30)
                bob.wait("user-left", 5)

        assert bob.say(room, "Still here.")["id"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_page_of_another_origin_gets_no_session(chat_service: ServiceProcess, origin: str) -> None:
    with pytest.raises(InvalidStatus) as rejected, raw(chat_service, Talker(chat_service), origin=origin):
        pass
    assert 403 == rejected.value.response.status_code
    with chat_service.client(headers={"Origin": origin}) as client:
        assert 403 == client.get("/socket.io/?EIO=4&transport=polling").status_code


def test_a_listed_origin_gets_one_header_over_polling(folder: Path) -> None:
    listed = {"Origin": "https://app.example"}
    with ServiceProcess(folder, **SHARED, CORS_ORIGINS="https://app.example") as service, service.client() as client:
        answer = client.get("/socket.io/?EIO=4&transport=polling", headers=listed)

    assert 200 == answer.status_code
    assert ["https://app.example"] == answer.headers.get_list("access-control-allow-origin")


def test_long_polling_talks_too(chat_service: ServiceProcess, talk: Talk, room: str) -> None:
    bob, ada = talk(chat_service, "Bob"), Talker(chat_service)
    bob.join(room)
    with chat_service.client() as client:
        path = "/socket.io/?EIO=4&transport=polling"
        path += f"&sid={json.loads(client.get(path).text[1:])['sid']}"
        assert "OK" == client.post(path, content="40" + json.dumps({"token": ada.token})).text
        assert client.get(path).text.startswith("40{")
        client.post(path, content=joining(ada, room, 7))
        bob.say(room, "Over there?")
        answer = client.get(path).text
        assert 400 == client.post(path, content="x").status_code
        assert 413 == client.post(path, content="4" * 100_000).status_code
        assert 200 == client.post(path, content="1\x1e40{}\x1e42[]").status_code
        assert [400, 400] == [client.post(path, content="3").status_code, client.get(path).status_code]

    assert '437[{"ok":true' in answer
    assert "Over there?" in answer or '"online-users"' in answer


# How it ends.


def test_when_the_process_drains_sessions_go_on_then_move_and_none_begins(folder: Path, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED, DRAIN_DELAY_SECONDS="3") as service:
        bob, ada = talk(service, "Bob"), Talker(service)
        bob.join(room)
        message = json.dumps(["send-message", {"roomId": room, "message": "x"}])
        with raw(service, ada) as connection, service.client() as client:
            connection.send(joining(ada, room, 1))
            bob.wait("user-joined")
            service.signal()
            until(lambda: client.get("/socket.io/?EIO=4&transport=polling").status_code == 503)
            with pytest.raises(InvalidStatus) as rejected, raw(service, ada):
                pass
            assert 503 == rejected.value.response.status_code
            frames = []
            started = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                while True:
                    connection.send(f"429{message}")
                    frames.append(str(connection.recv(5)))
            moved_after = time.monotonic() - started
        service.line("stopped", exit_code=0)

    assert 0 < moved_after < 3
    assert [frame for frame in frames if '"ok":true' in frame]
    assert not [frame for frame in frames if frame.startswith("41")], "a disconnect keeps clients from coming back"


def test_the_log_says_who_came_and_went_and_never_what_was_said(folder: Path, talk: Talk, room: str) -> None:
    with ServiceProcess(folder, **SHARED, LOG_LEVEL="debug") as service:
        ada = talk(service)
        ada.join(room)
        ada.say(room, "a secret between us")
        ada.refused("send-message", roomId=room, message="a secret too long" * 1000)
        ada.ok("leave-room", roomId=room)
        assert 1 == metric(service, "chat_connections")
        assert 1 == metric(service, 'chat_messages_total{direction="in"}')
        assert 1 == metric(service, 'chat_refused_total{reason="content-too-large"}')
        assert 0 == metric(service, "chat_degraded")
        ada.leave()
        until(lambda: metric(service, "chat_connections") == 0)
        service.stop()

    for event in ("room joined", "room left", "event refused"):
        [line] = [line for line in service.lines if line["event"] == event]
        assert ada.user_id == line["user"]
    assert "secret" not in json.dumps(service.lines)


def test_a_client_of_httpx_is_told_what_to_do(chat_service: ServiceProcess) -> None:
    with chat_service.client() as client:
        answer: httpx2.Response = client.get("/socket.io/?EIO=3&transport=polling")

    assert (400, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert "EIO=4" in answer.json()["detail"]
