"""Rates: what they are made of, and when there is none."""

from __future__ import annotations

import pytest

from nexus_actors.analytics.engagement import (
    PUBLIC,
    WEIGHTED,
    Base,
    Rate,
    Weights,
    rate,
    rates,
)
from nexus_actors.analytics.metrics import Reading, State


POST: dict[str, Reading | None] = {
    "views": 2000,
    "reach": 1000,
    "likes": 70,
    "comments": 20,
    "shares": 10,
    "saves": 5,
}


def test_each_rate_says_what_it_divides_by_what() -> None:
    assert rate(POST, Base.VIEWS) == Rate(
        value=105 / 2000,
        engagements=105,
        base=2000,
        formula="(likes + comments + shares + saves) / views",
    )
    assert rate(POST, Base.REACH).value == 105 / 1000
    assert rate(POST, Base.FOLLOWERS, followers=420).value == 0.25
    heavy = rate(POST, Base.REACH, weights=WEIGHTED)
    assert heavy.value == (70 + 40 + 30 + 15) / 1000
    assert heavy.formula == "(likes + 2 comments + 3 shares + 3 saves) / reach"
    assert rate(POST, Base.REACH, weights=PUBLIC).value == 0.1


@pytest.mark.parametrize(
    ("changes", "base", "reason"),
    [
        ({"views": 0}, Base.VIEWS, "views_zero"),
        ({"reach": State.NOT_YET}, Base.REACH, "reach_not_yet"),
        ({"reach": None}, Base.REACH, "reach_not_supported"),
        ({"likes": State.WITHHELD}, Base.VIEWS, "likes_withheld"),
        ({}, Base.FOLLOWERS, "followers_not_yet"),
    ],
)
def test_what_is_not_defined_is_none_and_says_why(
    changes: dict[str, Reading | None], base: Base, reason: str
) -> None:
    found = rate(POST | changes, base)

    assert (found.value, found.reason) == (None, reason)


def test_a_rate_of_nothing_that_counts_is_none() -> None:
    nothing = Weights(likes=0, comments=0, shares=0, saves=0)

    assert rate(POST, Base.VIEWS, weights=nothing).reason == "no_engagements"


def test_a_small_base_and_more_engagements_than_views_are_marked() -> None:
    found = rate({"views": 10, "likes": 12}, Base.VIEWS)

    assert (found.value, found.low_sample, found.exceeds) == (1.2, True, True)


def test_the_rate_of_several_is_that_of_their_sums() -> None:
    small: dict[str, Reading | None] = {"views": 3, "likes": 3}
    large: dict[str, Reading | None] = {"views": 997, "likes": 7}
    hidden: dict[str, Reading | None] = {"views": 50, "likes": State.WITHHELD}

    found = rates([(post, None) for post in (small, large, hidden)], Base.VIEWS)

    assert found.whole.value == 10 / 1000
    assert found.median == found.mean_of_ratios == (1 + 7 / 997) / 2
    assert (found.posts, found.left_out) == (2, 1)
    assert rates([], Base.VIEWS).whole.reason == "no_posts"
    none = rates([(hidden, None)], Base.VIEWS)
    assert (none.whole.value, none.whole.reason) == (None, "likes_withheld")
