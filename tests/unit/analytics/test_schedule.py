"""When a post is read next."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nexus_actors.analytics.schedule import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    has_moved,
    next_ms,
)


BORN = 1_790_000_000_000


def readings(days: int, *, late_ms: int = 0, moved: bool = False) -> list[int]:
    """Return at which ages a post is read that is always read when it is due."""
    ages: list[int] = []
    at = BORN
    while (due := next_ms(BORN, at, moved=moved)) is not None:
        at = due + late_ms
        if at > BORN + days * DAY_MS:
            break
        ages.append(at - BORN)
    return ages


def test_a_young_post_is_read_often_and_an_old_one_rarely_and_then_no_more() -> None:
    ages = readings(90)

    assert ages[:6] == [15 * MINUTE_MS, *(h * HOUR_MS for h in (1, 3, 6, 12, 24))]
    assert len(ages) == 18
    gaps = [b - a for a, b in pairwise(ages)]
    assert max(gaps) == 30 * DAY_MS
    assert readings(1000)[-1] == 360 * DAY_MS
    assert next_ms(BORN, BORN + 400 * DAY_MS) is None


@pytest.mark.parametrize("late", [0, 5 * MINUTE_MS, 3 * HOUR_MS, 5 * DAY_MS])
def test_who_comes_late_reads_no_post_twice_for_the_same_time(late: int) -> None:
    ages = readings(365, late_ms=late)

    assert ages == sorted(set(ages))
    assert len(ages) <= len(readings(365))


def test_one_that_still_moves_is_read_as_if_it_were_younger() -> None:
    at = BORN + 30 * DAY_MS

    assert next_ms(BORN, at) == BORN + 60 * DAY_MS
    assert next_ms(BORN, at, moved=True) == at + 9 * DAY_MS
    assert len(readings(90, moved=True)) > 1.3 * len(readings(90))
    assert next_ms(None, at) == at + DAY_MS


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        (100, 105, False),
        (100, 106, True),
        (0, 1, True),
        (None, 9, False),
        (9, 2, False),
    ],
)
def test_more_than_a_twentieth_is_a_move(
    before: int | None, now: int, *, moved: bool
) -> None:
    assert has_moved(before, now) is moved
