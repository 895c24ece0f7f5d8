from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_service.chassis.rate_limits import RateLimit, networks, subscriber


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_hit_beyond_the_limit_says_when_the_window_ends() -> None:
    clock = Clock()
    limit = RateLimit(2, window_seconds=60, clock=clock)

    assert [0, 0, 60] == [limit.hit("a") for _ in range(3)]
    clock.now += 45
    assert 15 == limit.hit("a")
    clock.now += 15
    assert 0 == limit.hit("a")


def test_keys_are_counted_apart_and_one_can_begin_anew() -> None:
    limit = RateLimit(1, clock=Clock())

    assert [0, 0] == [limit.hit("a"), limit.hit("b")]
    limit.forget("a")
    assert [True, False] == [limit.hit(key) == 0 for key in ("a", "b")]


def test_a_rejected_hit_does_not_prolong_the_window() -> None:
    clock = Clock()
    limit = RateLimit(1, window_seconds=60, clock=clock)
    for _ in range(60):
        limit.hit("a")
        clock.now += 1

    assert 0 == limit.hit("a")


def test_ended_windows_are_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(1, window_seconds=60, clock=clock)
    for number in range(1000):
        limit.hit(str(number))
    clock.now += 60
    limit.hit("a")

    assert 1 == len(limit)


def test_a_hundred_thousand_made_up_keys_cost_a_bounded_memory() -> None:
    limit = RateLimit(1, max_keys=20_000, clock=Clock())
    tracemalloc.start()
    for number in range(20_000):
        limit.hit(f"key-{number}")
    full, _ = tracemalloc.get_traced_memory()
    for number in range(20_000, 120_000):
        limit.hit(f"key-{number}")
    flooded, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 20_000 == len(limit)
    assert flooded < 2 * full
    assert limit.hit("key-119999") > 0


@pytest.mark.parametrize(
    ("addresses", "inside"),
    [
        (
            [
                *("203.0.113.7", "203.0.113.7:4711", " 203.0.113.7 ", "::ffff:203.0.113.7", "[::ffff:203.0.113.7]:443"),
                *("::FFFF:CB00:7107", "::203.0.113.7", "::ffff:0:203.0.113.7", "64:ff9b::203.0.113.7"),
                *("64:ff9b:1::203.0.113.7", "64:ff9b:1:cb00:71:700::", "2002:cb00:7107::1", "2002:cb00:7107:9:8::"),
                *("2001:0:c000:201:8000:63bf:34ff:8ef8", "::ffff:203.0.113.7%eth0"),
            ],
            (("203.0.113.7", 1),),
        ),
        (
            ["2001:db8:1:203::9", "2001:0DB8:0001:0203::9", "[2001:db8:1:203:ffff::]", "2001:db8:1:203::9%eth0"],
            (("2001:db8:1:203::/64", 1), ("2001:db8:1:200::/56", 4), ("2001:db8:1::/48", 16)),
        ),
        (["::1"], (("::/64", 1), ("::/56", 4), ("::/48", 16))),
        ([""], (("", 1),)),
        (["unix:"], (("unix:", 1),)),
        (["203.0.113.007"], (("203.0.113.007", 1),)),
        (["not an address"], (("not an address", 1),)),
    ],
)
def test_an_address_counts_for_its_networks(addresses: list[str], inside: tuple[tuple[str, int], ...]) -> None:
    for address in addresses:
        assert inside == networks(address), address
        assert inside[0][0] == subscriber(address)


@given(st.one_of(st.text(), st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)))
def test_whatever_an_address_is_it_has_a_key(address: str) -> None:
    assert networks(address)[0][1] == 1
