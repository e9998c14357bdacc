"""The Analytics API: reports by day, of a channel or of videos, some days late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.growth import Figures, Made, total

from . import errors
from .quota import PACIFIC
from .settings import ANALYTICS


if TYPE_CHECKING:
    from .vendor import YouTube


#: How long a view lasts, in seconds.
VIEW_S: Final = 42

#: What each metric is of a day's figures.
METRICS: Final[dict[str, Callable[[Figures], int]]] = {
    "views": lambda now: now.views,
    "engagedViews": lambda now: now.views * 3 // 4,
    "likes": lambda now: now.likes,
    "dislikes": lambda now: now.likes // 30,
    "comments": lambda now: now.comments,
    "shares": lambda now: now.shares,
    "estimatedMinutesWatched": lambda now: now.views * VIEW_S // 60,
    "averageViewDuration": lambda now: VIEW_S if now.views > 0 else 0,
    "subscribersGained": lambda now: now.views // 300,
    "subscribersLost": lambda now: now.views // 2000,
}

#: What only a channel has, and no video on a day.
OF_CHANNEL: Final = {"subscribersGained", "subscribersLost"}

#: How many videos a filter may name.
IDS_MAX: Final = 500

DIMENSIONS: Final = ("day", "video", "video,day")


class Reports:
    """The reports of all channels."""

    def __init__(self, vendor: YouTube) -> None:
        self._vendor = vendor

    async def query(self, request: Request) -> Response:
        """Return a report; its last days are left out until they are known."""
        channel = self._vendor.login.authorized(request, ANALYTICS)
        asked = request.query_params
        if asked.get("ids") not in {"channel==MINE", f"channel=={channel.id}"}:
            raise errors.refusal(403, "forbidden", "Forbidden", domain="global")
        metrics = self._metrics(asked.get("metrics", ""))
        first, last = _day(asked.get("startDate")), _day(asked.get("endDate"))
        dimensions = asked.get("dimensions", "")
        if first > last or dimensions not in DIMENSIONS:
            raise _unsupported()
        names = dimensions.split(",")
        posts = self._vendor.posts_of(channel)
        if "video" in names:
            wanted = _videos(asked.get("filters"))
            posts = [post for post in posts if post.name in wanted]
            if set(metrics) & OF_CHANNEL:
                raise _unsupported()
        known = self._last_known()
        rows = list(self._rows(posts, names, first, min(last, known)))
        return JSONResponse(_table(names, metrics, rows))

    def _metrics(self, text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        if not names:
            text = "Required parameter: metrics"
            raise errors.refusal(400, "required", text, domain="global")
        for name in names:
            if name not in METRICS or name in self._vendor.settings.retired_metrics:
                text = f"Unknown identifier ({name}) given in field parameters.metrics."
                raise errors.refusal(400, "badRequest", text, domain="global")
        return names

    def _last_known(self) -> date:
        today = datetime.fromtimestamp(self._vendor.clock.now(), PACIFIC).date()
        return today - timedelta(days=1 + self._vendor.settings.reports_late_days)

    def _rows(
        self, posts: Sequence[Made], names: Sequence[str], first: date, last: date
    ) -> Iterator[tuple[list[str], Figures]]:
        if first > last or not posts:
            return
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        bounds = [_midnight(day) for day in [*days, last + timedelta(days=1)]]
        added = {
            post.name: _differences(list(self._vendor.world.course(post, bounds)))
            for post in posts
        }
        if names == ["video"]:
            yield from (([name], total(rows)) for name, rows in added.items())
        elif names == ["day"]:
            for number, day in enumerate(days):
                yield [day.isoformat()], total(rows[number] for rows in added.values())
        else:
            for name, rows in added.items():
                for day, row in zip(days, rows, strict=True):
                    yield [name, day.isoformat()], row


def _table(
    names: Sequence[str],
    metrics: Sequence[str],
    rows: Sequence[tuple[list[str], Figures]],
) -> dict[str, Any]:
    kinds = [("DIMENSION", "STRING", name) for name in names]
    kinds += [("METRIC", "INTEGER", name) for name in metrics]
    table: dict[str, Any] = {
        "kind": "youtubeAnalytics#resultTable",
        "columnHeaders": [
            {"name": name, "columnType": column, "dataType": data}
            for column, data, name in kinds
        ],
    }
    if rows:
        table["rows"] = [[*k, *(METRICS[m](now) for m in metrics)] for k, now in rows]
    return table


def _differences(levels: Sequence[Figures]) -> list[Figures]:
    return [b.minus(a) for a, b in pairwise(levels)]


def _videos(filters: str | None) -> set[str]:
    name, _, ids = (filters or "").partition("==")
    wanted = {id_ for id_ in ids.split(",") if id_}
    if name != "video" or not 1 <= len(wanted) <= IDS_MAX:
        raise _unsupported()
    return wanted


def _day(text: str | None) -> date:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        problem = f"Invalid value '{text}'. Values must match the following pattern"
        raise errors.bad_request(problem) from None


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp()


def _unsupported() -> Exception:
    return errors.bad_request("The query is not supported.")
