from __future__ import annotations

from nexus_actors.sandbox.base import Clock
from nexus_actors.sandbox.limits import RateLimit


def test_a_window_begins_with_its_first_call_and_a_new_one_when_it_is_over() -> None:
    clock = Clock()
    limit = RateLimit(clock)

    answers = [limit.take(2, 10) for _ in range(3)]
    clock.offset_s = 10.5
    later = limit.take(2, 10)

    assert [a.granted for a in answers] == [True, True, False]
    assert [a.remaining for a in answers] == [1, 0, 0]
    assert 9 <= answers[2].retry_after <= 10
    assert later.granted
    assert later.reset > answers[0].reset


def test_each_key_has_a_window_of_its_own() -> None:
    limit = RateLimit(Clock())

    answers = [limit.take(1, 10, key).granted for key in ("a", "b", "a")]

    assert answers == [True, True, False]


def test_a_clock_that_is_set_back_opens_a_new_window() -> None:
    clock = Clock(3600)
    limit = RateLimit(clock)
    limit.take(1, 10)

    clock.offset_s = 0

    assert limit.take(1, 10).granted


def test_a_limit_that_was_lowered_within_a_window_holds_at_once() -> None:
    limit = RateLimit(Clock())
    for _ in range(5):
        limit.take(10, 60)

    answer = limit.take(3, 60)

    assert (answer.granted, answer.remaining) == (False, 0)
