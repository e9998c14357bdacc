"""TikTok: the Display API, which has lifetime counters alone.

Reach, saves and watch time are in another API, for business accounts.  Source: TikTok
for Developers, "Query Videos", "List Videos", "Video Object" and "Get User Info".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.metrics import (
    TIKTOK,
    Reading,
    State,
    account_names,
    post_names,
)
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.core.errors import AuthorizationError
from nexus_actors.core.http import Call
from nexus_actors.platforms import tiktok
from nexus_actors.platforms.verdicts import field


_POST: Final = post_names(TIKTOK)
_ACCOUNT: Final = account_names(TIKTOK)

_ABOUT: Final = ("title", "video_description", "share_url", "cover_image_url")
_FIELDS: Final = ",".join(["id", "create_time", "duration", *_ABOUT, *_POST])


class TikTokCollector(Collector):
    """Reads what a creator's own token may see."""

    name = "tiktok"
    batch = 20
    make_client = staticmethod(tiktok.client)

    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        try:
            user = self._user(access, ["open_id", *_ACCOUNT])
        except AuthorizationError as error:
            if error.details.get("reason") != "scope_not_authorized":
                raise
            user = self._user(
                access, ["open_id"]
            )  # the levels have a scope of their own
        values = {
            name: _count(user.get(vendor), State.WITHHELD)
            for vendor, (name, _) in _ACCOUNT.items()
        }
        return str(user["open_id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        call = Call(
            "POST",
            "/v2/video/query/",
            params={"fields": _FIELDS},
            json={"filters": {"video_ids": list(ids)}},
            idempotent=True,
        )
        return _posts(access.send(call).json())

    def list_posts(
        self,
        access: Access,
        account: str,  # noqa: ARG002 - the token says whose
        cursor: str | None,
    ) -> Page:
        # milliseconds, where create_time is seconds; a page may hold fewer than asked
        after = {} if cursor is None else {"cursor": int(cursor)}
        call = Call(
            "POST",
            "/v2/video/list/",
            params={"fields": _FIELDS},
            json={"max_count": self.batch, **after},
            idempotent=True,
        )
        answer = access.send(call).json()
        more = field(answer, "data", "has_more") is True
        following = str(field(answer, "data", "cursor")) if more else None
        return Page(posts=_posts(answer), cursor=following)

    def _user(self, access: Access, names: Sequence[str]) -> Mapping[str, Any]:
        call = Call("GET", "/v2/user/info/", params={"fields": ",".join(names)})
        user: Mapping[str, Any] = field(access.send(call).json(), "data", "user") or {}
        return user


def _posts(answer: Any) -> tuple[PostReading, ...]:
    videos = field(answer, "data", "videos") or []
    return tuple(_post(video) for video in videos)


def _post(video: Mapping[str, Any]) -> PostReading:
    made = video.get("create_time")
    seconds = video.get("duration")
    values = {
        name: _count(video.get(vendor), State.NOT_YET)
        for vendor, (name, _) in _POST.items()
    }
    return PostReading(
        id=str(video["id"]),
        values=values,
        published_at=datetime.fromtimestamp(made, UTC) if made else None,
        duration_ms=seconds * 1000 if seconds else None,
        format="video",
        title=video.get("title") or video.get("video_description"),
        url=video.get("share_url"),
        picture_url=video.get("cover_image_url"),  # good for six hours
    )


def _count(value: Any, otherwise: State) -> Reading:
    return int(value) if isinstance(value, int) else otherwise
