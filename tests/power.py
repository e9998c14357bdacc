"""Simulated days, and who finds what was done to them.

``python tests/power.py [SERIES]`` prints the tables of the page on anomalies.

The detector is measured against an oracle: it knows that counts are negative binomial,
how they scatter and how unrest fades, and estimates the level and the weekdays from the
same history.  Its limit is set so that it gives as many false alarms as the detector.
The clairvoyant knows the level, the weekdays and the unrest of the day before, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from nexus_actors.analytics.anomalies import detect


Floats = npt.NDArray[np.float64]

#: What the simulated days are like: negative binomial counts about a level with factors
#: of weekdays and unrest, an AR(1) process on the logarithmic scale.
SIZE: Final = 20.0
FADING: Final = 0.5
UNREST: Final = 0.15  # of its innovations
WEEKDAYS: Final = np.array([0.9, 0.9, 1.0, 1.0, 1.05, 1.2, 1.35])
LEVELS: Final = (5, 200, 20_000)
HISTORY: Final = 56
#: Days after the history on which false alarms are counted.
AFTER: Final = 28
#: Days on which a lasting change may be found.
LASTING: Final = 3
#: What the oracle tests: this many days together.
SPANS: Final = (1, 2, 3)
BUDGET: Final = 2.0

START: Final = date(2026, 1, 5)
DAYS: Final = [START + timedelta(days=i) for i in range(HISTORY + AFTER)]


@dataclass(frozen=True)
class Change:
    """What is done to the first day after the history, or from it on."""

    factor: float
    lasting: bool = False

    def __str__(self) -> str:
        return f"×{self.factor:g} {'from a day on' if self.lasting else 'on one day'}"

    @property
    def days(self) -> int:
        return LASTING if self.lasting else 1


CHANGES: Final = (
    *(Change(factor) for factor in (2, 3, 0.5, 0.2)),
    *(Change(factor, lasting=True) for factor in (2, 1.5, 0.5)),
)


@dataclass(frozen=True)
class Days:
    """Series of days: what was counted, and what only the clairvoyant knows."""

    level: float
    counts: Floats
    foreseen: Floats  # the mean, given level, weekday and the unrest of the day before

    def until(self, days: int) -> Days:
        return Days(self.level, self.counts[:, :days], self.foreseen[:, :days])


def simulate(
    rng: np.random.Generator,
    series: int,
    level: float,
    days: int,
    change: Change | None = None,
    *,
    size: float = SIZE,
    unrest: float = UNREST,
    fading: float = FADING,
) -> Days:
    """Return simulated series, with *change* after the history."""
    noise = rng.normal(0, unrest, (series, days))
    state, foreseen = np.empty_like(noise), np.zeros_like(noise)
    state[:, 0] = noise[:, 0] / np.sqrt(1 - fading**2)
    for day in range(1, days):
        foreseen[:, day] = fading * state[:, day - 1]
        state[:, day] = foreseen[:, day] + noise[:, day]
    first = rng.integers(0, 7, (series, 1))
    usual = level * (WEEKDAYS / WEEKDAYS.mean())[(first + np.arange(days)) % 7]
    factor = np.ones(days)
    if change is not None:
        end = days if change.lasting else HISTORY + 1
        factor[HISTORY:end] = change.factor
    mean = usual * np.exp(state) * factor
    counts = rng.poisson(mean * rng.gamma(size, 1 / size, mean.shape)).astype(float)
    return Days(level, counts, usual * np.exp(foreseen + unrest**2 / 2))


#: Returns how far each day after the history lies out, with its sign: series × days.
Method = Callable[[Days], Floats]


def far_out(count: Floats, mean: Floats, spread: float, size: float) -> Floats:
    """Return the deviations of *count*: negative binomial, with an uncertain mean."""
    own = 1 / size
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    above, below = np.zeros_like(count), np.zeros_like(count)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        unsure = max(spread - own, 0.0)
        about = mean * np.exp(node * unsure**0.5 - unsure / 2)
        chance = size / (size + about)
        above += weight * stats.nbinom.sf(count - 1, size, chance)
        below += weight * stats.nbinom.cdf(count, size, chance)
    up, down = (stats.norm.isf(np.clip(p, 1e-15, 1 - 1e-15)) for p in (above, below))
    signed: Floats = np.where(up > down, up, -down)
    return signed


@cache
def best_weights(level: float, span: int, *, raw: bool) -> tuple[Floats, float, Floats]:
    """Return the forecasts' weights of the history, their sum's spread, each one's.

    They are those of generalised least squares, with a free level for each weekday.
    *raw* ones are of counts, others of their logarithms.
    """
    index = np.arange(HISTORY + span)
    unrest = UNREST**2 / (1 - FADING**2)
    own = 1 / SIZE + 1 / level
    if not raw:
        own *= level**2 / (level + 0.5) ** 2
    kernel = unrest * FADING ** np.abs(index[:, None] - index) + own * np.eye(
        len(index)
    )
    design = np.eye(7)[index % 7]
    past, ahead = slice(HISTORY), slice(HISTORY, None)
    inverse = np.linalg.inv(kernel[past, past])
    normal = np.linalg.inv(design[past].T @ inverse @ design[past])
    fit = normal @ design[past].T @ inverse
    pull = kernel[ahead, past] @ inverse
    weights = design[ahead] @ fit + pull @ (np.eye(HISTORY) - design[past] @ fit)
    rest = design[ahead] - pull @ design[past]
    error = kernel[ahead, ahead] - pull @ kernel[past, ahead] + rest @ normal @ rest.T
    each = np.diag(error).copy()
    error += np.eye(span) * (1 / SIZE - own)  # counting is not of the mean
    return weights, float(error.mean()), each


def oracle(days: Days, *, raw: bool) -> Floats:
    """Test one day, and the last days together; return the strongest."""
    found = []
    for span in SPANS:
        best = best_weights(days.level, span, raw=raw)
        ends = range(HISTORY, days.counts.shape[1])
        found.append(np.stack([at_end(days, end, best, raw=raw) for end in ends], 1))
    return strongest(np.stack(found))


def at_end(
    days: Days, end: int, best: tuple[Floats, float, Floats], *, raw: bool
) -> Floats:
    """Return how far the days up to *end* lie out, as many as the weights are for."""
    weights, spread, each = best
    span = len(weights)
    first = end - span + 1
    if first < HISTORY:  # a change that began before is none that is asked for
        return np.zeros(len(days.counts))
    past = days.counts[:, first - HISTORY : first]
    if raw:
        mean = past @ weights.T
    else:
        mean = np.exp(np.log(past + 0.5) @ weights.T + each / 2) - 0.5
    total = days.counts[:, first : end + 1].sum(1)
    return far_out(total, np.maximum(mean, 0.05).sum(1), spread, SIZE * span)


def clairvoyant(days: Days) -> Floats:
    """Test one day and several, with all that can be known before the day."""
    found = []
    for span in SPANS:
        kernel = np.ones(span)
        sums = [
            np.apply_along_axis(np.convolve, 1, part[:, HISTORY - span + 1 :], kernel)[
                :, span - 1 : part.shape[1] - HISTORY + span - 1
            ]
            for part in (days.counts, days.foreseen)
        ]
        deviates = far_out(sums[0], sums[1], (1 / SIZE + UNREST**2) / span, SIZE * span)
        deviates[:, : span - 1] = 0
        found.append(deviates)
    return strongest(np.stack(found))


def strongest(found: Floats) -> Floats:
    """Return, of several tests of the same days, those that lie out furthest."""
    at = np.abs(found).argmax(axis=0)
    furthest: Floats = np.take_along_axis(found, at[None], axis=0)[0]
    return furthest


def robust_z(days: Days, *, window: int = 28) -> Floats:
    """Median and MAD of the last four weeks of counts."""
    views = np.lib.stride_tricks.sliding_window_view(days.counts, window, axis=1)
    past = views[:, HISTORY - window : days.counts.shape[1] - window]
    middle = np.median(past, axis=2)
    mad = np.median(np.abs(past - middle[:, :, None]), axis=2)
    return (days.counts[:, HISTORY:] - middle) / np.maximum(1.4826 * mad, 0.5)


def ewma(days: Days, *, weight: float = 0.2) -> Floats:
    """Exponentially weighted mean and variance of the counts."""
    counts = days.counts
    mean, variance = counts[:, 0].copy(), counts[:, :14].var(axis=1)
    found = np.empty_like(counts)
    for day in range(counts.shape[1]):
        apart = counts[:, day] - mean
        found[:, day] = apart / np.maximum(np.sqrt(variance), 0.5)
        mean += weight * apart
        variance = (1 - weight) * (variance + weight * apart**2)
    return found[:, HISTORY:]


def stl_mad(days: Days) -> Floats:
    """The newest day's residual of robust STL (statsmodels) on logarithms, over MAD."""
    from statsmodels.tsa.seasonal import STL

    logs = np.log1p(days.counts)
    found = np.zeros((len(logs), logs.shape[1] - HISTORY))
    for place, end in enumerate(range(HISTORY, logs.shape[1])):
        for row, series in enumerate(logs):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                window = series[end - HISTORY : end + 1]
                rest = STL(window, period=7, robust=True).fit().resid
            mad = 1.4826 * np.median(np.abs(rest - np.median(rest)))
            found[row, place] = rest[-1] / max(mad, 1e-9)
    return found


