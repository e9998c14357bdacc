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
    State,
    account_names,
    post_names,
    reading_of,
)
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.core.errors import AuthorizationError, RejectedError
from nexus_actors.core.http import Call
from nexus_actors.platforms import tiktok
from nexus_actors.platforms.verdicts import field


_POST: Final = post_names(TIKTOK)
_ACCOUNT: Final = account_names(TIKTOK)

_ABOUT: Final = ("title", "video_description", "share_url", "cover_image_url")
_FIELDS: Final = ("id", "create_time", "duration", *_ABOUT)


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
            name: reading_of(user.get(vendor), factor, State.WITHHELD)
            for vendor, (name, factor) in _ACCOUNT.items()
        }
        return str(user["open_id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        body = {"filters": {"video_ids": list(ids)}}
        return _posts(*_read(access, "/v2/video/query/", body))

    def list_posts(
        self,
        access: Access,
        account: str,  # noqa: ARG002 - the token says whose
        cursor: str | None,
    ) -> Page:
        # milliseconds, where create_time is seconds; a page may hold fewer than asked
        after = {} if cursor is None else {"cursor": int(cursor)}
        body = {"max_count": self.batch, **after}
        answer, names = _read(access, "/v2/video/list/", body)
        more = field(answer, "data", "has_more") is True
        following = str(field(answer, "data", "cursor")) if more else None
        return Page(posts=_posts(answer, names), cursor=following)

    def _user(self, access: Access, names: Sequence[str]) -> Mapping[str, Any]:
        call = Call("GET", "/v2/user/info/", params={"fields": ",".join(names)})
        user: Mapping[str, Any] = field(access.send(call).json(), "data", "user") or {}
        return user


def _read(access: Access, path: str, body: Any) -> tuple[Any, Sequence[str]]:
    """Return what is said of videos, and which figures were asked for."""

    def ask(names: Sequence[str]) -> tuple[Any, Sequence[str]]:
        params = {"fields": ",".join([*_FIELDS, *names])}
        call = Call("POST", path, params=params, json=body, idempotent=True)
        return access.send(call).json(), names

    return access.refusals.ask(TIKTOK, _POST, ask, is_name=_is_name) or ask(())


def _is_name(error: RejectedError) -> bool:
    is_invalid = error.details.get("reason") in {"invalid_param", "invalid_params"}
    return is_invalid and "field" in error.message.lower()


def _posts(answer: Any, asked: Sequence[str]) -> tuple[PostReading, ...]:
    videos = field(answer, "data", "videos") or []
    return tuple(_post(video, asked) for video in videos)


def _post(video: Mapping[str, Any], asked: Sequence[str]) -> PostReading:
    made = video.get("create_time")
    seconds = video.get("duration")
    values = {
        name: reading_of(video.get(vendor), factor, State.NOT_YET)
        if vendor in asked
        else State.NOT_SUPPORTED
        for vendor, (name, factor) in _POST.items()
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
