"""Unusual days and lasting changes in one figure a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, SupportsFloat

import numpy as np
import numpy.typing as npt

from nexus_actors.core.errors import InvalidRequestError

from .evidence import LEVEL_DAYS, PAD, SHARE, Finding, View
from .filters import HISTORY, SPANS, filters, level_index
from .models import Anomaly, Kind
from .scale import DAY_LIMIT, Sizes
from .series import WEEK, Daily, Floats, daily, median
from .tails import NORMAL
from .units import MANY, USUAL, Units


#: Observed days before a day that is judged; and of the last two weeks.
LEAST_HISTORY: Final = 14
RECENT: Final = 14
LEAST_RECENT: Final = 3
#: After an alarm, single days to the same side are part of it for so long.
COOL_DOWN: Final = 3
#: Each alarm in the history of a day makes its limit stricter, as often.
STRICTER: Final = 3.0
#: Days that are worked on at once.
BLOCK: Final = 256


def detect(
    timestamps: Sequence[object],
    values: Iterable[SupportsFloat | None],
    *,
    false_alarms: float = 2.0,
    least_change: float = 0.25,
    breaks: Sequence[object] = (),
) -> list[Anomaly]:
    """Return the anomalies of a daily series, by their days.

    Whether a day is one depends on the days up to it alone, so that a series may be
    looked at day by day or at once.  Days are judged when there are two weeks before
    them.  A day that is missing, or is `None` or NaN, is unknown, not 0.

    Args:
        timestamps: A date, a `datetime` or a text in ISO 8601 for each value, rising,
            at most one a day.
        values: Counts or other amounts.  A series with negative values is taken for
            one of differences, such as net new followers.
        false_alarms: How many alarms a thousand usual days may give.
        least_change: What changes less, in relation to what was expected, is none.
        breaks: The first days of a new definition of the figure.  The week from there
            on is not judged, and what was before is brought to its level.

    Raises:
        InvalidRequestError: The series is none; says which row is wrong.
    """
    if not 0 < false_alarms <= 1000:  # noqa: PLR2004 - days
        raise InvalidRequestError("false_alarms: more than 0, at most 1000 is needed")
    if not least_change >= 0:
        raise InvalidRequestError("least_change: 0 or more is needed")
    series = daily(timestamps, values, breaks)
    if np.count_nonzero(~np.isnan(series.values)) <= LEAST_HISTORY:
        return []
    rules = Rules(false_alarms / 1000, least_change)
    return list(Watch(series, rules).anomalies())


@dataclass(frozen=True, slots=True)
class Rules:
    """When a finding is an alarm: its *chance* for one test, and its size."""

    chance: float
    least_change: float


class Watch:
    """Goes through a series, and learns on its way.

    What it learns from, `clean`, is the series without its unusual days; and where
    the level has changed for good, what was before is moved to the new level.
    """

    def __init__(self, series: Daily, rules: Rules) -> None:
        self.days = series.days
        self.values = series.values
        self.rules = rules
        self.units = Units.of(series.values)
        self.logs = self.units.logs(series.values)
        self.known = ~np.isnan(self.logs)
        self.breaks = list(series.breaks)
        self.start = int(np.flatnonzero(self.known)[LEAST_HISTORY])
        self.judged = judged(self.known, self.start, self.breaks)
        self.clean = np.zeros(PAD + len(self.logs))
        self.clean[PAD:] = np.where(self.known, self.logs, 0.0)
        self.clean[PAD : PAD + self.start] = tamed(self.logs[: self.start])
        self.bounded = self.clean.copy()
        self.sizes = {span: Sizes(len(self.logs), span) for span in SPANS}
        self.alarms: list[tuple[int, Kind]] = []

    def anomalies(self) -> Iterator[Anomaly]:
        """Return the alarms, by their days."""
        day = 0
        while day < len(self.logs):
            ends = [b + WEEK for b in self.breaks if b + WEEK > day]
            end = min([day + BLOCK, len(self.logs), *ends])
            view = View(self, day, end)
            found = next(view.findings(), None)
            if found is None:
                if end in ends:
                    self.rebase_break(end)
                day = end
                continue
            at, finding = found
            day = at + 1
            if (alarm := self.alarm(at, finding)) is not None:
                yield alarm
            self.learn(at, finding, view)

    def chance(self, day: int, span: int) -> float:
        """Return what a test on *day* may use of the budget."""
        recent = sum(day - at <= HISTORY for at, _ in self.alarms)
        return self.rules.chance * SHARE[span] / (1 + STRICTER * recent)

    def alarm(self, day: int, finding: Finding) -> Anomaly | None:
        """Return what is told of a finding, unless it belongs to an alarm before."""
        if not finding.told:
            return None
        kind = kind_of(finding)
        single = finding.span == 1
        same = {kind, Kind.RISE if finding.up else Kind.FALL} if single else {kind}
        again = any(day - at <= COOL_DOWN and k in same for at, k in self.alarms)
        self.alarms.append((day, kind))
        if again:
            return None
        since = day - finding.span + 1
        value = float(np.nanmean(self.values[since : day + 1]))
        positive = not self.units.signed and finding.expected > 0
        return Anomaly(
            day=date.fromordinal(int(self.days[day])),
            since=date.fromordinal(int(self.days[since])),
            kind=kind,
            value=value,
            expected=finding.expected,
            low=min(finding.low, finding.expected),
            high=max(finding.high, finding.expected),
            difference=value - finding.expected,
            ratio=value / finding.expected if positive else None,
            confidence=1 - 2 * NORMAL.cdf(-finding.beyond),
            history=int(np.count_nonzero(self.known[max(0, since - HISTORY) : since])),
        )

    def learn(self, day: int, finding: Finding, view: View) -> None:
        """Keep an unusual day out of the history, or move that to a new level."""
        if finding.span == 1:
            self.clean[PAD + day] = view.forecast[day - view.start]
            return
        since = day - finding.span + 1
        self.rebase(since, day + 1, finding.excess)

    def rebase(self, since: int, end: int, excess: float) -> None:
        """Move what was before *since* by *excess*; the days from it count in full."""
        self.clean[PAD : PAD + since] += excess
        self.bounded[PAD : PAD + since] += excess
        new, known = slice(PAD + since, PAD + end), self.known[since:end]
        self.clean[new] = np.where(known, self.logs[since:end], self.clean[new])
        self.bounded[new] = self.clean[new]

    def rebase_break(self, end: int) -> None:
        """Bring what was before a new definition to the level of the week since."""
        since = end - WEEK
        known = self.known[since:end]
        if known.any() and since > 0:
            index, length = self.place(since)
            weights = filters(WEEK).forecast[index, length]
            ahead = weights @ self.clean[PAD + since - HISTORY : PAD + since]
            excess = median((self.logs[since:end] - ahead)[known])
            self.rebase(since, end, excess)

    def place(self, day: int) -> tuple[int, int]:
        """Return the level's index and the length of the history before *day*."""
        recent = self.clean[PAD + max(0, day - LEVEL_DAYS) : PAD + day]
        level = self.units.back(recent.mean()) if day else np.zeros(1)
        if self.units.signed:
            level = np.array(MANY)
        return int(level_index(np.atleast_1d(level))[0]), min(day, HISTORY)

    def fill(self, start: int, end: int) -> None:
        """Put what is expected in place of what is missing."""
        weights = filters(1).forecast
        for gap in np.flatnonzero(~self.known[start:end]) + start:
            if gap >= self.start:
                index, length = self.place(int(gap))
                past = self.clean[PAD + gap - HISTORY : PAD + gap]
                self.clean[PAD + gap] = weights[index, length, 0] @ past


