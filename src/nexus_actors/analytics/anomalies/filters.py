"""What a day is expected to be, from the days before it, as weights of these days.

The logarithms of a daily series are taken for a Gaussian process: a level that drifts,
a factor of each weekday, unrest that fades within days, and noise.  How large each is
stands here and is the same for all series; a series' own noise only scales the
result.  So the best forecast is a fixed weighted sum of the days before, and is worked
out once for all series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from .series import WEEK, Floats


#: How many days before a day are looked at.
HISTORY: Final = 56
#: How many days a change may have lasted when it is tested.
SPANS: Final = (1, 2, 3, 7)
#: The least level that is told apart; below it, nearly all days are 0.
LEAST_LEVEL: Final = 0.25
#: Levels are told apart by this factor, up to where counting noise does not matter.
LEVEL_STEP: Final = 2.0
LEVELS: Final = 14

#: Variances, on the scale of logarithms.
OVERDISPERSION: Final = 0.05
UNREST: Final = 0.03
FADING: Final = 0.5  # of the unrest, from a day to the next
WEEKDAY: Final = 0.04
DRIFT: Final = 0.0001  # in a day
UNKNOWN_LEVEL: Final = 25.0
#: Added to counts, so that 0 has a logarithm.
OFFSET: Final = 0.5


def noise(level: Floats | float) -> Floats | float:
    """Return the variance of ``log(count + OFFSET)`` about *level*, without unrest."""
    return (level + OVERDISPERSION * level**2) / (level + OFFSET) ** 2


@dataclass(frozen=True, slots=True)
class Filters:
    """The weights for all levels and lengths of history, for one span.

    Attributes:
        contrast: By level and length of history: the weights, oldest day first, of the
            history and of the *span* days, whose sum says how many deviations the days
            lie above what was expected of them.
        forecast: The same for the forecast of each of the days; weights of the
            history alone.
        variance: By level and length: that of the mean excess of the days.
    """

    contrast: Floats
    forecast: Floats
    variance: Floats


@cache
def filters(span: int) -> Filters:
    """Return the weights for changes that have lasted *span* days."""
    parts = [of_level(LEAST_LEVEL * LEVEL_STEP**i, span) for i in range(LEVELS)]
    return Filters(*(np.stack(part) for part in zip(*parts, strict=True)))


def of_level(level: float, span: int) -> tuple[Floats, Floats, Floats]:
    """Return contrast, forecast and variance for each length of history."""
    kernel = covariance(HISTORY + span, float(noise(level)))
    past, ahead = slice(HISTORY), slice(HISTORY, HISTORY + span)
    lengths = np.arange(HISTORY + 1)
    # days that a shorter history lacks stand alone, and so weigh nothing
    known = np.arange(HISTORY) >= HISTORY - lengths[:, None]
    both = known[:, :, None] & known[:, None, :]
    inner = np.where(both, kernel[past, past], np.eye(HISTORY))
    cross = np.where(known[:, :, None], kernel[past, ahead], 0.0)
    weights = np.linalg.solve(inner, cross)
    remaining = kernel[ahead, ahead] - np.swapaxes(cross, 1, 2) @ weights
    pull = np.linalg.solve(remaining, np.ones((len(lengths), span, 1)))[:, :, 0]
    precision = pull.sum(axis=1)
    pull /= np.sqrt(precision)[:, None]
    before = -np.einsum("nhs,ns->nh", weights, pull)
    contrast = np.concatenate([before, pull], axis=1)
    return contrast, np.swapaxes(weights, 1, 2), 1 / precision


def covariance(days: int, own_noise: float) -> Floats:
    """Return how the logarithms of *days* successive days vary together."""
    index = np.arange(days)
    apart = np.abs(index[:, None] - index)
    kernel: Floats = UNKNOWN_LEVEL + DRIFT * np.minimum(index[:, None], index)
    kernel += WEEKDAY * (apart % WEEK == 0)
    kernel += UNREST * FADING**apart
    kernel += own_noise * (apart == 0)
    return kernel


def level_index(level: Floats) -> npt.NDArray[np.intp]:
    """Return the place of each level in `Filters`."""
    steps = np.log(np.maximum(level, LEAST_LEVEL) / LEAST_LEVEL) / np.log(LEVEL_STEP)
    places: npt.NDArray[np.intp] = np.rint(steps).astype(np.intp)
    return np.minimum(places, LEVELS - 1)
