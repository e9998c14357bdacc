"""Which kinds of posts, and which hours, do better: with how sure one can be of it.

The unit is the post.  The logarithm of its views at one age is taken apart into a
trend, its format, its weekday and its hour, all at once, so that reels do not win
because they were posted on Sundays.  Each part is drawn towards none, the more the
fewer posts it rests on.  How sure it is comes from the bootstrap: the same is worked
out for 2,000 draws of as many posts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt


Floats = npt.NDArray[np.float64]

DRAWS: Final = 2000
SEED: Final = 20_261_126

#: An interval holds so much of the draws.
LEVEL: Final = 0.9

TAIL: Final = (1 - LEVEL) / 2

#: How many posts each part is drawn towards none by.
FORMAT_WEIGHT: Final = 1.0
HOUR_WEIGHT: Final = 5.0
CELL_WEIGHT: Final = 5.0

#: Posts that are further off than so many deviations count as if they were there.
FAR: Final = 2.5

#: Hours in a block, and blocks in a day.
BLOCK_H: Final = 3
BLOCKS: Final = 24 // BLOCK_H
WEEKDAYS: Final = 7

#: Formats are compared from so many posts of each on.
FORMAT_POSTS: Final = 5

#: Periods of so many weeks each tell how sure their growth is.
GROWTH_WEEKS: Final = 4

#: A time is recommended when there are so many posts in all, so many at that time, and
#: from so many weeks.
TIME_POSTS: Final = 30
CELL_POSTS: Final = 5
CELL_WEEKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A post: when it was published, in the account's zone; its views at the age."""

    id: str
    format: str
    at: datetime
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How many times what was to be expected, with an interval.

    Attributes:
        p: How likely so much would be by chance alone; None where it was not tested.
    """

    n: int
    ratio: float
    low: float
    high: float
    p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatEffect:
    """A format against all posts; *median* is of the plain values."""

    format: str
    median: float
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Three hours of a weekday; Monday is 0, and *hour* begins the block."""

    weekday: int
    hour: int
    weeks: int
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a number of posts says.

    Attributes:
        formats: The best first; of fewer than two that can be compared, none.
        best: The first format against the second.
        cells: All that have posts.
    """

    n: int
    formats: tuple[FormatEffect, ...] = ()
    best: Effect | None = None
    cells: tuple[Cell, ...] = ()


def compare(samples: Sequence[Sample]) -> Comparison:
    """Return which formats and times do better among *samples*."""
    if len(samples) < 2 * FORMAT_POSTS:
        return Comparison(n=len(samples))
    return _Fit(samples).comparison()


class _Fit:
    """The parts of all posts' logarithms, as they are and in each draw."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.names = sorted({s.format for s in samples})
        n = len(samples)
        kinds = np.array([self.names.index(s.format) for s in samples])
        self.kinds = kinds
        self.days = np.array([s.at.weekday() for s in samples])
        self.blocks = np.array([s.at.hour // BLOCK_H for s in samples])
        when = np.array([s.at.timestamp() for s in samples])
        span = float(np.ptp(when)) or 1.0
        trend = (when - when.min()) / span - 0.5
        parts = [np.ones((n, 1)), trend[:, None], (trend**2)[:, None]]
        sizes = (len(self.names), WEEKDAYS, BLOCKS)
        for found, size in zip((kinds, self.days, self.blocks), sizes, strict=True):
            parts.append(np.eye(size)[found])
        self.design = np.hstack(parts)
        self.plain = np.cumsum([3, *sizes])  # where each part begins
        weights = [0.0, 1e-3, 1e-3, *[FORMAT_WEIGHT] * sizes[0]]
        self.ridge = np.diag([*weights, *[HOUR_WEIGHT] * (WEEKDAYS + BLOCKS)])
        self.logs = np.log1p([s.value for s in samples])
        rng = np.random.default_rng(SEED)
        draws = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
        self.weights = np.vstack([np.ones(n), draws]).astype(float)
        self.logs = self._tamed()
        self.found = self._solve(self.weights)

    def _tamed(self) -> Floats:
        """Bring posts that took off, or that nobody saw, nearer to what is usual.

        One of them says little of its format, and would decide on its own.
        """
        fit = self._solve(self.weights[:1])[0] @ self.design.T
        rest = self.logs - fit
        middle = float(np.median(rest))
        reach = FAR * 1.4826 * float(np.median(np.abs(rest - middle)))
        tamed: Floats = fit + np.clip(rest, middle - reach, middle + reach)
        return tamed

    def _solve(self, weights: Floats) -> Floats:
        """Return the parts: a row for each row of how often each post counts."""
        x, width = self.design, self.design.shape[1]
        products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        left = (weights @ products).reshape(-1, width, width) + self.ridge
        right = weights @ (x * self.logs[:, None])
        found: Floats = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return found

    def comparison(self) -> Comparison:
        formats = self._formats()
        best = None
        if len(formats) > 1:
            first, second = (self.names.index(f.format) for f in formats[:2])
            difference = self._part(0)[:, first] - self._part(0)[:, second]
            n = formats[0].effect.n + formats[1].effect.n
            best = _effect(difference, n)
        return Comparison(
            n=len(self.samples),
            formats=formats if len(formats) > 1 else (),
            best=best,
            cells=self._cells(),
        )

    def _part(self, number: int) -> Floats:
        return self.found[:, self.plain[number] : self.plain[number + 1]]

    def _formats(self) -> tuple[FormatEffect, ...]:
        found = []
        for at, name in enumerate(self.names):
            values = [s.value for s in self.samples if s.format == name]
            if len(values) >= FORMAT_POSTS:
                effect = _effect(self._part(0)[:, at], len(values))
                middle = float(np.median(values))
                found.append(FormatEffect(format=name, median=middle, effect=effect))
        found.sort(key=lambda one: (-one.effect.ratio, one.format))
        return tuple(found)

    def _cells(self) -> tuple[Cell, ...]:
        """Return the times, each drawn towards what its weekday and hour let expect."""
        before = int(self.plain[1])
        rest = self.logs - self.found[:, :before] @ self.design[:, :before].T
        additive = self._part(1)[:, :, None] + self._part(2)[:, None, :]
        additive = additive.reshape(len(self.found), -1)
        place = self.days * BLOCKS + self.blocks
        which = np.eye(WEEKDAYS * BLOCKS)[place]
        counts, sums = self.weights @ which, (self.weights * rest) @ which
        drawn = (sums - counts * additive) / (counts + CELL_WEIGHT) + additive
        by_hour = drawn.reshape(-1, WEEKDAYS, BLOCKS)
        smooth = by_hour / 2 + (np.roll(by_hour, 1, 2) + np.roll(by_hour, -1, 2)) / 4
        smooth = smooth.reshape(len(self.found), -1)
        found = []
        for cell in np.unique(place).tolist():
            mine = [s for s, p in zip(self.samples, place, strict=True) if p == cell]
            weeks = len({s.at.isocalendar()[:2] for s in mine})
            effect = _effect(smooth[:, cell], len(mine))
            day, block = divmod(cell, BLOCKS)
            found.append(
                Cell(weekday=day, hour=block * BLOCK_H, weeks=weeks, effect=effect)
            )
        return tuple(found)


def _effect(logs: Any, n: int) -> Effect:
    """Return an effect from its logarithm, in the first row, and those of the draws."""
    many = max(n, 2)
    draws = logs[0] + (logs[1:] - logs[0]) * _wider(many, many - 1)
    low, high = np.quantile(draws, [TAIL, 1 - TAIL])
    worse = (1 + int(np.count_nonzero(draws <= 0))) / (len(draws) + 1)
    ratio, least, most = np.exp([logs[0], low, high]).tolist()
    return Effect(n=n, ratio=ratio, low=least, high=most, p=worse)


def _wider(n: int, freedom: int) -> float:
    """Return how much further than draws of *n* the truth lies.

    Draws of few scatter less than what is drawn does; and how far that scatters is not
    well known from few, which Student's law makes up for.
    """
    reach = NormalDist().inv_cdf(1 - TAIL)
    unsure = 1 + (reach**2 + 1) / (4 * freedom)
    return float(np.sqrt(n / (n - 1)) * unsure)


def adjusted(chances: Sequence[float]) -> list[float]:
    """Return chances, of so many tests, after Benjamini and Hochberg."""
    order = np.argsort(chances)
    found = np.empty(len(chances))
    least = 1.0
    for rank in range(len(chances), 0, -1):
        at = order[rank - 1]
        least = min(least, chances[at] * len(chances) / rank)
        found[at] = least
    return [float(one) for one in found]


def growth_interval(
    now: Sequence[float], before: Sequence[float]
) -> tuple[float, float] | None:
    """Return the interval of the growth from some weeks to others, a share.

    Weeks are drawn, and not days: those within a week depend on each other.  None where
    there are fewer than four of either, or nothing in a draw of them.
    """
    if min(len(now), len(before)) < GROWTH_WEEKS:
        return None
    rng = np.random.default_rng(SEED)
    logs = np.zeros(DRAWS)
    plain = 0.0
    for weeks, sign in ((now, 1), (before, -1)):
        n = len(weeks)
        means = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS) @ weeks / n
        if not np.all(means > 0):
            return None
        middle = float(np.log(np.mean(weeks)))
        wider = _wider(n, len(now) + len(before) - 2)
        logs += sign * (np.log(means) - middle) * wider
        plain += sign * middle
    low, high = np.expm1(np.quantile(plain + logs, [TAIL, 1 - TAIL])).tolist()
    return low, high


def ratio_interval(
    parts: Sequence[tuple[float, float]],
) -> tuple[float, float] | None:
    """Return the interval of a sum by a sum, over posts; None of too few of them."""
    if len(parts) < FORMAT_POSTS:
        return None
    table = np.array(parts, dtype=float)
    rng = np.random.default_rng(SEED)
    draws = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=DRAWS)
    above, below = (draws @ table).T
    found = above[below > 0] / below[below > 0]
    if not len(found):
        return None
    low, high = np.quantile(found, [TAIL, 1 - TAIL]).tolist()
    return low, high
