"""When a post's figures are read next: a young one often, an old one rarely; no I/O.

By default a post is read about 21 times in its first 90 days, where daily readings
would be 90.  One that still moves is read as often as if it were younger.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final


MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

#: The ages at which a post is read.
AGES_MS: Final = (
    15 * MINUTE_MS,
    *(hours * HOUR_MS for hours in (1, 3, 6, 12, 24)),
    *(days * DAY_MS for days in (2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 60, 90)),
    *(days * DAY_MS for days in range(120, 366, 30)),
)

#: How much a post grew since the last time, if it is to be read earlier again.
MOVES: Final = 0.05

#: How long before its time a post may be read along with others.
EARLY: Final = 0.1


def next_ms(published_ms: int | None, at_ms: int, *, moved: bool = False) -> int | None:
    """Return when a post is due that was read at *at_ms*; None if never again.

    Args:
        published_ms: When it was; of one that does not tell, each day.
        at_ms: When it was read.
        moved: Whether it has grown by more than `MOVES` since the reading before.
    """
    if published_ms is None:
        return at_ms + DAY_MS
    age = max(0, at_ms - published_ms)
    place = bisect_right(AGES_MS, age + _early(age))
    if place == len(AGES_MS):
        return None
    due = published_ms + AGES_MS[place]
    if moved and place > 1:
        due = min(due, at_ms + AGES_MS[place - 1] - AGES_MS[place - 2])
    return due


def _early(age: int) -> int:
    """Return how much too early a reading of that age counts for the next mark."""
    return round(age * EARLY) if age < DAY_MS else 2 * HOUR_MS


def has_moved(before: int | None, now: int | None) -> bool:
    """Tell whether a figure has grown by so much that it is worth to look again."""
    if before is None or now is None:
        return False
    return now - before > MOVES * before
