"""YouTube: the Data API, which has lifetime counters alone.

What a creator hides is left out of an answer, and numbers are text.  Daily figures,
watch time and shares are in the Analytics API.  Source: YouTube Data API v3, "Videos:
list", "Channels: list", "PlaylistItems: list" and "Quota Calculator".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.metrics import (
    YOUTUBE,
    Reading,
    State,
    account_names,
    post_names,
)
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.core.errors import RejectedError
from nexus_actors.core.http import Call
from nexus_actors.platforms import youtube
from nexus_actors.platforms.verdicts import field


_API: Final = "/youtube/v3"
_POST: Final = post_names(YOUTUBE)
_ACCOUNT: Final = account_names(YOUTUBE)

#: A duration as ISO 8601 has it: days, hours, minutes and seconds.
_DURATION: Final = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


class YouTubeCollector(Collector):
    """Reads a channel's uploads; one unit of the quota for each call."""

    name = "youtube"
    batch = 50
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
        params = {"part": "snippet,contentDetails,statistics", "id": ",".join(ids)}
        answer = access.send(Call("GET", f"{_API}/videos", params=params)).json()
        return [_post(item) for item in field(answer, "items") or []]

    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        # the playlist of the channel's name has its uploads; a search costs 100 times
        params: dict[str, str | int] = {
            "part": "contentDetails",
            "playlistId": "UU" + account.removeprefix("UC"),
            "maxResults": self.batch,
        }
        if cursor is not None:
            params["pageToken"] = cursor
        answer = access.send(Call("GET", f"{_API}/playlistItems", params=params)).json()
        items = field(answer, "items") or []
        ids = [str(field(item, "contentDetails", "videoId")) for item in items]
        posts = tuple(self.read_posts(access, ids)) if ids else ()
        return Page(posts=posts, cursor=field(answer, "nextPageToken"))


def _post(item: Mapping[str, Any]) -> PostReading:
    published = field(item, "snippet", "publishedAt")
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
