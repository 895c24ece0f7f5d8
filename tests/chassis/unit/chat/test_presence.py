from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_service.chassis.chat.gossip import ASK_SECONDS, HOST_SECONDS, PART, Gossip
from acme_service.chassis.chat.presence import Change, Presence


def came(user_id: str, room_id: str = "r") -> Change:
    return Change(room_id, user_id, user_id.title(), present=True)


def left(user_id: str, room_id: str = "r") -> Change:
    return Change(room_id, user_id, user_id.title(), present=False)


def test_a_user_comes_with_the_first_connection_and_leaves_with_the_last() -> None:
    presence = Presence()

    assert (True, came("ada")) == presence.join("r", "ada", "Ada", "1")
    assert (False, None) == presence.join("r", "ada", "Ada", "2")
    assert (2, {"ada": "Ada"}) == (presence.listeners("r"), presence.online("r"))
    assert (False, None) == presence.leave("r", "ada", "1")
    assert (False, None) == presence.leave("r", "ada", "1")
    assert (True, left("ada")) == presence.leave("r", "ada", "2")
    assert ([], {}) == (presence.rooms(), presence.online("r"))


class Cluster:
    """Processes that hear each other as soon as `deliver` is called; a *deaf* one hears nothing."""

    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.wire: list[dict[str, Any]] = []
        self.deaf: set[str] = set()
        self.presence = {name: Presence() for name in names}
        self.gossip = {name: self._gossip(name) for name in names}
        self.changes: dict[str, list[Change]] = {name: [] for name in names}

    def _gossip(self, name: str) -> Gossip:
        return Gossip(name, self.presence[name], self.wire.append)

    def join(self, name: str, user_id: str, sid: str = "1", room_id: str = "r") -> None:
        first, change = self.presence[name].join(room_id, user_id, user_id.title(), sid)
        self.changes[name] += [change] if change else []
        if first:
            self.gossip[name].changed(room_id, user_id, user_id.title())

    def leave(self, name: str, user_id: str, sid: str = "1", room_id: str = "r") -> None:
        last, change = self.presence[name].leave(room_id, user_id, sid)
        self.changes[name] += [change] if change else []
        if last:
            self.gossip[name].changed(room_id, user_id, None)

    def deliver(self, *, lost: bool = False) -> None:
        while self.wire:
            message = self.wire.pop(0)
            for name, gossip in self.gossip.items():
                if not lost and name not in self.deaf:
                    self.changes[name] += gossip.hear(message, self.now)

    def tick(self, seconds: float = 1.0, *, silent: tuple[str, ...] = ()) -> None:
        self.now += seconds
        self.wire += [gossip.alive() for name, gossip in self.gossip.items() if name not in silent]
        self.deliver()
        for name, gossip in self.gossip.items():
            self.changes[name] += gossip.expire(self.now)

    def online(self, name: str, room_id: str = "r") -> set[str]:
        return set(self.presence[name].online(room_id))


def settled(*names: str) -> Cluster:
    cluster = Cluster(*names)
    cluster.tick()
    cluster.tick(ASK_SECONDS + 1)
    return cluster


def test_who_joins_in_one_process_is_seen_in_all() -> None:
    cluster = settled("a", "b", "c")
    cluster.join("a", "ada")
    cluster.deliver()

    assert [{"ada"}] * 3 == [cluster.online(name) for name in "abc"]
    assert [came("ada")] == cluster.changes["b"] == cluster.changes["c"]
    cluster.leave("a", "ada")
    cluster.deliver()
    assert [set()] * 3 == [cluster.online(name) for name in "abc"]
    assert [came("ada"), left("ada")] == cluster.changes["b"]


def test_a_user_of_two_processes_leaves_with_the_last_of_them() -> None:
    cluster = settled("a", "b", "c")
    for name in "ab":
        cluster.join(name, "ada")
        cluster.deliver()
    cluster.leave("a", "ada")
    cluster.deliver()
    assert [[came("ada")]] * 3 == [cluster.changes[name] for name in "abc"]
    cluster.leave("b", "ada")
    cluster.deliver()

    assert [[came("ada"), left("ada")]] * 3 == [cluster.changes[name] for name in "abc"]


def test_a_process_that_starts_later_learns_of_all() -> None:
    cluster = settled("a", "b")
    for number in range(PART + 5):
        cluster.join("a", f"user{number}", str(number))
    cluster.deliver()
    cluster.presence["c"], cluster.changes["c"] = Presence(), []
    cluster.gossip["c"] = Gossip("c", cluster.presence["c"], cluster.wire.append)
    cluster.tick()

    assert PART + 5 == len(cluster.online("c"))
    assert PART + 5 == len(cluster.changes["c"])


def test_a_process_that_dies_takes_its_users_along() -> None:
    cluster = settled("a", "b")
    cluster.join("a", "ada")
    cluster.deliver()
    for _ in range(int(HOST_SECONDS)):
        cluster.tick(silent=("a",))
    assert {"ada"} == cluster.online("b")
    cluster.tick(silent=("a",))

    assert set() == cluster.online("b")
    assert [came("ada"), left("ada")] == cluster.changes["b"]
    cluster.tick()
    assert {"ada"} == cluster.online("b")


def test_a_process_that_stops_says_so() -> None:
    cluster = settled("a", "b")
    cluster.join("a", "ada")
    cluster.gossip["a"].gone()
    cluster.deliver()

    assert set() == cluster.online("b")


def test_a_missed_change_is_made_up_for() -> None:
    cluster = settled("a", "b")
    cluster.join("a", "ada")
    cluster.deliver(lost=True)
    cluster.join("a", "bob")
    cluster.deliver()
    cluster.tick()

    assert {"ada", "bob"} == cluster.online("b")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"method": "chat-presence", "host_id": "x"},
        {"method": "chat-presence", "host_id": "x", "number": "many"},
        {"method": "chat-members", "host_id": "x", "part": 0, "parts": 1, "number": 1, "members": [1]},
    ],
)
def test_a_strange_message_is_an_error_that_the_listener_expects(message: dict[str, Any]) -> None:
    gossip = Gossip("me", Presence(), lambda _: None)

    with pytest.raises((LookupError, TypeError, ValueError)):
        gossip.hear(message, 0.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["ada", "bob"]), st.sampled_from("12"), st.booleans(), st.booleans()
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_whatever_is_lost_all_agree_in_the_end_and_each_change_is_told_in_turn(
    steps: list[tuple[str, str, str, bool, bool]],
) -> None:
    cluster = settled("a", "b", "c")
    for name, user_id, sid, joins, lost in steps:
        (cluster.join if joins else cluster.leave)(name, user_id, sid)
        cluster.deliver(lost=lost)
    for _ in range(4):
        cluster.tick(ASK_SECONDS)

    assert cluster.online("a") == cluster.online("b") == cluster.online("c")
    for user_id in ("ada", "bob"):
        told = [change.present for change in cluster.changes["c"] if change.user_id == user_id]
        assert told == [place % 2 == 0 for place in range(len(told))]
        assert (user_id in cluster.online("c")) == (len(told) % 2 == 1)
