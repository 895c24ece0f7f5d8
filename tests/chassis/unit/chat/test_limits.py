from __future__ import annotations

import pytest

from acme_service.chassis.access import Identity
from acme_service.chassis.chat.connections import Connection, Connections, require_in
from acme_service.chassis.chat.limits import ChatLimits, TokenBucket
from acme_service.chassis.chat.link import Link
from acme_service.chassis.errors import Conflict, Forbidden, TooManyRequests

LIMITS = ChatLimits(messages_per_second=2, rooms_per_user=2, connections_per_user=2)


def test_a_bucket_lets_its_burst_pass_and_then_its_rate() -> None:
    now = [0.0]
    bucket = TokenBucket(2, clock=lambda: now[0])

    assert [0, 0, 0.5] == [bucket.take() for _ in range(3)]
    now[0] = 0.5
    assert [0, 0.5] == [bucket.take() for _ in range(2)]
    now[0] = 100
    assert [0, 0, 0.5] == [bucket.take() for _ in range(3)]


def connection(sid: str, identity: Identity | None = None) -> Connection:
    return Connection(sid, Link("", frames_per_second=1, on_rejected=lambda _: None), identity)


def bound(connections: Connections, sid: str, user_id: str = "ada") -> Connection:
    made = connection(sid)
    connections.bind(made, user_id, user_id.title())
    connections.add(made)
    return made


def test_a_connection_stays_the_user_that_it_first_was() -> None:
    connections = Connections(LIMITS)
    ada = bound(connections, "1")
    connections.bind(ada, "ada", "Countess")

    assert ("ada", "Ada") == (ada.user_id, ada.username)
    with pytest.raises(Forbidden):
        connections.bind(ada, "bob", "Bob")


def test_a_user_has_so_many_connections_until_one_ends() -> None:
    connections = Connections(LIMITS)
    first, _ = bound(connections, "1"), bound(connections, "2")
    with pytest.raises(TooManyRequests):
        bound(connections, "3")
    bound(connections, "4", "bob")
    connections.remove(first)

    assert bound(connections, "3").user_id
    assert 3 == len(connections)


def test_a_user_is_in_so_many_rooms_over_all_connections() -> None:
    connections = Connections(LIMITS)
    first, second = bound(connections, "1"), bound(connections, "2")
    connections.enter(first, "a")
    connections.enter(second, "b")
    connections.enter(second, "a")
    with pytest.raises(TooManyRequests):
        connections.enter(first, "c")
    connections.leave(second, "b")
    connections.enter(first, "c")
    with pytest.raises(Conflict):
        connections.enter(first, "c")

    assert {"a", "c"} == first.rooms
    with pytest.raises(Forbidden):
        connections.leave(second, "b")
    with pytest.raises(Forbidden):
        require_in(second, "b")


def test_messages_are_counted_over_all_connections_of_a_user() -> None:
    connections = Connections(LIMITS)
    first, second, bob = bound(connections, "1"), bound(connections, "2"), bound(connections, "3", "bob")
    connections.take_message(first)
    connections.take_message(second)
    connections.take_message(bob)

    with pytest.raises(TooManyRequests) as raised:
        connections.take_message(first)
    assert 1 == raised.value.retry_after_seconds


def test_what_is_gone_is_forgotten() -> None:
    connections = Connections(LIMITS)
    ada = bound(connections, "1")
    connections.remove(ada)
    connections.remove(ada)

    assert (0, {}) == (len(connections), connections._users)  # noqa: SLF001 - nothing else shows a leak


def test_refusals_are_logged_once_a_second_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("acme_service.chassis.chat.connections.time.monotonic", lambda: now[0])
    ada = connection("1")
    counts = [ada.refused() for _ in range(5)]
    now[0] = 2.0

    assert [1, 0, 0, 0, 0, 5] == [*counts, ada.refused()]
