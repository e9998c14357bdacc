"""Every metric: what it is called here and on each platform, and when that changed.

Names of platforms change; they stand here and nowhere else.  So do the days on which a
platform began to count something in another way: figures of before and after are not
to be compared.

Sources: TikTok for Developers, "Video Object"; YouTube Data API, "Videos" and revision
history; YouTube Analytics revision history of 2026-08-27; Instagram Platform changelog;
Graph API, "Page Insights" and its deprecations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """What may be done with a metric's figures."""

    COUNTER = "counter"  #: grows over a life; its differences can be summed
    GAUGE = "gauge"  #: a level, such as followers
    DAILY = "daily"  #: the amount of a day already
    RATIO = "ratio"  #: never summed, nor averaged without weights
    UNIQUE = "unique"  #: counts people: not additive over days, posts or platforms


class State(IntEnum):
    """Why there is, or is not, a figure; the numbers are stored."""

    VALUE = 0
    NOT_SUPPORTED = 1  #: the platform, or the kind of post, has none
    WITHHELD = 2  #: the platform does not tell: hidden, too few viewers, permission
    NOT_YET = 3  #: it will be told later


#: A figure as a collector has read it: a number, or why there is none.
Reading = int | State


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One canonical metric.

    Attributes:
        code: What stands for it in the database; never given to another.
        unit: ``count``, ``ms`` or ``rate``.
        column: Whether a snapshot of a post has a column for it; the others are kept
            in one JSON value.
        names: Its name by API, such as ``tiktok.display``; where an API has another
            unit, with the factor that makes it ours.
    """

    name: str
    code: int
    kind: Kind
    unit: str = "count"
    column: bool = False
    names: Mapping[str, str | tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Days in which a platform began to count a metric in another way.

    Attributes:
        since: The first of them; UTC.
        until: The last.
        restated: Whether the figures themselves were replaced, so that the difference
            over the break means nothing.  Else the counter went on, at another pace.
    """

    platform: str
    metric: str
    since: date
    until: date
    what: str
    restated: bool = False

    @property
    def span_ms(self) -> tuple[int, int]:
        """When it began and ended, in milliseconds since the epoch."""
        return _midnight_ms(self.since), _midnight_ms(self.until + timedelta(days=1))


def _midnight_ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


#: The APIs that names are of.
TIKTOK: Final = "tiktok.display"
TIKTOK_BUSINESS: Final = "tiktok.business"
YOUTUBE: Final = "youtube.data"
YOUTUBE_DAYS: Final = "youtube.analytics"
INSTAGRAM: Final = "instagram.insights"
INSTAGRAM_DAYS: Final = "instagram.account"
FACEBOOK: Final = "facebook.insights"
FACEBOOK_NODE: Final = "facebook.fields"
FACEBOOK_DAYS: Final = "facebook.page"

