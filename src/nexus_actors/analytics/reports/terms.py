"""What things are called, and how figures, dates and names are written."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final


Body = Mapping[str, Any]

#: What people call the platforms; another package's is called by its name.
PLATFORMS: Final = {
    "facebook": "Facebook",
    "instagram": "Instagram",
    "tiktok": "TikTok",
    "youtube": "YouTube",
}

METRICS: Final = {
    "views": "Views",
    "likes": "Likes",
    "comments": "Comments",
    "shares": "Shares",
    "saves": "Saves",
    "watch_ms": "Watch time",
    "followers": "Followers",
    "engagement_rate": "Engagement rate",
    "posts_published": "Posts published",
    "reach": "Reach",
}

FORMATS: Final = {
    "reels": "reels",
    "reel": "reels",
    "feed": "feed posts",
    "story": "stories",
    "video": "videos",
    "short": "Shorts",
    "image": "pictures",
    "post": "posts",
}

WEEKDAYS: Final = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
    "Sunday",
)

MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "n/a"

_THOUSAND: Final = 1000
_LONG_S: Final = 90
_HOUR_S: Final = 3600


def number(value: float | None) -> str:
    """Return a count as people read it."""
    if value is None:
        return NONE
    return f"{round(value):,}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """Return a difference, with its sign."""
    if value is None:
        return NONE
    rounded = round(value)
    return f"+{rounded:,}" if rounded > 0 else number(rounded)


def percent(value: float | None) -> str:
    """Return a share; of less than 10 %, with one decimal or two."""
    if value is None:
        return NONE
    per_cent = 100 * value
    places = 2 if abs(per_cent) < 1 else 1
    return f"{per_cent:.{places}f}\u00a0%".replace("-", MINUS)


def change(value: float | None) -> str:
    """Return a change, with its sign."""
    if value is None:
        return ""
    per_cent = 100 * value
    places = 0 if abs(per_cent) >= 10 else 1  # noqa: PLR2004 - two figures do
    text = f"{per_cent:+,.{places}f}"
    if not text.strip("+-0.,"):
        return "no change"
    return f"{text}\u00a0%".replace("-", MINUS)


def times(ratio: float) -> str:
    """Return a ratio as a change."""
    return change(ratio - 1)


def span_of_time(ms: float | None) -> str:
    """Return a length of time as people read it."""
    if ms is None:
        return NONE
    seconds = ms / _THOUSAND
    if seconds >= _HOUR_S:
        return f"{seconds / _HOUR_S:,.1f} h"
    if seconds >= _LONG_S:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds:,.0f} s"


def amount(metric: str, value: float | None) -> str:
    """Return a figure in the words of its metric."""
    if metric == "watch_ms":
        return span_of_time(value)
    return percent(value) if metric == "engagement_rate" else number(value)


def day(iso: str) -> str:
    """Return a date."""
    return _day(date.fromisoformat(iso))


def _day(when: date) -> str:
    return f"{when.day} {when:%b %Y}"


def moment(iso: str) -> str:
    """Return a time of day with its date and weekday."""
    at = datetime.fromisoformat(iso)
    return f"{at:%a} {_day(at)}, {at:%H:%M}"


def period(body: Body) -> str:
    """Return a period, such as ``16 to 22 Nov 2026``."""
    since, until = (date.fromisoformat(body[name]) for name in ("since", "until"))
    if since == until:
        return f"{since:%A}, {_day(since)}"
    if body["length"] == "month":
        return f"{since:%B %Y}"
    first = str(since.day)
    if (since.year, since.month) != (until.year, until.month):
        first += f" {since:%b}"
    if since.year != until.year:
        first += f" {since.year}"
    text = f"{first} to {_day(until)}"
    if body["length"] == "week":
        text += f" (week {since.isocalendar().week})"
    return text


def platform(name: str) -> str:
    """Return what people call a platform."""
    return PLATFORMS.get(name, name)


def kind(name: str | None) -> str:
    """Return what people call posts of a format."""
    return FORMATS.get(name or "post", f"{name} posts")


def title(post: Body, most: int = 70) -> str:
    """Return what a post is called: without marks that turn what follows around."""
    text = post.get("title") or f"Post {post['id']}"
    kept = "".join(" " if unicodedata.category(c) in TURNING else c for c in text)
    text = " ".join(kept.split()) or f"Post {post['id']}"
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


#: Control characters and separators; what joins an emoji's parts is of neither.
TURNING: Final = {"Cc", "Cs", "Co", "Zl", "Zp"}


def listed(parts: Sequence[str]) -> str:
    """Return words in a row."""
    if len(parts) < 2:  # noqa: PLR2004
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
