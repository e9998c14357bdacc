"""How a post does, against earlier posts when they were as old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, SupportsFloat

import numpy as np

from nexus_actors.core.errors import InvalidRequestError

from .series import Floats, numbers, same_length


#: The age that a forecast is for, in hours.
FORECAST_H: Final = 168.0
#: Younger posts are not judged, and not called slow: counters lag behind.
YOUNGEST_H: Final = 1.0
YOUNGEST_SLOW_H: Final = 6.0
#: With fewer posts to compare, nothing is called fast or slow.
LEAST_POSTS: Final = 8
#: Deviations from the median, on the scale of logarithms.
FAST: Final = 2.5
SLOW: Final = -2.0
#: And so many times the median is fast at least.
FAST_TIMES: Final = 3.0
#: The scale is no smaller than this, and is drawn towards what is typical of posts as
#: if that had been seen on so many.
LEAST_SCALE: Final = 0.25
TYPICAL_SCALE: Final = 0.8
TYPICAL_POSTS: Final = 10
#: From median deviations to standard ones, of a normal law.
NORMAL: Final = 1.4826

#: Ages in hours, rising, and the counts that were read then.
Readings = tuple[Sequence[SupportsFloat | None], Sequence[SupportsFloat | None]]


class Pace(StrEnum):
    """What a post is called."""

    FAST = "fast"
    SLOW = "slow"
    USUAL = "usual"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """A post at its last reading, against others at that age.

    Attributes:
        pace: `UNKNOWN` if the post is younger than an hour, or fewer than 8 posts can
            be compared.
        age_h: The age at the last reading, in hours.
        count: What was read then.
        expected: The median of the others at that age; `None` without any.
        low: Nine of ten were above; `None` without any.
        high: Nine of ten were below.
        percentile: The share of the others that had less, between 0 and 1.
        deviation: How many deviations the post lies from *expected*.
        posts: How many could be compared.
        forecast: What is to be expected after a week, by the growth of the others from
            this age on; `None` for older posts, and where fewer than 8 can tell.
        forecast_low: Nine of ten would be above.
        forecast_high: Nine of ten would be below.
    """

    pace: Pace
    age_h: float
    count: float
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    percentile: float | None = None
    deviation: float | None = None
    posts: int = 0
    forecast: float | None = None
    forecast_low: float | None = None
    forecast_high: float | None = None


def velocity(
    post: Readings, others: Sequence[Readings], *, typical_scale: float = TYPICAL_SCALE
) -> Velocity:
    """Return how *post* does against *others* when they were as old.

    Args:
        post: Ages in hours and the counts that were read then, such as
            ``([1, 3, 6], [40, 180, 410])``.
        others: The same of earlier posts of the account, of one platform and format;
            20 to 50 are best.  Each is taken at the age of *post*, between its own
            readings; one that was not read at that age or later is left out.
        typical_scale: How far posts scatter on the scale of natural logarithms, for
            an account with few of them.

    Raises:
        InvalidRequestError: Ages do not rise, or a post has no reading.
    """
    if not typical_scale > 0:
        raise InvalidRequestError("typical_scale: more than 0 is needed")
    ages, counts = readings("post", post)
    if not len(ages):
        raise InvalidRequestError("post: no reading")
    age, count = float(ages[-1]), float(counts[-1])
    log = float(np.log1p(count))
    curves = [readings(f"others: post {i}", other) for i, other in enumerate(others)]
    reached = [curve for curve in curves if len(curve[0]) and curve[0][-1] >= age]
    if not reached:
        return Velocity(pace=Pace.UNKNOWN, age_h=age, count=count)
    found = np.array([at(age, curve) for curve in reached])
    middle = float(np.median(found))
    deviation = (log - middle) / scale_of(found - middle, typical_scale)
    low, high = np.expm1(np.quantile(found, [0.1, 0.9])).tolist()
    ahead = forecast(age, log, reached)
    return Velocity(
        pace=pace_of(age, deviation, log - middle, len(found)),
        age_h=age,
        count=count,
        expected=float(np.expm1(middle)),
        low=low,
        high=high,
        percentile=float(np.mean(found < log)),
        deviation=deviation,
        posts=len(found),
        forecast=ahead[1],
        forecast_low=ahead[0],
        forecast_high=ahead[2],
    )


def readings(name: str, post: Readings) -> tuple[Floats, Floats]:
    """Return ages, and counts that never fall, of what is known."""
    try:
        ages, counts = (numbers(column) for column in post)
        same_length(ages, counts)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{name}: {error.message}") from None
    known = ~(np.isnan(ages) | np.isnan(counts))
    ages, counts = ages[known], counts[known]
    if np.any(np.diff(ages, prepend=-1.0) <= 0) or np.any(ages < 0):
        raise InvalidRequestError(f"{name}: ages must rise, and not be negative")
    # platforms take back what was no person's; what once was there had its effect
    return ages, np.maximum.accumulate(np.maximum(counts, 0.0))


def at(age: float, curve: tuple[Floats, Floats]) -> float:
    """Return the logarithm of the count at *age*; a post begins with nothing."""
    ages, logs = (np.log1p(np.concatenate([[0.0], column])) for column in curve)
    return float(np.interp(np.log1p(age), ages, logs))


def scale_of(deviations: Floats, typical: float) -> float:
    """Return how far posts scatter, drawn towards *typical* where they are few."""
    own = NORMAL * float(np.median(np.abs(deviations)))
    share = len(deviations) / (len(deviations) + TYPICAL_POSTS)
    return max(LEAST_SCALE, share * own + (1 - share) * typical)


def pace_of(age: float, deviation: float, excess: float, posts: int) -> Pace:
    """Return what a post is called."""
    if age < YOUNGEST_H or posts < LEAST_POSTS:
        return Pace.UNKNOWN
    if deviation >= FAST and excess >= np.log(FAST_TIMES):
        return Pace.FAST
    if deviation <= SLOW and age >= YOUNGEST_SLOW_H:
        return Pace.SLOW
    return Pace.USUAL


def forecast(
    age: float, log: float, curves: Sequence[tuple[Floats, Floats]]
) -> tuple[float | None, float | None, float | None]:
    """Return what a week brings: low, expected, high."""
    whole = [curve for curve in curves if curve[0][-1] >= FORECAST_H]
    if not YOUNGEST_H <= age < FORECAST_H or len(whole) < LEAST_POSTS:
        return None, None, None
    growth = [at(FORECAST_H, curve) - at(age, curve) for curve in whole]
    low, middle, high = np.expm1(log + np.quantile(growth, [0.1, 0.5, 0.9])).tolist()
    return low, middle, high
