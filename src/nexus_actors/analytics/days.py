"""What happened on each day, worked out of cumulative snapshots; no I/O.

The figure of a post at any instant lies on a line between the two snapshots around it.
In a post's first two days, when most of what it will ever get comes at first, that is a
straight line over the logarithm of its age.  A day's delta is the difference of the
figures at its two midnights; both are whole numbers, so deltas add up to exactly what
the snapshots say.

Counters fall, too.  A fall that is small is noise: the level is held until it is passed
again.  Any other is a correction, which stands beside the deltas and not in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .arrays import NONE
from .calendar import DAY_MS, Array, midnights
from .metrics import COUNTERS, METRICS, Break


Mask = npt.NDArray[np.bool_]

#: Of a post all of whose snapshots are as good as new; and the first day of all.
ALL: Final = 0
FIRST: Final = -719_162

HOUR_MS: Final = 3_600_000

#: Two snapshots that are further apart say little of a day between them.
GAP_MS: Final = 36 * HOUR_MS

#: How long a post is young: its figures lie over the logarithm of its age.
YOUNG_MS: Final = 48 * HOUR_MS

#: A fall is noise up to one part of so many of the level, or below so much of a unit.
NOISE_PART: Final = 200
NOISE_UNITS: Final = {"count": 10, "ms": 10_000}


class Flag(IntFlag):
    """What is to be known of a day's figures."""

    OPENED = 1  #: what came before its first snapshot is not known
    UNFINISHED = 2  #: there is no snapshot from after its end
    IMPUTED = 4  #: spread over a gap between snapshots of more than 36 hours
    BREAK = 8  #: the platform began to count something in another way
    FINAL = 16  #: late figures are in


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The snapshots of posts of one platform and time zone.

    Attributes:
        counts: How many snapshots each post has, one at least.
        times: When each was collected, post by post, the earliest first.
        values: The figures, with a column for each of `COUNTERS`.
        published: When each post was, or `NONE`.
        born: Of which posts that was seen: they begin with nothing.
        stale: From when on each post's snapshots are new since the last rollup.
    """

    counts: Array
    times: Array
    values: Array
    published: Array
    born: Mask
    stale: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """What happened on days, from the first that has changed on.

    Attributes:
        since: The first day of each post that was worked out.
        post: The number of each row's post, as in the history.
        values: Deltas, at least 0, or `NONE`.
        corrections: At most 0.
    """

    since: Array
    post: Array
    day: Array
    flags: Array
    values: Array
    corrections: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """The days of each post, and the instants between which they lie.

    Post p has the points ``begins[p]`` to ``begins[p] + days[p]``, one more than days.
    The midnights *bounds* begin with that of the day *low*.
    """

    low: int
    bounds: Array
    first: Array
    days: Array
    begins: Array
    post: Array
    points: Array
    row_point: Array

    @property
    def day(self) -> Array:
        """The day of each row."""
        within = self.row_point - self.begins[self.post]
        found: Array = self.first[self.post] + within
        return found


def days_of(
    history: History, zone: str, breaks: Sequence[Break], latency_ms: int
) -> Days:
    """Return the days of all posts, as far as they have changed."""
    history = _with_births(history)
    post = np.repeat(np.arange(history.counts.size), history.counts)
    grid = _grid(history, zone)
    rows = grid.post.size
    values = np.full((rows, len(COUNTERS)), NONE, np.int64)
    corrections = np.zeros((rows, len(COUNTERS)), np.int64)
    flags = _flags(history, grid, breaks, latency_ms)
    lines: dict[bytes, _Line] = {}
    for column, metric in enumerate(COUNTERS):
        known = history.values[:, column] != NONE
        key = known.tobytes()
        line = lines[key] = lines.get(key) or _Line(history, post, grid, known)
        if line.size:
            spans = [b.span_ms for b in breaks if b.metric == metric and b.restated]
            least = NOISE_UNITS[METRICS[metric].unit]
            up, down, seen = line.differences(column, spans, least)
            values[seen, column] = up[seen]
            corrections[seen, column] = down[seen]
            flags[seen & line.gaps] |= Flag.IMPUTED
    since = _changed_since(history, post, grid, latency_ms)
    day = grid.day
    keep = (day >= since[grid.post]) & (values != NONE).any(axis=1)
    return Days(
        since=since,
        post=grid.post[keep],
        day=day[keep],
        flags=flags[keep],
        values=values[keep],
        corrections=corrections[keep],
    )


def _with_births(history: History) -> History:
    """Put a snapshot of nothing at the birth of each post that was seen from there."""
    starts = np.cumsum(history.counts) - history.counts
    born = history.born & (history.published < history.times[starts])
    return History(
        counts=history.counts + born,
        times=np.insert(history.times, starts[born], history.published[born]),
        values=np.insert(history.values, starts[born], 0, axis=0),
        published=history.published,
        born=history.born,
        stale=history.stale,
    )


def _ends(history: History) -> tuple[Array, Array]:
    """Return when the first and the last snapshot of each post were."""
    after = np.cumsum(history.counts)
    return history.times[after - history.counts], history.times[after - 1]


def _grid(history: History, zone: str) -> _Grid:
    low = int(history.times.min()) // DAY_MS - 1
    bounds = midnights(zone, low, int(history.times.max()) // DAY_MS + 1)
    opens, last = _ends(history)
    first = np.searchsorted(bounds, opens, "right") - 1
    until = np.searchsorted(bounds, last, "left")  # the midnight after, or at, the end
    days = np.where(last > opens, until - first, 0)
    counts = np.where(days > 0, days + 1, 0)
    begins = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(days.size), counts)
    within = np.arange(owner.size) - begins[owner]
    points = np.clip(bounds[first[owner] + within], opens[owner], last[owner])
    post = np.repeat(np.arange(days.size), days)
    row_within = np.arange(post.size) - (np.cumsum(days) - days)[post]
    return _Grid(
        low=low,
        bounds=bounds,
        first=first + low,
        days=days,
        begins=begins,
        post=post,
        points=points,
        row_point=begins[post] + row_within,
    )


def _flags(
    history: History, grid: _Grid, breaks: Sequence[Break], latency_ms: int
) -> Array:
    opens, last = _ends(history)
    day = grid.day
    begins, ends = grid.bounds[day - grid.low], grid.bounds[day - grid.low + 1]
    seen_from = np.where(history.born[grid.post], begins, opens[grid.post])
    flags = np.zeros(day.size, np.int64)
    flags[seen_from > begins] |= Flag.OPENED
    flags[last[grid.post] < ends] |= Flag.UNFINISHED
    flags[last[grid.post] >= ends + latency_ms] |= Flag.FINAL
    for known in breaks:
        since, until = known.span_ms
        if known.metric in COUNTERS:
            flags[(begins < until) & (ends > since)] |= Flag.BREAK
    return flags


class _Line:
    """The lines between those snapshots of each post that know a metric."""

    def __init__(self, history: History, post: Array, grid: _Grid, known: Mask) -> None:
        self._history, self._grid, self._at = history, grid, np.flatnonzero(known)
        self.size = self._at.size
        if not self.size:
            return
        self._post, self._times = post[self._at], history.times[self._at]
        self._begins = np.ones(self.size, np.bool_)
        self._begins[1:] = self._post[1:] != self._post[:-1]
        self._find_points()

    def _find_points(self) -> None:
        """Find for each point of the grid the snapshot before it, and how far it is."""
        grid, posts = self._grid, self._history.counts.size
        firsts = np.searchsorted(self._post, np.arange(posts), "left")
        afters = np.searchsorted(self._post, np.arange(posts), "right")
        owner = np.repeat(np.arange(posts), np.where(grid.days > 0, grid.days + 1, 0))
        has = (afters > firsts)[owner]
        low, high = firsts[owner], np.maximum(afters[owner] - 1, 0)
        low = np.minimum(low, high)
        points = np.clip(grid.points, self._times[low], self._times[high])
        origin, span = self._times.min(), np.ptp(self._times) + 1
        keys = self._post * span + (self._times - origin)
        wanted = self._post[low] * span + (points - origin)
        before = np.clip(np.searchsorted(keys, wanted, "right") - 1, low, high)
        self._before, self._after = before, np.minimum(before + 1, high)
        self._share = self._shares(owner, points)
        start = grid.row_point
        self._seen = has[start] & (points[start + 1] > points[start])
        left = np.clip(np.searchsorted(keys, wanted, "left") - 1, low, high)
        wide = np.zeros(self.size, np.bool_)
        wide[:-1] = (np.diff(self._times) > GAP_MS) & ~self._begins[1:]
        self.gaps = wide[before[start]] | wide[left[start + 1]]

    def _shares(self, owner: Array, points: Array) -> npt.NDArray[np.float64]:
        """Return how much of the way to the next snapshot is made at each point."""
        at, then = self._times[self._before], self._times[self._after]
        length = np.maximum(then - at, 1)
        share: npt.NDArray[np.float64] = (points - at) / length
        born = self._history.published[owner]
        young = (born != NONE) & (at >= born) & (at - born < YOUNG_MS) & (then > at)
        hours = np.log((at - born + HOUR_MS)[young])
        made = np.log((points - born + HOUR_MS)[young]) - hours
        share[young] = made / (np.log((then - born + HOUR_MS)[young]) - hours)
        return share

    def differences(
        self, column: int, restated: Sequence[tuple[int, int]], least: int
    ) -> tuple[Array, Array, Mask]:
        """Return each row's delta and correction, and which rows are known."""
        levels = self._history.values[self._at, column]
        begins = self._begins.copy()
        for since, until in restated:
            begins[1:] |= (self._times[:-1] < until) & (self._times[1:] > since)
        steps = np.zeros(self.size, np.int64)
        steps[1:] = np.diff(_held(levels, np.cumsum(begins), least))
        steps[begins] = 0
        up, down = np.maximum(steps, 0), np.maximum(-steps, 0)
        fallen = -self._per_day(down) if down.any() else np.zeros_like(self._grid.post)
        return self._per_day(up), fallen, self._seen

    def _per_day(self, steps: Array) -> Array:
        total = np.cumsum(steps)
        whole = total[self._before]
        part = (total[self._after] - whole) * self._share
        at_points = whole + np.floor(part + 0.5).astype(np.int64)
        start = self._grid.row_point
        found: Array = at_points[start + 1] - at_points[start]
        return found


