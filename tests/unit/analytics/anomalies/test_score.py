from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from nexus_actors import InvalidRequestError
from nexus_actors.analytics.anomalies import score
from nexus_actors.analytics.anomalies.novelty import seasonal
from scale import scaled


START = datetime(2026, 3, 2, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)


def times(rows: int, step: timedelta = FIVE_MINUTES) -> list[datetime]:
    return [START + i * step for i in range(rows)]


def server(rows: int = 4000, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a load with a season of a day, in per cent, every five minutes."""
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(rows) / 288)
    return 40 + 15 * day + rng.normal(0, 2, rows)


def messages(rows: int = 4000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return counts with heavy tails, every five minutes."""
    rng = np.random.default_rng(2)
    return np.floor(20 * rng.pareto(2, rows) + rng.poisson(10, rows))


@pytest.mark.parametrize(
    "step", [timedelta(minutes=1), timedelta(hours=1), timedelta(1), timedelta(7)]
)
def test_the_score_of_a_row_is_the_same_when_later_rows_are_cut_off(
    step: timedelta,
) -> None:
    values = server(500)
    values[[100, 101, 250]] = math.nan
    values[300] = 1000
    values[400:] += 80
    dates = [t + timedelta(days=3 * (i > 450)) for i, t in enumerate(times(500, step))]
    whole = score(dates, values)
    assert whole.max() > 0.9

    for end in (*scaled(range(0, 500, 13), full=range(500)), 301, 499):
        assert np.array_equal(score(dates[:end], values[:end]), whole[:end])


def test_rows_after_a_gap_of_a_day_are_not_held_against_themselves() -> None:
    seconds = np.arange(0.0, 400 * 300, 300)
    seconds[301:] += 86_400 - 300  # so that the last row before is a day before
    values = server(400)
    values[301] += 100

    assert seasonal(seconds, values)[301] > 90


def change(values: np.ndarray[Any, np.dtype[np.float64]], what: str) -> None:
    match what:
        case "spike":
            values[3000] += values.max() - values.min()
        case "level":
            values[3000:] += values.max() - values.min()
        case "stands still":
            values[3000:] = values[2999]
        case "stuck":  # for half an hour, then it goes on
            values[3000:3050] = values[2999]
        case "ramp":
            values[3000:] += np.minimum(np.arange(1000) / 300, 1) * 20
        case "between":  # two values, and for once one in the middle
            values[:] = np.arange(len(values)) // 100 % 2
            values[3000:3050] = 0.5
        case "out of time":  # an ordinary value, at night
            values[3000 - 3000 % 288 + 216] = 55


@pytest.mark.parametrize(
    "what",
    ["spike", "level", "stands still", "stuck", "ramp", "between", "out of time"],
)
def test_what_is_new_in_a_series_scores_highest_where_it_begins(what: str) -> None:
    values = server()
    change(values, what)

    scores = score(times(4000), values)

    highest = int(scores[500:].argmax()) + 500
    begin = 3000 - 3000 % 288 + 216 if what == "out of time" else 3000
    lasts = 300 if what == "ramp" else 150  # it rises for so long
    assert begin <= highest < begin + lasts
    assert scores[highest] > 0.7


def test_one_threshold_serves_quiet_and_wild_series() -> None:
    for values in (server(), server(seed=5), messages(), 1e9 * messages()):
        before = score(times(4000), values)
        assert np.mean(before[600:] > 0.8) < 0.002

        change(values, "spike")

        assert score(times(4000), values)[3000] > 0.8


def test_scores_do_not_depend_on_the_unit() -> None:
    values = server(800)

    assert score(times(800), values * 2.0**40) == pytest.approx(
        score(times(800), values)
    )


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [None] * 50, [3.0] * 100, [0.0] * 100, [math.nan] * 40 + [1.0] * 60],
    ids=["none", "one", "unknown", "constant", "zeros", "late"],
)
def test_where_nothing_happens_scores_are_0(values: list[float | None]) -> None:
    assert score(times(len(values)), values).tolist() == [0.0] * len(values)


@pytest.mark.parametrize("huge", [1e300, -1e308, 1e-300])
def test_scores_are_between_0_and_1_whatever_the_values(huge: float) -> None:
    values = [0.0, huge, huge / 3, None] * 30

    scores = score(times(120), values)

    assert np.all((scores >= 0) & (scores <= 1))
    assert scores[3::4].max() == 0  # what is unknown


def test_a_clock_that_is_set_back_by_an_hour_is_allowed_but_not_more() -> None:
    clock = [t.replace(tzinfo=None) for t in times(100)]
    clock[50:] = [t - timedelta(hours=1) for t in clock[50:]]
    assert len(score(clock, server(100))) == 100

    clock[70:] = [t - timedelta(hours=2) for t in clock[70:]]
    with pytest.raises(InvalidRequestError, match=r"row 70 .* comes after a later one"):
        score(clock, server(100))


@pytest.mark.parametrize(
    ("dates", "values", "message"),
    [
        ([START], [1, 2], "1 timestamps, but 2 values"),
        ([START, datetime(2026, 3, 3)], [1, 2], "all or none must have a time zone"),  # noqa: DTZ001 - the fault
        ([START, None], [1, 2], "timestamps: row 1 is None"),
        ([START], [math.inf], "values: row 0 is infinite"),
    ],
)
def test_what_is_no_series_is_refused(
    dates: list[Any], values: list[Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        score(dates, values)
