from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nexus_actors import InvalidRequestError
from nexus_actors.analytics.anomalies import Pace, velocity


AGES = [1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 168.0]


def curve(reach: float, until: float = 168) -> tuple[list[float], list[float]]:
    """Return a post that has *reach* after a week, read up to an age."""
    ages = [age for age in AGES if age <= until]
    return ages, [round(reach * (age / 168) ** 0.4) for age in ages]


def others(count: int = 30) -> list[tuple[list[float], list[float]]]:
    rng = np.random.default_rng(3)
    return [curve(1000 * factor) for factor in np.exp(rng.normal(0, 0.4, count))]


def told(*figures: float | None) -> list[float]:
    """Return figures, of which none may be missing."""
    found = [figure for figure in figures if figure is not None]
    assert len(found) == len(figures)
    return found


@pytest.mark.parametrize(
    ("reach", "until", "pace"),
    [
        (1000, 24, Pace.USUAL),
        (1800, 24, Pace.USUAL),
        (8000, 6, Pace.FAST),
        (8000, 24, Pace.FAST),
        (150, 24, Pace.SLOW),
        (150, 3, Pace.USUAL),  # too young to be called slow
    ],
)
def test_a_post_is_judged_against_others_of_its_age(
    reach: float, until: float, pace: Pace
) -> None:
    found = velocity(curve(reach, until), others())

    assert (found.pace, found.age_h, found.posts) == (pace, until, 30)
    assert found.expected == pytest.approx(1000 * (until / 168) ** 0.4, rel=0.2)
    low, middle, high, deviation = told(
        found.low, found.expected, found.high, found.deviation
    )
    assert low < middle < high
    assert (deviation > 0) == (found.count > middle)


def test_the_forecast_for_a_week_grows_as_the_others_did() -> None:
    found = velocity(curve(5000, 24), others())

    assert found.forecast == pytest.approx(5000, rel=0.05)
    low, middle, high = told(found.forecast_low, found.forecast, found.forecast_high)
    assert low <= middle <= high
    assert velocity(curve(5000), others()).forecast is None  # is a week old


def test_posts_that_were_not_read_at_that_age_are_not_extrapolated() -> None:
    young = [curve(1000, 12) for _ in range(20)]

    found = velocity(curve(9000, 24), [*young, *others(5)])

    assert (found.posts, found.pace, found.forecast) == (5, Pace.UNKNOWN, None)
    assert found.percentile == 1
    assert velocity(curve(9000, 24), young).expected is None


def test_ages_between_readings_are_interpolated() -> None:
    found = velocity(([9.0], [4000]), others())

    assert found.expected == pytest.approx(1000 * (9 / 168) ** 0.4, rel=0.2)


def test_counts_that_fall_and_unknown_ones_do_no_harm() -> None:
    ages, counts = curve(1000)
    counts[5] = counts[4] - 100
    told: list[float | None] = [*counts]
    told[2] = None

    found = velocity((ages, told), others())

    assert found.count == 1000


def test_the_first_hour_is_not_judged() -> None:
    assert velocity(([0.5], [10**6]), others()).pace is Pace.UNKNOWN


@pytest.mark.parametrize(
    ("post", "message"),
    [
        (([], []), "post: no reading"),
        (([1], [math.nan]), "post: no reading"),
        (([2, 1], [1, 2]), "post: ages must rise"),
        (([-1], [1]), "post: ages must rise, and not be negative"),
        (([1, 2], [1]), "post: there are 2 timestamps, but 1 values"),
        (([1], ["many"]), "post: values: row 0 is 'many', not a number"),
    ],
)
def test_what_are_no_readings_is_refused(post: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        velocity(post, others())


def test_a_wrong_post_of_the_others_is_named() -> None:
    with pytest.raises(InvalidRequestError, match="others: post 30: ages must rise"):
        velocity(curve(1), [*others(), ([2, 2], [1, 1])])