def _held(levels: Array, groups: Array, least: int) -> Array:
    """Return *levels* without falls that are noise, each group by itself."""
    falls = np.flatnonzero((np.diff(levels) < 0) & (np.diff(groups) == 0)) + 1
    if not falls.size:
        return levels
    held = levels.copy()
    which, at = np.unique(groups[falls], return_index=True)
    ends = np.searchsorted(groups, which, "right")
    for begin, end in zip(falls[at].tolist(), ends.tolist(), strict=True):
        level = int(levels[begin - 1])
        kept = []
        for value in levels[begin:end].tolist():
            fall = level - value
            if fall < 0 or (fall >= least and fall * NOISE_PART > level):
                level = value
            kept.append(level)
        held[begin:end] = kept
    return held


def _changed_since(
    history: History, post: Array, grid: _Grid, latency_ms: int
) -> Array:
    """Return the first day of each post that what is new may have changed.

    That is the day of the last snapshot before it that knows all metrics, and some
    days more: those that have become final by it.
    """
    starts = np.cumsum(history.counts) - history.counts
    known = history.values != NONE
    ever = np.logical_or.reduceat(known, starts, axis=0)
    whole = (known | ~ever[post]).all(axis=1) & (history.times < history.stale[post])
    before = np.maximum.reduceat(np.where(whole, history.times, NONE), starts)
    found = np.searchsorted(grid.bounds, before - latency_ms, "right") - 1 + grid.low
    whole_life = np.where(history.stale == ALL, FIRST, grid.first)
    return np.where(before == NONE, whole_life, found)


def levels_of(
    times: Sequence[int], values: Sequence[int], zone: str
) -> list[tuple[int, int, int]]:
    """Return the level of a gauge at the end of each day: day, level and flags.

    Of the last day, that is the last level known.
    """
    at, level = np.array(times, np.int64), np.array(values, np.float64)
    first, last = times[0] // DAY_MS - 1, times[-1] // DAY_MS + 1
    bounds = midnights(zone, first, last)
    begin = int(np.searchsorted(bounds, at[0], "left"))
    end = int(np.searchsorted(bounds, at[-1], "left"))
    found: list[tuple[int, int, int]] = []
    for number in range(begin, max(begin, end) + 1):
        ends = int(bounds[number])
        flags = Flag(0)
        if ends > at[-1]:
            flags |= Flag.UNFINISHED
        elif _is_wide(at, ends):
            flags |= Flag.IMPUTED
        then = int(np.floor(np.interp(ends, at, level) + 0.5))
        found.append((first + number - 1, then, int(flags)))
    return found


def _is_wide(at: Any, instant: int) -> bool:
    after = int(np.searchsorted(at, instant, "left"))
    return after > 0 and bool(at[after] - at[after - 1] > GAP_MS)
