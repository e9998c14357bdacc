"""Figures that grow: what a post has got by now, and how many follow an account.

They follow from a seed, a name and the clock alone, so that asking again, or on another
day, tells of the same world.  What was put into it on purpose, days that are unusual
and counters that fall, is known: `planted` and `fall_of` tell the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import Field, NonNegativeFloat

from .base import Settings


HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S

#: When accounts began; 2020-01-01.
BEGAN: Final = 1_577_836_800

#: Shares of the views that do something, at the most.
LIKES: Final = 0.12
COMMENTS: Final = 0.015
SHARES: Final = 0.02

#: By how much an unusual day is more, or less, than it would be.
FACTORS: Final = (3.0, 2.0, 0.4, 0.2)

Share = Annotated[float, Field(ge=0, le=1)]


class Growth(Settings):
    """How figures grow.

    Attributes:
        season: What a day gets of what it would, from Monday to Sunday; UTC.
        unusual: The share of an account's days that are unusual, for no reason.
        falls: The share of posts of which the platform takes views back, once.
        late_s: How much later than it happened a view is told.
    """

    season: tuple[float, float, float, float, float, float, float] = (1.0,) * 7
    unusual: Share = 0.0
    falls: Share = 0.0
    late_s: NonNegativeFloat = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What people did with a post until now."""

    views: int
    likes: int
    comments: int
    shares: int

    def minus(self, other: Figures) -> Figures:
        """Return what was added since *other*; what was taken back is below 0."""
        return Figures(
            self.views - other.views,
            self.likes - other.likes,
            self.comments - other.comments,
            self.shares - other.shares,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A post as far as its figures go: whose it is, and since when it is seen."""

    name: str
    account: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All figures of one vendor, as its settings have them."""

    seed: str
    growth: Growth

    def figures(self, post: Made, now: float) -> Figures:
        """Return the figures of a post: most of what it ever gets comes early.

        Half of it is there after 8 to 56 hours.
        """
        [found] = self.course(post, [now])
        return found

    def course(self, post: Made, instants: Iterable[float]) -> Iterator[Figures]:
        """Yield the figures of a post at instants, the earliest first."""
        seed, name = self.seed, post.name
        most = round(200 * 10 ** (3 * chance(seed, name, "most")))
        half_s = (8 + 48 * chance(seed, name, "half")) * HOUR_S
        shares = [
            most_of * chance(seed, name, kind)
            for most_of, kind in (
                (LIKES, "likes"),
                (COMMENTS, "comments"),
                (SHARES, "shares"),
            )
        ]
        fall = self.fall_of(post)
        views, done_s, fallen = 0.0, 0.0, 0.0
        for instant in instants:
            until = max(0.0, instant - self.growth.late_s - post.at)
            while done_s < until:
                at = post.at + done_s
                ends = min(until, (at // DAY_S + 1) * DAY_S - post.at)
                added = most * (ends / (ends + half_s) - done_s / (done_s + half_s))
                views += added * self._factor(post.account, at)
                done_s = ends
                if fall and not fallen and done_s >= fall[0] - post.at:
                    fallen = views * fall[1]
            seen = int(views - fallen)
            yield Figures(seen, *(int(seen * share) for share in shares))

    def fall_of(self, post: Made) -> tuple[float, float] | None:
        """Return when views of a post are taken back, and which share of them."""
        if chance(self.seed, post.name, "falls") >= self.growth.falls:
            return None
        days = 2 + 18 * chance(self.seed, post.name, "fall day")
        share = 0.05 + 0.25 * chance(self.seed, post.name, "fall share")
        return post.at + days * DAY_S, share

    def _factor(self, account: str, at: float) -> float:
        day = int(at // DAY_S)
        usual = self.growth.season[(day + 3) % 7]  # the epoch was a Thursday
        return usual * unusual(self.seed, account, day, self.growth.unusual)

    def planted(self, account: str, since: float, now: float) -> list[dict[str, Any]]:
        """Return the unusual days of an account, and by how much they are."""
        days = range(int(since // DAY_S), int(now // DAY_S) + 1)
        factors = (
            (d, unusual(self.seed, account, d, self.growth.unusual)) for d in days
        )
        return [
            {"account": account, "day": _date(day).isoformat(), "factor": factor}
            for day, factor in factors
            if factor != 1
        ]


@lru_cache(maxsize=100_000)
def unusual(seed: str, account: str, day: int, share: float) -> float:
    """Return by how much a day of an account is more than it would be; mostly 1."""
    if chance(seed, account, str(day), "unusual") >= share:
        return 1.0
    return FACTORS[int(chance(seed, account, str(day), "factor") * len(FACTORS))]


def chance(seed: str, *names: str) -> float:
    """Return a number from 0 to 1 that belongs to these names."""
    digest = hashlib.sha256("\n".join((seed, *names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def followers(seed: str, name: str, now: float) -> int:
    """Return how many follow an account: so many a day since it began."""
    daily = 1 + 20 * chance(seed, name, "followers")
    return int(daily * max(0.0, now - BEGAN) / DAY_S)


def total(added: Iterable[Figures]) -> Figures:
    """Return the sums."""
    rows = [(f.views, f.likes, f.comments, f.shares) for f in added]
    return Figures(*map(sum, zip(*rows, strict=True))) if rows else Figures(0, 0, 0, 0)


def _date(day: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date()
