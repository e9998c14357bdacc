from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_actors import InvalidRequestError
from nexus_actors.analytics.anomalies import Anomaly, Kind, detect
from power import simulate


START = date(2026, 3, 2)
LENGTH = 84


def days(count: int) -> list[date]:
    return [START + timedelta(days=i) for i in range(count)]


def usual(level: float = 200, seed: int = 4) -> list[float]:
    """Return twelve weeks in which nothing is found."""
    counts = simulate(np.random.default_rng(seed), 1, level, LENGTH).counts[0]
    assert detect(days(LENGTH), counts) == []
    return [float(count) for count in counts]


def times(
    values: Sequence[float], factor: float, since: int, until: int
) -> list[float]:
    return [
        round(v * factor) if since <= i < until else v for i, v in enumerate(values)
    ]


@pytest.mark.parametrize("level", [200, 20_000])
@pytest.mark.parametrize(("factor", "kind"), [(4, Kind.SPIKE), (0.1, Kind.DROP)])
def test_one_unusual_day_is_found_once_and_told_with_what_was_expected(
    level: int, factor: float, kind: Kind
) -> None:
    values = times(usual(level), factor, 70, 71)

    [found] = detect(days(LENGTH), values)

    assert (found.day, found.since, found.kind) == (days(71)[-1], days(71)[-1], kind)
    assert found.value == values[70]
    assert found.expected == pytest.approx(level, rel=0.5)
    assert found.low < found.expected < found.high
    assert not found.low <= found.value <= found.high
    assert found.difference == found.value - found.expected
    assert found.ratio == pytest.approx(found.value / found.expected)
    assert 0.999 < found.confidence <= 1
    assert found.history == 56


@pytest.mark.parametrize(("factor", "kind"), [(3, Kind.RISE), (0.25, Kind.FALL)])
def test_a_lasting_change_is_told_from_its_first_day_and_then_is_the_usual(
    factor: float, kind: Kind
) -> None:
    values = times(usual(), factor, 60, LENGTH)

    found = detect(days(LENGTH), values)

    changes = [anomaly for anomaly in found if anomaly.kind is kind]
    assert [change.since for change in changes] == [days(61)[-1]]
    assert changes[0].day <= days(63)[-1]
    assert all(anomaly.day <= changes[0].day for anomaly in found)


def test_after_a_lasting_change_days_are_judged_at_the_new_level() -> None:
    values = times(times(usual(), 4, 60, LENGTH), 15, 65, 66)

    *_, spike = detect(days(LENGTH), values)

    assert (spike.day, spike.kind) == (days(66)[-1], Kind.SPIKE)
    assert spike.expected == pytest.approx(800, rel=0.3)


def test_a_few_views_are_no_spike_but_many_are() -> None:
    values = usual(level=5)

    assert detect(days(LENGTH), [*values[:-1], 11]) == []
    assert [a.kind for a in detect(days(LENGTH), [*values[:-1], 30])] == [Kind.SPIKE]


def test_a_day_is_judged_by_the_days_up_to_it_alone() -> None:
    values: list[float | None] = list(times(usual(), 5, 40, 41))
    values[60:] = [v * 3 for v in values[60:] if v is not None]
    values[50:53] = [None] * 3
    dates = [day + timedelta(days=90 * (i > 70)) for i, day in enumerate(days(LENGTH))]
    dates[75:] = [day + timedelta(days=2) for day in dates[75:]]
    whole = detect(dates, values)
    assert len(whole) >= 2

    for end in range(15, LENGTH):
        expected = [found for found in whole if found.day < dates[end]]
        assert detect(dates[:end], values[:end]) == expected


def test_missing_days_are_not_zeros() -> None:
    values: list[float | None] = list(usual())
    for gap in (30, 31, 32, 55, 61, 68, 75):
        values[gap] = None
    some = [(d, v) for d, v in zip(days(LENGTH), values, strict=True) if v is not None]

    assert detect(days(LENGTH), values) == []
    assert detect([day for day, _ in some], [v for _, v in some]) == []
    assert [a.kind for a in detect(days(LENGTH), [*values[:-1], 0])] == [Kind.DROP]


def test_a_new_definition_of_the_figure_is_no_anomaly() -> None:
    values = times(usual(), 2.5, 60, LENGTH)
    assert detect(days(LENGTH), values)

    known = detect(days(LENGTH), values, breaks=[days(61)[-1]])

    assert known == []


def test_what_was_before_a_new_definition_still_tells_of_weekdays_and_scatter() -> None:
    values = times(times(usual(), 2.5, 60, LENGTH), 4, 75, 76)

    [found] = detect(days(LENGTH), values, breaks=[days(61)[-1]])

    assert (found.day, found.history) == (days(76)[-1], 56)


def test_a_larger_budget_finds_more_and_small_changes_are_left_out() -> None:
    values = usual(level=20_000)
    values[70] *= 4

    assert detect(days(LENGTH), values, false_alarms=1e-9) == []
    assert [a.day for a in detect(days(LENGTH), values)] == [days(71)[-1]]
    assert detect(days(LENGTH), values, least_change=5) == []


