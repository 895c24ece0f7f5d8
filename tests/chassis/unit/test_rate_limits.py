from __future__ import annotations

import tracemalloc

from acme_service.chassis.rate_limits import RateLimit


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
