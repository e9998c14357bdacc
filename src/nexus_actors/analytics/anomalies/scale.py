"""How far a series scatters, against what the filters take for usual."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from .filters import HISTORY
from .series import WEEK, Floats


#: A day counts for no more deviations than this.
DAY_LIMIT: Final = 3.0
#: On so many days it was seen that a series like others scatters as they do.
TYPICAL_WEIGHT: Final = 60.0
#: It is like others if the logarithms of their variances differ by no more.
LIKENESS: Final = 0.6
#: All series are like others on so many days.
FEW: Final = 5.0
#: The mean size of a normal deviate.
MEAN_SIZE: Final = 0.798


class Sizes:
    """How large the deviates of one span have been: a series' own scale."""

    def __init__(self, days: int, span: int) -> None:
        self.span = span
        self.sums = np.zeros((3, days + 1))  # running: of size, of days, of square
        self.freedom = np.zeros(days)
        self.each = np.zeros(days)  # of each day: its size

    def add(
        self, start: int, deviates: Floats, typical: Floats | float, weight: Floats
    ) -> Floats:
        """Take in the days from *start* on; return the scale before each of them.

        Where a series' own scale is about *typical*, it is drawn towards that, as if
        it were seen on *weight* days.
        """
        end = start + len(deviates)
        rows = np.arange(start, end)
        known = np.isfinite(deviates) & (rows >= WEEK)
        size = np.where(known, np.abs(deviates), 0.0)
        self.each[start:end] = size
        self.extend(0, start, size)
        self.extend(1, start, known)
        last = np.maximum(rows - self.span + 1, 0)
        first = np.maximum(last - HISTORY, 0)
        summed, days = (self.sums[:2, last] - self.sums[:2, first]) / self.span
        mean = (summed + FEW * MEAN_SIZE * typical) / (days + FEW)
        own = mean / MEAN_SIZE
        limit = DAY_LIMIT * np.maximum(1.0, own)
        self.extend(2, start, np.minimum(size, limit) ** 2)
        unlike = np.log(own / typical) * 2 / LIKENESS
        weight = weight * np.exp(-(unlike**2) / 2) + FEW
        self.freedom[start:end] = days + weight
        squares = (self.sums[2, last] - self.sums[2, first]) / self.span
        scale: Floats = np.sqrt((squares + weight * typical**2) / (days + weight))
        return scale

    def largest(self, day: int) -> float:
        """Return how large the deviates before *day* have been at most."""
        last = max(0, day - self.span + 1)
        return float(self.each[max(0, last - HISTORY) : last].max(initial=0.0))

    def extend(self, row: int, start: int, values: npt.NDArray[np.generic]) -> None:
        """Continue a running sum."""
        end = start + len(values)
        new = self.sums[row, start + 1 : end + 1]
        np.cumsum(values, out=new)
        new += self.sums[row, start]