ORACLES: Final[dict[str, Method]] = {
    "oracle on counts": lambda days: oracle(days, raw=True),
    "oracle on logarithms": lambda days: oracle(days, raw=False),
}
PEERS: Final[dict[str, Method]] = {
    "robust z": robust_z,
    "EWMA": ewma,
    "STL + MAD": stl_mad,
}


def false_alarms(days: Days) -> int:
    """Return how many alarms the detector gives after the history."""
    dates = DAYS[: days.counts.shape[1]]
    found = (detect(dates, row, false_alarms=BUDGET) for row in days.counts)
    return sum(a.day >= DAYS[HISTORY] for alarms in found for a in alarms)


def detected(days: Days, change: Change) -> npt.NDArray[np.bool_]:
    """Tell in which series the detector finds *change*, to the right side."""
    end = HISTORY + change.days
    found = [
        any(
            a.day >= DAYS[HISTORY] and (a.difference > 0) == (change.factor > 1)
            for a in detect(DAYS[:end], row[:end], false_alarms=BUDGET)
        )
        for row in days.counts
    ]
    return np.array(found)


def beyond(
    method: Method, days: Days, change: Change, limit: float
) -> npt.NDArray[np.bool_]:
    """Tell in which series *method* finds *change*, to the right side."""
    found = method(days.until(HISTORY + change.days))
    sign = 1 if change.factor > 1 else -1
    return np.asarray((found * sign >= limit).any(axis=1))


