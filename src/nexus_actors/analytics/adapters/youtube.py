"""YouTube: lifetime counters of the Data API, and days of the Analytics API.

What a creator hides is left out of an answer of the Data API, where numbers are text.
The Analytics API tells of whole days only, two or three later, and may have negative
amounts.  Source: YouTube Data API v3, "Videos: batchGetStats", "Channels: list",
"PlaylistItems: list", "Quota Calculator" and revision history; YouTube Analytics API,
"Reports: Query", "Data Model" and "Channel Reports".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Final

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.metrics import (
    YOUTUBE,
    YOUTUBE_DAYS,
    Reading,
    State,
    account_names,
    day_names,
    post_names,
    reading_of,
)
from nexus_actors.analytics.readings import AccountReading, DayReading, PostReading
from nexus_actors.core.errors import RejectedError
from nexus_actors.core.http import Call
from nexus_actors.platforms import youtube
from nexus_actors.platforms.verdicts import field


_API: Final = "/youtube/v3"
_POST: Final = post_names(YOUTUBE)
_ACCOUNT: Final = account_names(YOUTUBE)
_DAYS: Final = day_names(YOUTUBE_DAYS)

#: Where the Analytics API is.
ANALYTICS_HOST: Final = "youtubeanalytics.googleapis.com"

#: How many videos one report names: 500 may be, in a URL that is twice as long.
REPORTED: Final = 200

#: What is no figure of a video's day.
_OF_CHANNEL: Final = frozenset({"followers_gained", "followers_lost"})

#: What a report is refused with that has a name which is not taken; the client gives
#: no reason for those that it does not know.
_REFUSALS: Final = frozenset({None, "badRequest", "invalid", "invalidParameter"})

#: A duration as ISO 8601 has it: days, hours, minutes and seconds.
_DURATION: Final = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


class YouTubeCollector(Collector):
    """Reads a channel's uploads.

    Statistics have a quota of their own; whatever else is asked costs a unit of that
    by which the channel publishes.
    """

    name = "youtube"
    batch = 50
    day_zone = youtube.PACIFIC.key
    make_client = staticmethod(youtube.client)

    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        params = {"part": "id,statistics", "mine": "true"}
        answer = access.send(Call("GET", f"{_API}/channels", params=params)).json()
        channel = field(answer, "items", 0)
        if channel is None:
            raise RejectedError(
                "YouTube: this Google account has no channel", code="no_channel"
            )
        values = _readings(field(channel, "statistics"), _ACCOUNT)
        return str(channel["id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        params = {"part": "id,snippet,contentDetails,statistics", "id": ",".join(ids)}
        call = Call("GET", f"{_API}/videos:batchGetStats", params=params)
        answer = access.send(call).json()
        return [_post(item) for item in field(answer, "items") or []]

    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        # the playlist of the channel's name has its uploads; a search costs 100 times
        params: dict[str, str | int] = {
            "part": "contentDetails,snippet",
            "playlistId": "UU" + account.removeprefix("UC"),
            "maxResults": self.batch,
        }
        if cursor is not None:
            params["pageToken"] = cursor
        answer = access.send(Call("GET", f"{_API}/playlistItems", params=params)).json()
        titles = {
            str(field(item, "contentDetails", "videoId")): field(
                item, "snippet", "title"
            )
            for item in field(answer, "items") or []
        }
        found = self.read_posts(access, [*titles]) if titles else ()
        # which the statistics do not tell
        posts = tuple(replace(post, title=titles.get(post.id)) for post in found)
        return Page(posts=posts, cursor=field(answer, "nextPageToken"))

    def read_days(
        self,
        access: Access,
        account: str,
        *,
        since: date,
        until: date,
        posts: Sequence[str] = (),
    ) -> Sequence[DayReading]:
        span = {"startDate": since.isoformat(), "endDate": until.isoformat()}
        span |= {"ids": f"channel=={account}"}
        found = _days(access, _DAYS, {"dimensions": "day", "sort": "day"} | span)
        of_video = {
            v: known for v, known in _DAYS.items() if known[0] not in _OF_CHANNEL
        }
        for at in range(0, len(posts), REPORTED):
            videos = ",".join(posts[at : at + REPORTED])
            asked = {"dimensions": "video,day", "filters": f"video=={videos}"}
            found += _days(access, of_video, asked | span)
        return found


def _days(
    access: Access, names: Mapping[str, tuple[str, int]], asked: Mapping[str, str]
) -> list[DayReading]:
    """Return the days of a report; it ends with the last that has all figures."""

    def ask(metrics: Sequence[str]) -> Any:
        params = {"metrics": ",".join(metrics), **asked}
        base_url = access.platforms.at("youtube", ANALYTICS_HOST)
        call = Call("GET", "/v2/reports", params=params)
        return access.send(call, base_url=base_url).json()

    api = f"{YOUTUBE_DAYS}/{asked['dimensions']}"
    answer = access.refusals.ask(api, names, ask, is_name=_is_name)
    columns = [str(header["name"]) for header in field(answer, "columnHeaders") or []]
    rows = [dict(zip(columns, row, strict=True)) for row in field(answer, "rows") or []]
    return [
        DayReading(
            day=date.fromisoformat(row["day"]),
            post=row.get("video"),
            values={
                name: reading_of(row[vendor], factor, State.NOT_YET)
                for vendor, (name, factor) in names.items()
                if vendor in row
            },
        )
        for row in rows
    ]


def _is_name(error: RejectedError) -> bool:
    is_bad = error.details.get("status") == HTTPStatus.BAD_REQUEST
    return is_bad and error.details.get("reason") in _REFUSALS


def _post(item: Mapping[str, Any]) -> PostReading:
    published = field(item, "snippet", "publishTime")
    return PostReading(
        id=str(item["id"]),
        values=_readings(field(item, "statistics"), _POST),
        published_at=datetime.fromisoformat(published) if published else None,
        duration_ms=_duration_ms(field(item, "contentDetails", "duration")),
        format="video",
        title=field(item, "snippet", "title"),
        url=f"https://www.youtube.com/watch?v={item['id']}",
        picture_url=field(item, "snippet", "thumbnails", "medium", "url"),
    )


def _readings(
    statistics: Any, names: Mapping[str, tuple[str, int]]
) -> dict[str, Reading]:
    """Return the figures of an answer; one that is not there was hidden."""
    return {
        name: State.WITHHELD
        if (value := field(statistics, vendor)) is None
        else int(value)
        for vendor, (name, _) in names.items()
    }


def _duration_ms(text: Any) -> int | None:
    found = _DURATION.fullmatch(str(text))
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return total * 1000 or None  # not known yet
