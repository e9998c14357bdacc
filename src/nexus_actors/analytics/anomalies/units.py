"""Figures of any size, and what the filters take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .filters import OFFSET
from .scale import MEAN_SIZE
from .series import Floats, median


#: The unit is taken from so many days.
YOUNG: Final = 14
#: Amounts are counted in units of which a usual day has about so many; where it has
#: fewer, a count's own scatter matters.
MANY: Final = 1e6
#: The deviation of a usual day on the scale of logarithms; differences get the same.
USUAL: Final = 0.3


@dataclass(frozen=True, slots=True)
class Units:
    """How figures are turned into what the filters take, and back."""

    signed: bool
    centre: float
    unit: float

    @classmethod
    def of(cls, values: Floats) -> Units:
        """Return those of a series, by its sign and its first two weeks."""
        known = values[~np.isnan(values)]
        young = known[:YOUNG]
        if known.min() < 0:
            centre = median(young)
            size = float(np.mean(np.abs(young - centre))) / MEAN_SIZE
            return cls(True, centre, size or abs(centre) or 1.0)
        usual = median(young) or float(young.mean())
        counts = usual <= MANY and not np.any(known % 1)
        return cls(False, 0.0, 1.0 if counts or not usual else usual / MANY)

    def logs(self, values: Floats) -> Floats:
        """Return the scale on which changes are added."""
        if self.signed:
            return (values - self.centre) / self.unit * USUAL
        return np.log(values / self.unit + OFFSET)

    def back(self, logs: Floats | float) -> Floats:
        """Return the figures, in units, of *logs*."""
        if self.signed:
            return np.asarray(logs)
        return np.exp(logs) - OFFSET