@dataclass(frozen=True)
class Calm:
    """Days to which nothing was done, and the rate of the detector's false alarms."""

    days: Days
    alarms: int

    @property
    def rate(self) -> float:
        """Of a thousand days of a series."""
        return 1000 * self.alarms / (len(self.days.counts) * AFTER)

    def limit(self, method: Method, *, series: int | None = None) -> float:
        """Return the limit at which *method* gives as many false alarms."""
        days = Days(
            self.days.level, self.days.counts[:series], self.days.foreseen[:series]
        )
        found = np.abs(method(days))
        return float(np.quantile(found, 1 - max(self.rate, 0.1) / 1000))


def calm(level: float, series: int) -> Calm:
    """Return undisturbed days of *level*."""
    rng = np.random.default_rng([1, round(level)])
    days = simulate(rng, series, level, HISTORY + AFTER)
    return Calm(days, false_alarms(days))


def net(level: float, series: int) -> int:
    """Return the false alarms on differences of two series, each of *level*."""
    rng = np.random.default_rng([3, round(level)])
    gained, lost = (simulate(rng, series, level, HISTORY + AFTER) for _ in range(2))
    counts = gained.counts - lost.counts
    return false_alarms(Days(level, counts, np.zeros_like(counts)))


def disturbed(level: float, series: int, change: Change) -> Days:
    """Return days of *level* with *change*."""
    seed = [2, round(level), CHANGES.index(change)]
    rng = np.random.default_rng(seed)
    return simulate(rng, series, level, HISTORY + change.days, change)


