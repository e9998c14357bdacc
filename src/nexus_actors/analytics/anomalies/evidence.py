"""Which days lie outside of what the days before let expect."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from .filters import (
    HISTORY,
    LEAST_LEVEL,
    OVERDISPERSION,
    SPANS,
    filters,
    level_index,
    noise,
)
from .scale import DAY_LIMIT, TYPICAL_WEIGHT
from .series import Floats, median
from .tails import NORMAL, at_least, at_most, deviation, usual_range
from .units import MANY, USUAL, YOUNG


if TYPE_CHECKING:
    from .daily import Watch


#: The places of a series before its first day: the longest history of all.
PAD: Final = HISTORY + max(SPANS)
#: So many days are the level by which filters are chosen.
LEVEL_DAYS: Final = 28
#: How much of the budget one test of one side may use; found by simulation.
SHARE: Final = {1: 0.156, 2: 0.184, 3: 0.23, 7: 0.037}
#: Deviations on the logarithmic scale, less than the limit by so many, make the exact
#: test worth its time; above where counts are low, whose logarithms lie otherwise.
LOOK: Final = 0.7
LOOK_LOW: Final = 1.6
LOW_LEVEL: Final = 30.0
#: A change is lasting if the days before the last lie out so many deviations, or if
#: the last alone is no reason.
BEFORE: Final = 2.0
#: Differences must lie out this much further than all of the last weeks; by simulation.
PEAK: Final = 1.7
#: What a day of little is expected to have at least.
LEAST_EXPECTED: Final = 0.05
#: An amount's scatter beyond Poisson's is at least this, relative, squared.
LEAST_SPREAD: Final = 0.05**2


@dataclass(frozen=True, slots=True)
class Finding:
    """A test that lies beyond its limit.

    *expected*, *low* and *high* are of a day, in the mean of the span, in the figure's
    own measure; *excess* is the same on the scale of logarithms.  *beyond* says by how
    many deviations; *before*, how many the days before the last one alone.
    """

    span: int
    up: bool
    beyond: float
    expected: float
    low: float
    high: float
    excess: float
    before: float
    told: bool


class View:
    """Days from *start* up to *end*, judged by what `Watch` has learnt before them."""

    def __init__(self, watch: Watch, start: int, end: int) -> None:
        self.watch = watch
        self.start, self.end = start, end
        watch.fill(start, end)
        self.rows = np.arange(start, end)
        self.lengths = np.minimum(self.rows, HISTORY)
        self.levels = self.levels_before()
        self.index = level_index(self.levels)
        one = filters(1)
        self.forecast = np.einsum(
            "th,th->t", self.history(1), one.forecast[self.index, self.lengths, 0]
        )
        self.variance = one.variance[self.index, self.lengths]
        self.weight = self.typical_weight()
        deviates = (watch.logs[start:end] - self.forecast) / np.sqrt(self.variance)
        self.scales = {1: watch.sizes[1].add(start, deviates, 1.0, self.weight)}
        self.deviates = {1: deviates / self.scales[1]}
        reach = DAY_LIMIT * np.sqrt(self.variance) * self.scales[1]
        new = slice(PAD + start, PAD + end)
        late = self.rows >= watch.start
        bounds = np.maximum(watch.clean[new], self.forecast - reach)
        bounds = np.minimum(bounds, self.forecast + reach)
        watch.bounded[new] = np.where(late, bounds, watch.clean[new])
        for span in SPANS[1:]:
            self.add_span(span)

    def typical_weight(self) -> Floats:
        """Return on how many days it was seen how far such series scatter."""
        if self.watch.units.signed:  # only on the days that gave the unit
            return np.full(len(self.rows), YOUNG / 2)
        # of the scatter of small counts, little is the series' own
        counting = 1 / np.maximum(self.levels, LEAST_LEVEL)
        return TYPICAL_WEIGHT * (self.variance + counting) / self.variance

    def add_span(self, span: int) -> None:
        """Work out how far the *span* days up to each day lie out together."""
        contrast = filters(span).contrast[self.index, self.before(span)]
        deviates = np.einsum("th,th->t", self.history(span), contrast[:, :HISTORY])
        deviates += np.einsum("ts,ts->t", self.last(span), contrast[:, HISTORY:])
        deviates[~self.watch.known[self.start : self.end]] = np.nan
        self.scales[span] = self.watch.sizes[span].add(
            self.start, deviates, self.scales[1], self.weight
        )
        self.deviates[span] = deviates / self.scales[span]

    def before(self, span: int) -> npt.NDArray[np.intp]:
        """Return the lengths of the histories before the last *span* days."""
        return np.clip(self.rows - span + 1, 0, HISTORY)

    def history(self, span: int) -> Floats:
        """Return the clean days before the last *span* days, for each day."""
        shift = PAD - HISTORY - span + 1
        return windows(self.watch.clean, self.start + shift, self.end + shift, HISTORY)

    def last(self, span: int) -> Floats:
        """Return the last *span* days of each day, without what is extreme."""
        shift = PAD - span + 1
        return windows(self.watch.bounded, self.start + shift, self.end + shift, span)

    def levels_before(self) -> Floats:
        """Return the level of the last weeks before each day."""
        if self.watch.units.signed:
            return np.full(len(self.rows), MANY)
        first = max(0, self.start - LEVEL_DAYS)
        sums = np.zeros(self.end - first + 1)
        np.cumsum(self.watch.clean[PAD + first : PAD + self.end], out=sums[1:])
        low = np.maximum(self.rows - LEVEL_DAYS, 0)
        count = np.maximum(self.rows - low, 1)
        mean = (sums[self.rows - first] - sums[low - first]) / count
        return self.watch.units.back(mean)

    def findings(self) -> Iterator[tuple[int, Finding]]:
        """Return the days that are unusual, with the strongest reason of each."""
        judged = self.watch.judged[self.start : self.end]
        limit = deviation(self.watch.rules.chance * max(SHARE.values()))
        above = limit - np.where(self.levels < LOW_LEVEL, LOOK_LOW, LOOK)
        looks = {
            span: judged & ((found > above) | (found < LOOK - limit))
            for span, found in self.deviates.items()
        }
        for place in np.flatnonzero(np.logical_or.reduce(list(looks.values()))):
            spans = [span for span, look in looks.items() if look[place]]
            tests = [self.test(int(place), span) for span in spans]
            found = [test for test in tests if test is not None]
            if found:
                # a day that alone is enough may lift what went before with it
                reason = max(found, key=lambda f: (f.before >= BEFORE, f.beyond))
                yield self.start + int(place), reason

    def test(self, place: int, span: int) -> Finding | None:
        """Return the finding, if the *span* days up to *place* lie beyond the limit."""
        watch = self.watch
        up = bool(self.deviates[span][place] > 0)
        limit = deviation(watch.chance(self.start + place, span))
        freedom = watch.sizes[1].freedom[self.start + place]
        wider = 1 + (limit**2 + 1) / (4 * freedom)
        law = (Differences if watch.units.signed else Amounts)(self, place, span)
        beyond = law.deviation(up=up) / wider
        if beyond < limit:
            return None
        told = law.changes(watch.rules.least_change)
        if span > 1 and not told:
            return None
        late = law.delay(up=up)
        low, high = law.usual(NORMAL.cdf(-limit * wider), late)
        return Finding(
            span=span - late,
            up=up,
            beyond=beyond,
            expected=law.expected(late),
            low=low,
            high=high,
            excess=law.excess(late),
            before=law.before(up=up),
            told=told,
        )


class Law(ABC):
    """What is expected of the last *span* days, and what there was.

    Attributes:
        means: What is expected of each, in the figure's own measure.
    """

    means: Floats

    def __init__(self, view: View, place: int, span: int) -> None:
        watch, day = view.watch, view.start + place
        self.units, self.span = watch.units, span
        first = PAD + day - span + 1
        self.past = watch.clean[first - HISTORY : first]
        length = min(max(day - span + 1, 0), HISTORY)
        found, index = filters(span), view.index[place]
        self.weights = found.forecast[index, length]
        self.forecast = self.weights @ self.past
        self.scale = float(view.scales[span][place])
        self.variance = float(found.variance[index, length])
        self.one_variance = float(view.variance[place] * view.scales[1][place] ** 2)
        bounded = watch.bounded[first : first + span]
        self.logs = bounded if span > 1 else watch.logs[day : day + 1]
        self.deviate = float(view.deviates[span][place])
        self.seen = watch.logs[day - span + 1 : day + 1]

    @cached_property
    def excesses(self) -> Floats:
        """How far each of the days lies out, on the scale of logarithms."""
        found = self.seen - self.forecast
        return np.where(np.isnan(found), 0.0, found)

    @abstractmethod
    def deviation(self, *, up: bool) -> float:
        """Return how many deviations the days lie out together."""

    @abstractmethod
    def changes(self, least: float) -> bool:
        """Tell whether the change is large enough to be told."""

    @abstractmethod
    def usual(self, chance: float, late: int) -> tuple[float, float]:
        """Return the usual range of a day, without the first *late* ones."""

    def expected(self, late: int) -> float:
        """Return what is expected of a day, without the first *late* ones."""
        return float(self.means[late:].mean())

    def excess(self, late: int) -> float:
        """Return how far the days lie out, without the first *late* ones."""
        return median(self.excesses[late:])

    def delay(self, *, up: bool) -> int:
        """Return how many of several days came before the change."""
        sides = self.excesses if up else -self.excesses
        out = sides >= median(sides[-2:]) / 2
        return min(int(out.argmax()), max(self.span - 2, 0))

    def before(self, *, up: bool) -> float:
        """Return how many deviations the days before the last one lie out."""
        if self.span == 1:
            return 0.0
        rest = (self.logs - self.forecast)[:-1] * (1 if up else -1)
        return float(rest.sum() / np.sqrt(len(rest) * self.one_variance))


class Differences(Law):
    """The law of figures that may be negative: normal."""

    def __init__(self, view: View, place: int, span: int) -> None:
        super().__init__(view, place, span)
        self.means = self.forecast / USUAL * self.units.unit + self.units.centre
        largest = view.watch.sizes[span].largest(view.start + place)
        known = PEAK * largest / self.scale
        limit = deviation(view.watch.rules.chance * SHARE[span])
        self.news = limit * abs(self.deviate) / known if known else math.inf

    def deviation(self, *, up: bool) -> float:  # noqa: ARG002 - the same on both sides
        """Return how many deviations the days lie out together.

        How heavy the tails of differences are, nobody knows beforehand.  So what has
        come about like that in the last weeks is usual, whatever a normal law says.
        """
        return min(abs(self.deviate), self.news)

    def changes(self, least: float) -> bool:  # noqa: ARG002 - there is no ratio
        """Say yes: there is nothing that a difference could be related to."""
        return True

    def usual(self, chance: float, late: int) -> tuple[float, float]:
        """Return the usual range of a day, without the first *late* ones."""
        reach = -NORMAL.inv_cdf(chance) * self.scale * self.variance**0.5
        reach *= self.units.unit / USUAL
        return self.expected(late) - reach, self.expected(late) + reach


class Amounts(Law):
    """The law of counts: negative binomial, with a mean that is not quite known."""

    def __init__(self, view: View, place: int, span: int) -> None:
        super().__init__(view, place, span)
        level = float(view.levels[place])
        if level < LOW_LEVEL:  # the mean of logarithms says too little of small counts
            counts = self.weights @ self.units.back(self.past)
        else:
            counts = self.units.back(self.forecast + self.one_variance / 2)
        counts = np.maximum(counts, LEAST_EXPECTED)
        self.means = counts * self.units.unit
        self.mean = float(counts.sum())
        total = float(np.maximum(self.units.back(self.logs), 0.0).sum())
        self.total = min(total, MANY * (self.mean + 1))
        self.spread = self.beyond_counting(max(level, LEAST_EXPECTED))

    def beyond_counting(self, level: float) -> float:
        """Return the variance of the sum beyond Poisson's, relative."""
        counting = (OVERDISPERSION + 1 / level - float(noise(level))) / self.span
        whole = self.scale**2 * (self.variance + counting)
        return max(whole - 1 / self.mean, LEAST_SPREAD / self.span)

    def deviation(self, *, up: bool) -> float:
        """Return how many deviations the sum lies out."""
        tail = at_least if up else at_most
        found = deviation(tail(self.total, self.mean, self.spread))
        slant = self.slant()
        if not up:
            return found + slant * (found**2 - 1)
        # an expansion: far out, it would take more from what is more.  From where half
        # of that is left on, half of it counts
        near = min(found, 1 / (4 * slant)) if slant else found
        return near - slant * (near**2 - 1) + (found - near) / 2

    def slant(self) -> float:
        """Return how much less to the left this law leans than a negative binomial.

        That law's scatter is all of a gamma law, whose logarithm leans to the left;
        but only a day's own noise is so, and unrest and what is unknown are not.  It
        is the sixth of the difference of their skewness, as in Cornish's and Fisher's
        expansion.
        """
        own = OVERDISPERSION * self.scale**2 / self.span / self.spread
        counted = self.spread + 1 / self.mean
        unlike = 1 - min(own, 1.0) ** 2
        return float(unlike * self.spread**2 / counted**1.5 / 6)

    def changes(self, least: float) -> bool:
        """Tell whether the change is large enough to be told."""
        return bool(abs(self.total / self.mean - 1) >= least)

    def usual(self, chance: float, late: int) -> tuple[float, float]:
        """Return the usual range of a day, without the first *late* ones."""
        low, high = usual_range(self.mean, self.spread, chance)
        day = self.expected(late) / self.mean
        return low * day, high * day


def windows(values: Floats, start: int, end: int, size: int) -> Floats:
    """Return the *size* values from each place on, as a view.

    It is what numpy's `sliding_window_view` returns, which takes longer than all that
    is done with it here.
    """
    step = values.itemsize
    return np.ndarray(
        (end - start, size), values.dtype, values, start * step, (step, step)
    )
