"""Chances of counts that scatter more than Poisson's, and their quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final


NORMAL: Final = NormalDist()

#: No chance is told smaller: what lies beyond is a matter of the model alone.
LEAST: Final = 1e-15


def at_least(value: float, mean: float, spread: float) -> float:
    """Return the chance of *value* or more.

    The law is negative binomial, carried on to values that are not whole.

    Args:
        value: What was counted.
        mean: What is expected.
        spread: Variance beyond Poisson's, relative to the square of *mean*.
    """
    if value <= 0:
        return 1.0
    size = 1 / spread
    return max(LEAST, beta_share(value, size, mean / (mean + size)))


def at_most(value: float, mean: float, spread: float) -> float:
    """Return the chance of *value* or less; the arguments are those of `at_least`."""
    size = 1 / spread
    return max(LEAST, beta_share(size, max(value, 0) + 1, size / (mean + size)))


def beta_share(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function, by its continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
    )
    return min(1.0, front * fraction(a, b, x) / a)


def fraction(a: float, b: float, x: float, *, rounds: int = 300) -> float:
    """Return the continued fraction of `beta_share`, by Lentz's method."""
    tiny = 1e-300
    upper, lower = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    value = lower
    for m in range(1, rounds):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower = 1 / ((1 + term * lower) or tiny)
            upper = (1 + term / upper) or tiny
            value *= upper * lower
        if abs(upper * lower - 1) < 1e-10:  # noqa: PLR2004 - far below any cut-off
            break
    return value


def deviation(chance: float) -> float:
    """Return how many deviations of a normal law leave *chance* beyond them."""
    return -NORMAL.inv_cdf(min(max(chance, LEAST), 1 - LEAST))


def usual_range(mean: float, spread: float, chance: float) -> tuple[float, float]:
    """Return the least and the largest value that is not rarer than *chance*.

    Rare is a value if so much or more, or so little or less, has no more than *chance*.
    """
    top = mean + 1
    while at_least(top, mean, spread) > chance:
        top *= 2
    return (
        turning_point(lambda value: at_most(value, mean, spread) > chance, mean),
        turning_point(lambda value: at_least(value, mean, spread) <= chance, top),
    )


def turning_point(holds: Callable[[float], bool], high: float) -> float:
    """Return from where on *holds* does, between 0 and *high*."""
    low = 0.0
    if holds(low):
        return low
    while high - low > 1e-4 * high:  # less, no reader can tell apart
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
