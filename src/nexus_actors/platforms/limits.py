"""What each platform allows, as data.

The numbers are those of the platforms' documents; ``NEXUS_PLATFORM_LIMITS`` puts others
in their place.  Where an answer tells more, that one counts: see `gate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from nexus_actors.core.http import Call
from nexus_actors.core.models import Model


Per = Literal["account", "app"]

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


class Limit(Model):
    """So many calls in any window of time.

    Attributes:
        name: Limits of one name are one budget; of those, the first that fits a call
            counts.
        calls: Method and path, with wildcards: ``POST /v2/post/publish/*init/``.
        limit: How many there may be in a window, as the platform says.
        window_s: How long that is, in seconds.
        burst: How many of them may be made at once after a rest: the more, the slower
            the others follow, since no window may have more; see `budgets`.
        per: Whether each account has so many, or the app for all of them.
        cost: How many a call counts as.
    """

    name: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    calls: str = "*"
    limit: Annotated[int, Field(ge=1)]
    window_s: Annotated[float, Field(gt=0)]
    burst: Annotated[int, Field(ge=1)] = 1
    per: Per = "account"
    cost: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if not self.cost <= self.burst <= self.limit:
            raise ValueError("cost is at most burst, and burst at most limit")
        return self

    def fits(self, call: Call) -> bool:
        """Tell whether *call* counts; what goes to an upload's address never does."""
        is_path = call.target.startswith("/")
        return is_path and fnmatchcase(f"{call.method} {call.target}", self.calls)


def counting(limits: Iterable[Limit], call: Call) -> list[Limit]:
    """Return what *call* counts against: of each name the first that fits."""
    found: dict[str, Limit] = {}
    for limit in limits:
        if limit.fits(call):
            found.setdefault(limit.name, limit)
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer says of an allowance.

    Attributes:
        per: Whose it is.
        percent: How much is used.
        minutes: How long to make no call; None where that is not said.
    """

    per: Per
    percent: int
    minutes: int | None = None


_TIKTOK: Final = (
    # each by minute and user token: "Content Posting API", "Query Creator Info" and
    # "Get Post Status"; "List Videos"
    Limit(
        name="creator_info",
        calls="POST */creator_info/query/",
        limit=20,
        window_s=MINUTE_S,
        burst=5,
    ),
    Limit(
        name="init",
        calls="POST /v2/post/publish/*init/",
        limit=6,
        window_s=MINUTE_S,
        burst=2,
    ),
    Limit(
        name="status",
        calls="POST */status/fetch/",
        limit=30,
        window_s=MINUTE_S,
        burst=10,
    ),
    # "Rate Limits": each of these for itself
    *(
        Limit(name=name, calls=calls, limit=600, window_s=MINUTE_S, burst=100)
        for name, calls in {
            "list": "POST /v2/video/list/*",
            "query": "POST /v2/video/query/*",
            "user": "GET /v2/user/info/*",
        }.items()
    ),
)

_UNITS: Final = {"limit": 10_000, "window_s": DAY_S, "burst": 1000, "per": "app"}

_YOUTUBE: Final = (
    # "Quota Calculator": uploads have a bucket of their own; the day is the platform's,
    # and here any 24 hours
    Limit(
        name="uploads",
        calls="POST /upload/youtube/v3/videos",
        limit=100,
        window_s=DAY_S,
        burst=10,
        per="app",
    ),
    # revision history of 2026-06-03: a bucket of its own
    Limit(
        name="stats",
        calls="GET /youtube/v3/videos:batchGetStats",
        limit=10_000,
        window_s=DAY_S,
        burst=1000,
        per="app",
    ),
    # of the Analytics API, whose quota only the project's console tells
    Limit(
        name="reports",
        calls="GET /v2/reports",
        limit=720,
        window_s=MINUTE_S,
        burst=100,
        per="app",
    ),
    *(
        Limit.model_validate({"name": "units", "calls": calls, "cost": cost} | _UNITS)
        for calls, cost in {
            "POST /upload/youtube/v3/captions": 400,
            "POST /upload/youtube/v3/thumbnails/*": 50,
            "GET /youtube/v3/captions": 50,
            "GET /youtube/v3/*": 1,
            "* /youtube/v3/*": 50,
        }.items()
    ),
)

#: Meta counts by what an account and an app are worth, which only its answers tell.
#: These are what their percentages are taken of.
_META: Final = (
    Limit(name="all", limit=1000, window_s=HOUR_S, burst=200),
    Limit(name="app", limit=100_000, window_s=HOUR_S, burst=20_000, per="app"),
)

#: "Content Publishing": containers; how many may be published is asked for each time.
_CONTAINERS: Final = Limit(
    name="containers", calls="POST /*/media", limit=400, window_s=DAY_S, burst=50
)

#: By platform.
LIMITS: Final[Mapping[str, tuple[Limit, ...]]] = {
    "tiktok": _TIKTOK,
    "youtube": _YOUTUBE,
    "instagram": (*_META, _CONTAINERS),
    "facebook": _META,
}

#: The reasons of refusals that are about the app, and not about one account: TikTok's
#: cap of users; YouTube's quotas; Meta's code 4.
OF_APP: Final = frozenset(
    {
        "reached_active_user_cap",
        "quotaExceeded",
        "dailyLimitExceeded",
        "rateLimitExceeded",
        "4",
    }
)
