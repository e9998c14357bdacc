"""How new each row of a regular series is, against all rows before it.

Simple measures look at a row: how far it lies from the rows just before, from the same
time of the day and week before, from both, from all values so far and from the nearest
of them, how far the mean of the last rows has moved, and for how long the value has
been the same.  None of them has a unit: each is divided by what the same measure
reached in its largest rows so far, one in a hundred or fewer.  So a series whose spikes
are common needs larger ones, and one threshold serves all series.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, SupportsFloat

import numpy as np

from nexus_actors.core.errors import InvalidRequestError

from .series import Floats, instant, numbers, same_length


DAY_S: Final = 86_400.0
DAY_US: Final = 86_400_000_000
#: Clocks that show local time are set back by an hour in autumn.
SET_BACK_US: Final = 3_600_000_000
#: Of two: sums of a few larger values may be no floats.
LARGE_EXPONENT: Final = 500
MICROSECOND: Final = timedelta(microseconds=1)
WEEK_S: Final = 7 * DAY_S
#: Rows that are only learnt from.
LEARNING: Final = 30
#: The rows before, whose median a row is held against.
NEAR: Final = 9
#: Means of so many rows are held against the means of as many before.
SPANS: Final = (6, 12, 24, 48, 96)
#: Rows about the same time of an earlier day, where a period has so many times more.
ABOUT: Final = 2
ROWS_A_PLACE: Final = 20
#: The share of rows that are taken for the large ones; and of many rows, so many for
#: each of their square root: who looks at minutes wants not ten times the alarms.
LARGE: Final = 0.01
LARGE_ROOT: Final = 0.3
#: Beyond all values so far by this share of their range: twice as far as is large; so
#: far from the nearest of them: as far.
BEYOND: Final = 0.05
#: A value that has stood still for so many rows more than is large is as unusual as
#: that; and it counts for no more than so many times as much.
STANDSTILL: Final = 20
LONGEST: Final = 4.0
#: What is smaller than this share of the largest value is no change.
LEAST: Final = 0.001
#: A row is news if none of this share of the rows before it was newer.
NEWS: Final = 0.1
LEAST_NEWS: Final = 5
#: What is no news counts for so much less, at most.
OLD: Final = 0.37


def score(
    timestamps: Sequence[object], values: Iterable[SupportsFloat | None]
) -> Floats:
    """Return how unusual each row is, from 0 to 1.

    At 0.5, a row is as unusual as the most unusual ones before it, of 4,000 the 18th;
    at 0.9, it lies three times as far out.  It depends on the rows up to it alone.  It
    marks the beginning: while something lasts, only what is still more unusual scores
    high.  The first 30 rows, and rows without a value, have the score 0.

    Args:
        timestamps: Dates, times or texts in ISO 8601, at regular intervals from
            seconds to weeks, not falling; rows may be missing.
        values: Any numbers; `None` and NaN are unknown.

    Raises:
        InvalidRequestError: The series is none; says which row is wrong.
    """
    figures = numbers(values)
    same_length(timestamps, figures)
    seconds = seconds_of(timestamps)
    scores = np.zeros(len(figures))
    known = np.flatnonzero(~np.isnan(figures))
    if len(known):
        figures, seconds = scaled(figures[known]), seconds[known]
        ratios = news(np.stack(measures(seconds, figures)).max(axis=0))
        ratios[:LEARNING] = 0.0
        scores[known] = ratios**2 / (1 + ratios**2)
    return scores


def seconds_of(timestamps: Sequence[object]) -> Floats:
    """Return *timestamps* as seconds, and refuse falling ones."""
    times = [instant("timestamps", row, t) for row, t in enumerate(timestamps)]
    zones = {isinstance(t, datetime) and t.tzinfo is not None for t in times}
    if len(zones) > 1:
        raise InvalidRequestError("timestamps: all or none must have a time zone")
    found = np.array([microseconds(t) for t in times], dtype=np.int64)
    latest = np.maximum.accumulate(found)
    falling = np.flatnonzero(latest - found > SET_BACK_US)
    if falling.size:
        row = int(falling[0])
        raise InvalidRequestError(
            f"timestamps: row {row} ({timestamps[row]}) comes after a later one; "
            "sort them"
        )
    return latest / 1e6


def scaled(values: Floats) -> Floats:
    """Return *values* divided by a power of two, so that no sum of them is infinite."""
    _, exponent = np.frexp(np.abs(values).max())
    return np.ldexp(values, -exponent) if exponent > LARGE_EXPONENT else values


def measures(seconds: Floats, values: Floats) -> list[Floats]:
    """Return every measure of each row, in relation to what is large for it."""
    lowest = before(np.minimum.accumulate(values))
    highest = before(np.maximum.accumulate(values))
    least = LEAST * np.maximum.accumulate(np.abs(values))
    near = np.abs(values - median_before(values))
    season = seasonal(seconds, values)
    season = np.where(np.isinf(season), near, season)
    wanted = [near, season, np.minimum(near, season)]
    wanted += [moved(values, span) for span in SPANS]
    found = [ratio(measure, large(measure) + least) for measure in wanted]
    reach = highest - lowest
    outside = np.maximum(0.0, np.maximum(values - highest, lowest - values))
    beyond = 1 + ratio(outside, reach + least) / BEYOND
    found.append(np.where(outside > 0, beyond, 0.0))
    new = nearest(values)
    found.append(ratio(new, large(new) + BEYOND * reach + least))
    return [*found, standstill(values)]


def ratio(measure: Floats, large: Floats) -> Floats:
    """Return *measure* in relation to *large*; of nothing to nothing it is 0."""
    return np.divide(measure, large, out=np.zeros_like(measure), where=large > 0)


def before(values: Floats) -> Floats:
    """Return what stands one row before; the first stands for itself."""
    return np.concatenate([values[:1], values[:-1]])


def median_before(values: Floats) -> Floats:
    """Return the median of the rows just before each."""
    padded = np.concatenate([np.full(NEAR, values[0]), values[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, NEAR)
    return np.partition(windows, NEAR // 2, axis=1)[:, NEAR // 2]


def seasonal(seconds: Floats, values: Floats) -> Floats:
    """Return how far each row lies outside of the same time a day and a week before.

    Where there is none, nothing can be said: infinity.
    """
    step = float(np.median(np.diff(seconds[:LEARNING]))) if len(seconds) > 1 else 0.0
    low, high = np.full_like(values, np.inf), np.full_like(values, -np.inf)
    rows = np.arange(len(values))
    for period in (DAY_S, WEEK_S):
        if not 0 < step < period / 2:
            continue
        about = min(ABOUT, int(period / step / ROWS_A_PLACE))
        at = np.searchsorted(seconds, seconds - period - step / 2)
        there = seconds[at] - (seconds - period) <= step
        there &= seconds[0] <= seconds - period - about * step
        for shift in range(-about, about + 1):
            found = values[np.clip(at + shift, 0, np.maximum(rows - 1, 0))]
            low = np.where(there, np.minimum(low, found), low)
            high = np.where(there, np.maximum(high, found), high)
    return np.maximum(0.0, np.maximum(low - values, values - high))


def moved(values: Floats, span: int) -> Floats:
    """Return how far the mean of *span* rows lies from that of as many before."""
    total, width = values, 1
    for factor in factors(span):
        parts = [delayed(total, i * width) for i in range(factor)]
        total, width = sum(parts[1:], parts[0]), width * factor
    return np.abs(total - delayed(total, span)) / span


def nearest(values: Floats) -> Floats:
    """Return how far each row lies from the nearest value before it."""
    order = np.argsort(values, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    padded = [-np.inf, *values[order].tolist(), np.inf]
    less, more = list(range(-1, len(order) + 1)), list(range(1, len(order) + 3))
    found = np.empty_like(values)
    for row in range(len(order) - 1, 0, -1):  # the last one leaves the ranks first
        at = int(place[row]) + 1
        left, right = less[at], more[at]
        found[row] = min(padded[at] - padded[left], padded[right] - padded[at])
        more[left], less[right] = right, left
    found[:1] = 0.0
    return found


def standstill(values: Floats) -> Floats:
    """Return how long each value has stood still, in relation to what is large for it.

    It grows in steps of the double: what goes on standing still is told few times.
    """
    rows = np.arange(len(values))
    changed = np.diff(values, prepend=values[0]) != 0
    begins = np.maximum.accumulate(np.where(changed, rows, 0))
    lasted = (rows - begins).astype(np.float64)
    times = lasted / (large(lasted)[begins] + STANDSTILL)
    steps = np.exp2(np.floor(np.log2(times, where=times > 0, out=np.zeros_like(times))))
    return np.where(times > 0, np.minimum(steps, LONGEST), 0.0)


def factors(span: int) -> list[int]:
    """Return numbers whose product is *span*: it is summed up in so many steps."""
    found = []
    for factor in (2, 3):
        while span % factor == 0:
            found.append(factor)
            span //= factor
    return found


def delayed(values: Floats, rows: int) -> Floats:
    """Return *values* some rows later; what was before the first is like the first."""
    return np.concatenate([np.full(min(rows, len(values)), values[0]), values])[
        : len(values)
    ]


def large(measure: Floats) -> Floats:
    """Return the least of the largest rows before each."""
    found = np.empty_like(measure)
    most = many(len(measure))
    top: list[float] = []
    for row, value in enumerate(measure.tolist()):
        found[row] = top[-many(row)] if top else np.inf
        if len(top) < most or value > top[0]:
            insort(top, value)
            if len(top) > most:
                del top[0]
    return found


def many(rows: int) -> int:
    """Return how many of *rows* are the large ones."""
    return max(1, int(min(LARGE * rows, LARGE_ROOT * math.sqrt(rows))))


def news(ratios: Floats) -> Floats:
    """Return *ratios*, made small where they were as large just before."""
    found = ratios.copy()
    peaks: deque[tuple[int, float]] = deque()
    for row, value in enumerate(ratios.tolist()):
        first = row - max(LEAST_NEWS, int(NEWS * row))
        while peaks and peaks[0][0] < first:
            peaks.popleft()
        if peaks and value <= peaks[0][1]:
            found[row] = min(value, 1.0) * OLD
        while peaks and peaks[-1][1] <= value:
            peaks.pop()
        peaks.append((row, value))
    return found


def microseconds(time: date) -> int:
    """Return the whole microseconds of *time* since a fixed one."""
    if not isinstance(time, datetime):
        return (time.toordinal() - 1) * DAY_US
    start = datetime(1, 1, 1, tzinfo=UTC if time.tzinfo else None)
    return (time - start) // MICROSECOND
