"""Formats and times compared: what was planted is found, and chance is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexus_actors.analytics.reports.comparisons import (
    Comparison,
    Sample,
    adjusted,
    compare,
    growth_interval,
    ratio_interval,
)
from nexus_actors.analytics.reports.insights import candidates_of, told_of
from scale import scaled


BEGIN = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday


def samples(
    seed: int, *, posts: int = 60, reels: float = 1, thursday: float = 1
) -> list[Sample]:
    """Return posts of 12 weeks: on Sundays most are reels, which proves nothing."""
    rng = random.Random(seed)
    found = []
    for number in range(posts):
        day, hour = rng.randrange(84), rng.choice([9, 18])
        kind = "reels" if rng.random() < (0.9 if day % 7 == 6 else 0.45) else "feed"
        level = 1000 * rng.lognormvariate(0, 0.35) * (1 + day / 84)
        level *= reels if kind == "reels" else 1
        level *= thursday if (day % 7, hour) == (3, 18) else 1
        at = BEGIN + timedelta(days=day, hours=hour)
        found.append(Sample(id=str(number), format=kind, at=at, value=round(level)))
    return found


def told(comparison: Comparison) -> list[dict[str, Any]]:
    return told_of(candidates_of(comparison))


def test_a_format_and_a_time_that_do_better_are_found_with_their_size() -> None:
    comparison = compare(samples(1, posts=140, reels=1.6, thursday=2.2))

    found = {one["statement"]["key"]: one for one in told(comparison)}

    assert found.keys() == {"format_better", "time_better"}
    format_ = found["format_better"]
    assert format_["statement"]["args"]["a"] == "reels"
    low, high = format_["evidence"]["ci"]
    assert 1 < low < 1.6 < high
    time = found["time_better"]["statement"]["args"]
    assert (time["weekday"], time["hour"], time["until"]) == (3, 18, 21)
    assert compare(samples(1, posts=140, reels=1.6, thursday=2.2)) == comparison


@pytest.mark.parametrize("runs", [scaled(20, full=500)])
def test_where_nothing_is_better_hardly_anything_is_said(runs: int) -> None:
    said = [told(compare(samples(seed))) for seed in range(runs)]

    # a tenth of the statements may be chance; of reports without cause, so many
    assert sum(bool(one) for one in said) <= runs * 0.1 + 2


def test_thin_evidence_is_silent() -> None:
    assert compare(samples(1, posts=9)).formats == ()
    few = compare(samples(2, posts=25, thursday=9))
    assert [one for one in told(few) if one["kind"] == "best_time"] == []
    one_kind = compare([s for s in samples(3) if s.format == "feed"])
    assert one_kind.best is None
    assert compare([]).n == 0


def test_chances_of_several_tests_are_adjusted() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx(
        [0.04, 0.16 / 3, 0.16 / 3, 0.5]
    )
    assert ratio_interval([(1, 10)] * 4) is None
    low, high = ratio_interval([(k % 3, 10) for k in range(30)]) or (0, 0)
    assert low < 0.1 < high
    assert ratio_interval([(0, 0)] * 9) is None


def test_growth_lies_within_its_interval_about_as_often_as_is_said() -> None:
    rng, held = random.Random(1), 0
    runs = scaled(80, full=2000)
    for _ in range(runs):
        before = [1000 * rng.lognormvariate(0, 0.2) for _ in range(4)]
        now = [1500 * rng.lognormvariate(0, 0.2) for _ in range(4)]

        low, high = growth_interval(now, before) or (0, 0)

        held += low < 0.5 < high
        assert low < sum(now) / sum(before) - 1 < high

    # it says 90 %; four weeks are few, and the tails of so few are not known
    assert 0.8 * runs < held < 0.96 * runs
    assert growth_interval([9, 9, 9], [9, 9, 9, 9]) is None
    assert growth_interval([9, 9, 9, 9], [0, 0, 0, 0]) is None
