"""Insights of posts and of Pages: which metrics there are, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from nexus_actors.sandbox.growth import Figures
from nexus_actors.sandbox.vendors.meta import errors
from nexus_actors.sandbox.vendors.meta.graph import graph_time


Metrics = Mapping[str, Callable[[Figures], int]]

#: How long a view lasts, in milliseconds.
VIEW_MS: Final = 9000

#: Of a post, over its life.
POST: Final[Metrics] = {
    "post_media_view": lambda now: now.views,
    "post_total_media_view_unique": lambda now: now.views * 7 // 10,
    "post_clicks": lambda now: now.views // 40,
}

#: Of a post with a film alone; others have no value.
FILM: Final[Metrics] = {
    "post_video_views": lambda now: now.views * 6 // 10,
    "post_video_view_time": lambda now: now.views * VIEW_MS,
    "post_video_avg_time_watched": lambda _: VIEW_MS + 314,  # replays are in it
}

OF_POST: Final[Metrics] = {**POST, **FILM}

#: Of a Page, by day.
PAGE: Final[Metrics] = {
    "page_media_view": lambda now: now.views,
    "page_total_media_view_unique": lambda now: now.views * 7 // 10,
    "page_post_engagements": lambda now: now.likes + now.comments + now.shares,
    "page_video_view_time": lambda now: now.views * VIEW_MS,
    "page_daily_follows_unique": lambda now: now.views // 250,
    "page_daily_unfollows_unique": lambda now: now.views // 1500,
    "page_views_total": lambda now: now.views // 60,
}

#: The longest span of a call, in days.
SPAN: Final = 90

PACIFIC: Final = ZoneInfo("America/Los_Angeles")


def check(names: Sequence[str], known: Metrics, retired: Sequence[str]) -> None:
    """Refuse names that are no metrics, or are none any more.

    Raises:
        Refusal: There is one.
    """
    if not names:
        raise errors.refusal(3001, "No metric was specified", subcode=1504028)
    if any(name not in known or name in retired for name in names):
        raise errors.invalid("The value must be a valid insights metric")


def told(post: str, names: Sequence[str], now: Figures) -> list[dict[str, Any]]:
    """Return the lifetime figures of a post."""
    return [
        _item(post, name, "lifetime", [{"value": OF_POST[name](now)}]) for name in names
    ]


def days_of(asked: Mapping[str, str], now: float) -> list[date]:
    """Return the days that a call for a Page's insights is about.

    Raises:
        Refusal: They are too many, or the period is none that is played.
    """
    if asked.get("period") != "day":
        raise errors.invalid("Param period must be one of {day}")
    today = datetime.fromtimestamp(now, PACIFIC).date()
    since = _day(asked.get("since")) or today - timedelta(days=2)
    until = _day(asked.get("until")) or today
    days = (until - since).days
    if not 0 < days <= SPAN:
        text = "There cannot be more than 90 days (7776000 s) between since and until"
        raise errors.invalid(text)
    return [since + timedelta(days=number) for number in range(days)]


def told_by_day(
    page: str, names: Sequence[str], days: Sequence[tuple[date, Figures]]
) -> list[dict[str, Any]]:
    """Return a Page's figures of days; each is told under the instant of its end."""
    return [
        _item(
            page,
            name,
            "day",
            [
                {
                    "value": PAGE[name](added),
                    "end_time": graph_time(midnight_after(day)),
                }
                for day, added in days
            ],
        )
        for name in names
    ]


def midnight_after(day: date) -> float:
    """Return when a day of Facebook's ends: at 07:00 or 08:00 UTC."""
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=PACIFIC).timestamp()


def bounds(days: Sequence[date]) -> Iterator[float]:
    """Yield when the days begin, and when the last one ends."""
    yield midnight_after(days[0] - timedelta(days=1))
    yield from map(midnight_after, days)


def _item(
    of: str, name: str, period: str, values: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": name,
        "period": period,
        "values": values,
        "title": name.replace("_", " ").capitalize(),
        "description": "",
        "id": f"{of}/insights/{name}/{period}",
    }


def _day(text: str | None) -> date | None:
    """Return the day of a parameter: seconds, or a date.

    Raises:
        Refusal: It is neither.
    """
    if text is None:
        return None
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC).astimezone(PACIFIC).date()
        return date.fromisoformat(text)
    except ValueError:
        raise errors.invalid("Param since or until is no time") from None
