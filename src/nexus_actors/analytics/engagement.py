"""Engagement rates: what people did with a post, by how many could have.

There is no one rate: each says what it divides by what.  A rate that cannot be known
is None with a reason, and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median
from typing import Final

from .metrics import Reading, State


class Base(StrEnum):
    """What engagements are divided by.

    ``followers`` are those of the account when the post was published.
    """

    REACH = "reach"
    VIEWS = "views"
    FOLLOWERS = "followers"


#: A rate of a smaller base says little.
FLOORS: Final[Mapping[Base, int]] = {
    Base.REACH: 30,
    Base.VIEWS: 100,
    Base.FOLLOWERS: 30,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much one engagement of each kind counts; 0 leaves a kind out."""

    likes: float = 1
    comments: float = 1
    shares: float = 1
    saves: float = 1
    reposts: float = 1


#: All alike.
PLAIN: Final = Weights()

#: What costs a person more, counts more.
WEIGHTED: Final = Weights(likes=1, comments=2, shares=3, saves=3, reposts=3)

#: As `PLAIN`, for comparing with those of whom only public figures are known.
PUBLIC: Final = Weights(saves=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One rate, and what it was made of.

    Attributes:
        value: None where it is not defined.
        reason: Why not: such as ``reach_not_supported``, ``likes_withheld`` or
            ``views_zero``.
        formula: Of the parts that the platform has; such as
            ``(likes + 2 comments) / views``.
        low_sample: Whether the base is so small that it should not be ranked.
        exceeds: Whether there are more engagements than the base counts, which replays
            and visitors who do not follow make possible.
    """

    value: float | None
    reason: str | None = None
    engagements: float | None = None
    base: int | None = None
    formula: str = ""
    low_sample: bool = False
    exceeds: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The rate of several posts.

    Attributes:
        whole: The sum of all engagements by the sum of all bases.
        median: Of the posts' own rates; one post that took off does not move it.
        mean_of_ratios: What many call the average rate; small posts weigh as much in it
            as large ones.
        posts: How many have both engagements and base; only these are in it.
        left_out: How many have not.
    """

    whole: Rate
    median: float | None
    mean_of_ratios: float | None
    posts: int
    left_out: int


def rate(
    values: Mapping[str, Reading | None],
    base: Base,
    *,
    weights: Weights = PLAIN,
    followers: int | None = None,
) -> Rate:
    """Return the rate of one post, all figures of one snapshot.

    Args:
        values: By the names of the metrics; what is not there is not supported.
        base: What to divide by.
        weights: How much each kind counts.
        followers: When the post was published, for that base.
    """
    parts = {name: getattr(weights, name) for name in Weights.__dataclass_fields__}
    counted = {
        name: weight
        for name, weight in parts.items()
        if weight and _reading(values.get(name)) is not State.NOT_SUPPORTED
    }
    formula = f"{_formula(counted)} / {base}"
    given: Reading | None = values.get(base)
    if base is Base.FOLLOWERS:
        given = State.NOT_YET if followers is None else followers
    under = _reading(given)
    for name, found in [(base, under), *((n, values[n]) for n in counted)]:
        if isinstance(found, State):
            reason = f"{name}_{found.name.lower()}"
            return Rate(value=None, reason=reason, formula=formula)
    if not counted:
        return Rate(value=None, reason="no_engagements", formula=formula)
    total = sum(weight * _number(values[name]) for name, weight in counted.items())
    return _rate(total, _number(under), base, formula)


def rates(
    posts: Sequence[tuple[Mapping[str, Reading | None], int | None]],
    base: Base,
    *,
    weights: Weights = PLAIN,
) -> Rates:
    """Return the rate of several posts, each with the followers at its publishing."""
    each = [rate(v, base, weights=weights, followers=f) for v, f in posts]
    known = [one for one in each if one.value is not None]
    values = [one.value for one in known if one.value is not None]
    if known:
        total = sum(one.engagements or 0 for one in known)
        under = sum(one.base or 0 for one in known)
        formulas = {one.formula: None for one in known}
        whole = _rate(total, under, base, " or ".join(formulas))
    else:
        reasons = sorted({one.reason or "" for one in each}) or ["no_posts"]
        reason = reasons[0] if len(reasons) == 1 else "no_post_has_one"
        whole = Rate(value=None, reason=reason)
    return Rates(
        whole=whole,
        median=median(values) if values else None,
        mean_of_ratios=fmean(values) if values else None,
        posts=len(known),
        left_out=len(each) - len(known),
    )


def _rate(total: float, under: int, base: Base, formula: str) -> Rate:
    if under <= 0:
        return Rate(value=None, reason=f"{base}_zero", formula=formula)
    return Rate(
        value=total / under,
        engagements=total,
        base=under,
        formula=formula,
        low_sample=under < FLOORS[base],
        exceeds=total > under,
    )


def _reading(value: Reading | None) -> Reading:
    return State.NOT_SUPPORTED if value is None else value


def _number(value: Reading | None) -> int:
    assert value is not None  # noqa: S101 - looked at before
    return int(value)


def _formula(counted: Mapping[str, float]) -> str:
    words = [name if w == 1 else f"{w:g} {name}" for name, w in counted.items()]
    return f"({' + '.join(words)})"