def kind_of(finding: Finding) -> Kind:
    """Return what happened."""
    if finding.span == 1:
        return Kind.SPIKE if finding.up else Kind.DROP
    return Kind.RISE if finding.up else Kind.FALL


def tamed(logs: Floats) -> Floats:
    """Return the first days, whose extremes nothing can judge yet, brought nearer."""
    unknown = np.isnan(logs)
    known = logs[~unknown]
    middle = median(known)
    reach = DAY_LIMIT * max(USUAL, 1.4826 * median(np.abs(known - middle)))
    found = np.where(unknown, middle, logs)
    tame: Floats = np.minimum(np.maximum(found, middle - reach), middle + reach)
    return tame


def judged(
    known: npt.NDArray[np.bool_], start: int, breaks: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Tell which days are judged."""
    sums = np.zeros(len(known) + 1, np.int64)
    np.cumsum(known, out=sums[1:])
    rows = np.arange(len(known))
    before = sums[rows] - sums[np.maximum(rows - HISTORY, 0)]
    recent = sums[rows] - sums[np.maximum(rows - RECENT, 0)]
    told: npt.NDArray[np.bool_]
    told = known & (before >= LEAST_HISTORY) & (recent >= LEAST_RECENT)
    told[:start] = False
    for place in breaks:
        told[place : place + WEEK] = False
    return told