_ALL: Final = (
    Metric(
        name="views",
        code=1,
        kind=Kind.COUNTER,
        column=True,
        names={
            TIKTOK: "view_count",
            TIKTOK_BUSINESS: "video_views",
            YOUTUBE: "viewCount",
            YOUTUBE_DAYS: "views",
            INSTAGRAM: "views",
            INSTAGRAM_DAYS: "views",
            FACEBOOK: "post_media_view",
            FACEBOOK_DAYS: "page_media_view",
        },
    ),
    Metric(
        name="reach",
        code=2,
        kind=Kind.UNIQUE,
        column=True,
        names={
            TIKTOK_BUSINESS: "reach",
            INSTAGRAM: "reach",
            INSTAGRAM_DAYS: "reach",
            FACEBOOK: "post_total_media_view_unique",
            FACEBOOK_DAYS: "page_total_media_view_unique",
        },
    ),
    Metric(
        name="likes",
        code=3,
        kind=Kind.COUNTER,
        column=True,
        names={
            TIKTOK: "like_count",
            TIKTOK_BUSINESS: "likes",
            YOUTUBE: "likeCount",
            YOUTUBE_DAYS: "likes",
            INSTAGRAM: "likes",
            INSTAGRAM_DAYS: "likes",
            FACEBOOK_NODE: "reactions",
        },
    ),
    Metric(
        name="comments",
        code=4,
        kind=Kind.COUNTER,
        column=True,
        names={
            TIKTOK: "comment_count",
            TIKTOK_BUSINESS: "comments",
            YOUTUBE: "commentCount",
            YOUTUBE_DAYS: "comments",
            INSTAGRAM: "comments",
            INSTAGRAM_DAYS: "comments",
            FACEBOOK_NODE: "comments",
        },
    ),
    Metric(
        name="shares",
        code=5,
        kind=Kind.COUNTER,
        column=True,
        names={
            TIKTOK: "share_count",
            TIKTOK_BUSINESS: "shares",
            YOUTUBE_DAYS: "shares",
            INSTAGRAM: "shares",
            INSTAGRAM_DAYS: "shares",
            FACEBOOK_NODE: "shares",
        },
    ),
    Metric(
        name="saves",
        code=6,
        kind=Kind.COUNTER,
        column=True,
        names={
            TIKTOK_BUSINESS: "favorites",
            INSTAGRAM: "saved",
            INSTAGRAM_DAYS: "saves",
        },
    ),
    Metric(
        name="watch_ms",
        code=7,
        kind=Kind.COUNTER,
        unit="ms",
        column=True,
        names={
            TIKTOK_BUSINESS: ("total_time_watched", 1000),
            YOUTUBE_DAYS: ("estimatedMinutesWatched", 60_000),
            INSTAGRAM: "ig_reels_video_view_total_time",
            FACEBOOK: "post_video_view_time",
            FACEBOOK_DAYS: "page_video_view_time",
        },
    ),
    Metric(
        name="reposts",
        code=8,
        kind=Kind.COUNTER,
        names={INSTAGRAM: "reposts", INSTAGRAM_DAYS: "reposts"},
    ),
    Metric(
        name="clicks",
        code=9,
        kind=Kind.COUNTER,
        names={INSTAGRAM_DAYS: "profile_links_taps", FACEBOOK: "post_clicks"},
    ),
    Metric(
        name="profile_visits",
        code=10,
        kind=Kind.COUNTER,
        names={
            TIKTOK_BUSINESS: "profile_views",
            INSTAGRAM: "profile_visits",
            FACEBOOK_DAYS: "page_views_total",
        },
    ),
    Metric(
        name="avg_watch_ms",
        code=11,
        kind=Kind.RATIO,
        unit="ms",
        names={
            TIKTOK_BUSINESS: ("average_time_watched", 1000),
            YOUTUBE_DAYS: ("averageViewDuration", 1000),
            INSTAGRAM: "ig_reels_avg_watch_time",
            FACEBOOK: "post_video_avg_time_watched",
        },
    ),
    Metric(
        name="engaged_views",
        code=12,
        kind=Kind.COUNTER,
        names={YOUTUBE_DAYS: "engagedViews"},
    ),
    Metric(
        name="engagements",
        code=13,
        kind=Kind.COUNTER,
        names={
            INSTAGRAM_DAYS: "total_interactions",
            FACEBOOK_DAYS: "page_post_engagements",
        },
    ),
    Metric(
        name="followers",
        code=32,
        kind=Kind.GAUGE,
        names={
            TIKTOK: "follower_count",
            TIKTOK_BUSINESS: "followers_count",
            YOUTUBE: "subscriberCount",
            INSTAGRAM: "followers_count",
            FACEBOOK_NODE: "followers_count",
        },
    ),
    Metric(
        name="posts",
        code=33,
        kind=Kind.GAUGE,
        names={TIKTOK: "video_count", YOUTUBE: "videoCount", INSTAGRAM: "media_count"},
    ),
    Metric(
        name="followers_gained",
        code=34,
        kind=Kind.DAILY,
        names={
            YOUTUBE_DAYS: "subscribersGained",
            FACEBOOK_DAYS: "page_daily_follows_unique",
        },
    ),
    Metric(
        name="followers_lost",
        code=35,
        kind=Kind.DAILY,
        names={
            YOUTUBE_DAYS: "subscribersLost",
            FACEBOOK_DAYS: "page_daily_unfollows_unique",
        },
    ),
)

#: All metrics by name.
METRICS: Final[Mapping[str, Metric]] = {metric.name: metric for metric in _ALL}

