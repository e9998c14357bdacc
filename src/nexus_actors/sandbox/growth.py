"""Figures that grow: what a post has got by now, and how many follow an account.

They follow from a seed, a name and the clock alone, so that asking again, or on another
day, tells of the same world.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final


HOUR_S: Final = 3600

#: When accounts began; 2020-01-01.
BEGAN: Final = 1_577_836_800

#: Shares of the views that do something, at the most.
LIKES: Final = 0.12
COMMENTS: Final = 0.015
SHARES: Final = 0.02


@dataclass(frozen=True, slots=True)
class Figures:
    """What people did with a post until now."""

    views: int
    likes: int
    comments: int
    shares: int


def chance(seed: str, *names: str) -> float:
    """Return a number from 0 to 1 that belongs to these names."""
    digest = hashlib.sha256("\n".join((seed, *names)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def figures(seed: str, name: str, age_s: float) -> Figures:
    """Return the figures of a post of that age: most of what it ever gets comes early.

    Half of it is there after 8 to 56 hours.
    """
    most = round(200 * 10 ** (3 * chance(seed, name, "most")))
    half_s = (8 + 48 * chance(seed, name, "half")) * HOUR_S
    views = int(most * max(0.0, age_s) / (max(0.0, age_s) + half_s))
    return Figures(
        views=views,
        likes=int(views * LIKES * chance(seed, name, "likes")),
        comments=int(views * COMMENTS * chance(seed, name, "comments")),
        shares=int(views * SHARES * chance(seed, name, "shares")),
    )


def followers(seed: str, name: str, now: float) -> int:
    """Return how many follow an account: so many a day since it began."""
    daily = 1 + 20 * chance(seed, name, "followers")
    return int(daily * max(0.0, now - BEGAN) / (24 * HOUR_S))
