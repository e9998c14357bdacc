"""What a collector has read of posts and of their account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from .metrics import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class PostReading:
    """The cumulative figures of one post, as read at one instant.

    Attributes:
        id: The platform's name for it.
        values: By the names of `METRICS`: a number, or why there is none.  What is not
            there is not supported.
        published_at: When it was, if the platform tells.
        format: Such as ``video`` or ``reel``; in the platform's word.
        title: What people know it by: its title, or its text.
        url: Where people see it.
        picture_url: Of a picture of it; may be good for some hours only.
    """

    id: str
    values: Mapping[str, Reading]
    published_at: datetime | None = None
    duration_ms: int | None = None
    format: str | None = None
    title: str | None = None
    url: str | None = None
    picture_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReading:
    """The levels of an account, as read at one instant; likewise."""

    values: Mapping[str, Reading] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReading:
    """What a platform itself says of a day of an account, or of one of its posts.

    Attributes:
        day: As the platform counts days: see `Collector.day_zone`.
        values: Likewise; the amounts of that day alone.
        post: The platform's name for the post; None of the account as a whole.
    """

    day: date
    values: Mapping[str, Reading]
    post: str | None = None