#: The metrics of a post that have columns, in the order of their states in a row.
COLUMNS: Final = tuple(metric.name for metric in _ALL if metric.column)

#: Those whose differences are summed by day and week.
COUNTERS: Final = tuple(n for n in COLUMNS if METRICS[n].kind is Kind.COUNTER)

#: Those of an account that are levels.
GAUGES: Final = tuple(m.name for m in _ALL if m.kind is Kind.GAUGE)

#: What stands in the database for what is rolled up.
CODES: Final = {name: METRICS[name].code for name in (*COUNTERS, *GAUGES)}

#: The breaks that are known, the oldest first.
BREAKS: Final = (
    Break(
        platform="youtube",
        metric="views",
        since=date(2025, 3, 31),
        until=date(2025, 3, 31),
        what="a Short's view counts at each start or replay",
    ),
    Break(
        platform="instagram",
        metric="views",
        since=date(2025, 4, 21),
        until=date(2025, 4, 21),
        what="impressions and plays were replaced by views",
        restated=True,
    ),
    Break(
        platform="facebook",
        metric="views",
        since=date(2025, 11, 15),
        until=date(2025, 11, 15),
        what="impressions were replaced by media views",
        restated=True,
    ),
    Break(
        platform="facebook",
        metric="reach",
        since=date(2026, 6, 15),
        until=date(2026, 6, 15),
        what="reach was replaced by media viewers, which are fewer",
        restated=True,
    ),
    Break(
        platform="youtube",
        metric="views",
        since=date(2026, 8, 24),
        until=date(2026, 8, 27),
        what="a view of any format counts at playback start, autoplay included",
    ),
)

#: How long after a day its figures still change, by platform.
LATENCY: Final[Mapping[str, timedelta]] = {
    "tiktok": timedelta(hours=48),
    "instagram": timedelta(hours=48),
    "facebook": timedelta(hours=48),
    "youtube": timedelta(hours=72),
}

#: Platforms that round followers to three figures: their differences say nothing.
#: YouTube Data API, "Channels": statistics.subscriberCount.
ROUNDED: Final = frozenset({"youtube"})

#: Of a platform that another package has added.
USUAL_LATENCY: Final = timedelta(hours=72)


def breaks_of(platform: str) -> tuple[Break, ...]:
    """Return the breaks of a platform, the oldest first."""
    return tuple(known for known in BREAKS if known.platform == platform)


def latency_ms(platform: str) -> int:
    """Return how long after its end a day of *platform* is not yet final."""
    return round(LATENCY.get(platform, USUAL_LATENCY).total_seconds() * 1000)


def post_names(api: str) -> dict[str, tuple[str, int]]:
    """Return what an API calls the metrics of a post: ours, and the factor to it."""
    return _names(api, set(Kind) - {Kind.GAUGE})


def account_names(api: str) -> dict[str, tuple[str, int]]:
    """Return what an API calls the levels of an account, likewise."""
    return _names(api, {Kind.GAUGE})


def day_names(api: str) -> dict[str, tuple[str, int]]:
    """Return what an API calls what an account got on a day, likewise."""
    return _names(api, set(Kind))


def _names(api: str, kinds: set[Kind]) -> dict[str, tuple[str, int]]:
    found = {}
    for metric in _ALL:
        if api in metric.names and metric.kind in kinds:
            name = metric.names[api]
            vendor, factor = (name, 1) if isinstance(name, str) else name
            found[vendor] = (metric.name, factor)
    return found


def reading_of(value: Any, factor: int, otherwise: State) -> Reading:
    """Return a vendor's number in our unit; what is none has the state *otherwise*."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(value * factor) if is_number else otherwise


def pack(states: Mapping[str, State]) -> int:
    """Return the states of `COLUMNS` as one number, two bits for each."""
    return sum(
        states.get(name, State.NOT_SUPPORTED) << (2 * at)
        for at, name in enumerate(COLUMNS)
    )


def state_of(value: int | None, packed: int, name: str) -> State:
    """Return the state of a column; what has a value has no other."""
    if value is not None:
        return State.VALUE
    return State((packed >> (2 * COLUMNS.index(name))) & 3) or State.NOT_SUPPORTED