def rows(series: int) -> Iterator[Sequence[str]]:
    """Return the table of what is found: a line for each level and change."""
    for level in LEVELS:
        still = calm(level, series)
        few = max(5, series // 10)  # STL takes its time
        methods = {**ORACLES, "clairvoyant": clairvoyant, **PEERS}
        limits = {
            name: still.limit(method, series=few if method is stl_mad else None)
            for name, method in methods.items()
        }
        yield [f"**{level:,}**", f"{still.rate:.2f} false alarms", *[""] * 6]
        for change in CHANGES:
            days = disturbed(level, series, change)
            shares = {
                name: beyond(method, days, change, limits[name]).mean()
                for name, method in methods.items()
            }
            best = max(shares.pop(name) for name in ORACLES)
            found = detected(days, change).mean()
            yield [
                "",
                str(change),
                *(f"{s:.2f}" for s in (found, best, *shares.values())),
            ]


def textbook(series: int) -> Iterator[Sequence[str]]:
    """Return the false alarms of the peers at the limit of the textbooks, 3.5."""
    for level in LEVELS:
        days = calm(level, series).days
        few = Days(level, days.counts[: max(5, series // 10)], days.foreseen)
        rates = [
            1000
            * float((np.abs(method(few if method is stl_mad else days)) > 3.5).mean())
            for method in PEERS.values()
        ]
        yield [
            f"{level:,}",
            f"{calm(level, series).rate:.2f}",
            *(f"{r:.0f}" for r in rates),
        ]


#: Series of another kind than the filters were made for.
OTHERS: Final[dict[str, dict[str, Any]]] = {
    "calm: r 200, sigma 0.05": {"size": 200.0, "unrest": 0.05},
    "no memory: phi 0": {"fading": 0.0},
    "long memory: phi 0.8": {"fading": 0.8},
    "scattered: r 5": {"size": 5.0},
    "scattered: r 5, sigma 0.3": {"size": 5.0, "unrest": 0.3},
    "wild: r 5, sigma 0.6": {"size": 5.0, "unrest": 0.6},
}


def otherwise(series: int) -> Iterator[Sequence[str]]:
    """Return the false alarms in series of other kinds."""
    for name, kind in OTHERS.items():
        rates = []
        for level in LEVELS:
            rng = np.random.default_rng([3, level])
            days = simulate(rng, series, level, HISTORY + AFTER, **kind)
            rates.append(Calm(days, false_alarms(days)).rate)
        yield [name, *(f"{rate:.1f}" for rate in rates)]


def table(head: Sequence[str], lines: Iterator[Sequence[str]]) -> str:
    """Return a Markdown table."""
    told = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in told)


def main(series: int) -> None:
    """Print all tables."""
    names = ("`detect`", "oracle", "clairvoyant", *PEERS)
    print(table(["level", "change", *names], rows(series)), end="\n\n")  # noqa: T201
    print(table(["level", "`detect`", *PEERS], textbook(series)), end="\n\n")  # noqa: T201
    head = ["series", *(f"level {level:,}" for level in LEVELS)]
    print(table(head, otherwise(series)))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
