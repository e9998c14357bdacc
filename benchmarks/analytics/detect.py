"""Series of 90 days that one core looks through in a second for anomalies."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from statsmodels.tsa.seasonal import STL

from nexus_actors.analytics.anomalies import detect

from ..runner import Contestants, Line


UNIT = "series a second"
BETTER = "higher"
PEER = "STL + MAD (statsmodels)"
ROUNDS = 5
LINES = (Line(contestant="nexus-actors", peer=PEER, at_least=2),)

SERIES: Final = 1000
DAYS: Final = [date(2026, 1, 5) + timedelta(days=i) for i in range(90)]
WINDOW: Final = 28


def ours(counts: list[int]) -> object:
    """Judge each day by those before it, after two weeks."""
    return detect(DAYS, counts)


def stl_mad(counts: list[int]) -> object:
    """Judge the last day alone, by its residual among all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rest = STL(np.log1p(counts), period=7, robust=True).fit().resid
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest)))
    return abs(rest[-1]) > 3.5 * spread


def robust_z(counts: list[int]) -> object:
    """Judge each day by median and MAD of the four weeks before it: no weekdays."""
    series = pd.Series(counts, dtype=float)
    middle = series.shift().rolling(WINDOW).median()
    spread = 1.4826 * (series - middle).abs().shift().rolling(WINDOW).median()
    return (series - middle).abs() > 3.5 * spread


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All have the same series, one after the other."""
    rng = np.random.default_rng(7)
    number = max(3, round(SERIES * scale))
    level = np.exp(rng.uniform(1, 10, (number, 1))) * np.exp(
        rng.normal(0, 0.2, (number, 90))
    )
    series = rng.poisson(level).tolist()
    yield {
        "nexus-actors": partial(rate, ours, series),
        PEER: partial(rate, stl_mad, series),
        "robust z (pandas)": partial(rate, robust_z, series),
    }


def rate(judge: Callable[[list[int]], object], series: list[list[int]]) -> float:
    """Return how many series are judged in a second of one core's time."""
    started = time.process_time()
    for counts in series:
        judge(counts)
    return len(series) / (time.process_time() - started)