def test_differences_may_be_negative() -> None:
    values = np.random.default_rng(2).normal(3, 20, LENGTH)
    values[70] = -300

    [found] = detect(days(LENGTH), values)

    assert (found.day, found.kind) == (days(71)[-1], Kind.DROP)
    assert (found.value, found.ratio) == (-300, None)
    assert -100 < found.low < found.expected < found.high < 100


@pytest.mark.parametrize("factor", [1e-9, 0.37, 1e12, 1e290])
def test_amounts_may_have_any_unit(factor: float) -> None:
    values = times(usual(level=20_000), 5, 70, 71)

    [found] = detect(days(LENGTH), [value * factor for value in values])

    assert found.day == days(71)[-1]
    assert found.expected / factor == pytest.approx(20_000, rel=0.5)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [5],
        [5] * 14,
        [0] * 80,
        [7] * 80,
        [None] * 80,
        [math.nan] * 79 + [5],
        [0] * 40 + [1] + [0] * 39,
        [3, 9] * 40,
        [1e300] * 80,
        [1e-300] * 80,
        [-5] * 80,
        [None, 4] * 40,
        list(range(100, 180)),
    ],
    ids=str,
)
def test_quiet_and_short_series_have_no_anomaly(values: list[float | None]) -> None:
    assert detect(days(len(values)), values) == []


def test_what_breaks_the_silence_is_found() -> None:
    [found] = detect(days(61), [0] * 60 + [50])

    assert (found.value, found.low) == (50, 0)
    assert found.high < 10


#: What a first post gets: most of it at once.
LAUNCH = [
    158,
    461,
    183,
    101,
    66,
    49,
    37,
    31,
    26,
    22,
    21,
    18,
    18,
    16,
    *[12] * 20,
    *[10] * 20,
]


@pytest.mark.parametrize(
    "scattered",
    [LAUNCH, np.exp(np.random.default_rng(3).normal(5, 1, 60)).round().tolist()],
    ids=["launch", "lognormal"],
)
def test_what_is_far_beyond_all_is_found_however_the_days_scatter(
    scattered: list[float],
) -> None:
    top = max(scattered)
    counts = [*scattered, 300 * top]

    [found] = detect(days(len(counts)), counts)[-1:]

    assert (found.kind, found.value) == (Kind.SPIKE, 300 * top)


@pytest.mark.parametrize(
    "as_given",
    [
        lambda day: day,
        lambda day: day.isoformat(),
        lambda day: datetime(day.year, day.month, day.day, 23, tzinfo=UTC),
        np.datetime64,
    ],
)
def test_days_may_be_given_as_hosts_have_them(as_given: Any) -> None:
    values = np.array(times(usual(), 5, 70, 71))

    [found] = detect([as_given(day) for day in days(LENGTH)], values)

    assert found.day == days(71)[-1]


@pytest.mark.parametrize(
    ("dates", "values", "message"),
    [
        (days(2), [1], "2 timestamps, but 1 values"),
        (days(2), [1, "x"], "values: row 1 is 'x', not a number"),
        (days(2), [1, math.inf], "values: row 1 is infinite"),
        (days(2), [1, 10**400], "values: one is too large"),
        (days(2), [[1], [2]], "values: row 0 is .*, not a number"),
        ([START, START], [1, 2], r"row 1 \(2026-03-02\) does not come after row 0"),
        ([START, "soon"], [1, 2], "timestamps: row 1 is 'soon'"),
        ([START, 7], [1, 2], "timestamps: row 1 is 7"),
    ],
)
def test_what_is_no_daily_series_is_refused_by_its_row(
    dates: list[Any], values: list[Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        detect(dates, values)


@pytest.mark.parametrize(
    ("option", "value"),
    [("false_alarms", 0), ("false_alarms", 1001), ("least_change", -1)],
)
def test_options_that_mean_nothing_are_refused(option: str, value: float) -> None:
    with pytest.raises(InvalidRequestError, match=option):
        detect([], [], **{option: value})  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(0, 50),
            st.floats(-1e300, 1e300, allow_subnormal=False),
        ),
        max_size=70,
    )
)
def test_whatever_the_numbers_what_is_told_of_them_are_numbers(
    values: list[float | None],
) -> None:
    for found in detect(days(len(values)), values):
        assert isinstance(found, Anomaly)
        told = (found.value, found.expected, found.low, found.high, found.difference)
        assert all(math.isfinite(number) for number in told)
        assert found.low <= found.expected <= found.high
        assert 0 < found.confidence <= 1


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_domain_loads_no_numpy_and_no_database() -> None:
    program = "import sys, nexus_actors.analytics; print(*sys.modules)"

    assert not {"numpy", "sqlalchemy"} & set(run(program).split())


def test_a_missing_numpy_is_named_with_what_installs_it() -> None:
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "try:\n    import nexus_actors.analytics.anomalies\n"
        "except ImportError as error:\n    print(error)"
    )

    assert 'pip install "nexus-actors[analytics]"' in run(program)
