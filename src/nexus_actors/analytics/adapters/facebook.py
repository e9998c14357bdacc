"""Facebook: a Page's posts with their insights, and the Page's own days.

Reactions, comments and shares are fields of the post, which need no insights.  Metrics
of impressions and of fans are gone since November 2025, those of unique impressions
since June 2026; media views and viewers stand in their place.  Source: Graph API, "Page
Insights", "Page Post", "Published Posts", and "Deprecated Facebook Page Insights
Metrics".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.graph import insights_of, is_gone, is_name, read_all
from nexus_actors.analytics.metrics import (
    FACEBOOK,
    FACEBOOK_DAYS,
    FACEBOOK_NODE,
    Reading,
    State,
    account_names,
    day_names,
    post_names,
    reading_of,
)
from nexus_actors.analytics.readings import AccountReading, DayReading, PostReading
from nexus_actors.core.errors import NexusError, RejectedError
from nexus_actors.core.http import ApiClient, Call
from nexus_actors.platforms import meta
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import field


_POST: Final = post_names(FACEBOOK)
_NODE: Final = post_names(FACEBOOK_NODE)
_ACCOUNT: Final = account_names(FACEBOOK_NODE)
_DAYS: Final = day_names(FACEBOOK_DAYS)

#: The metrics of posts with a film alone.
FILM: Final = frozenset({"watch_ms", "avg_watch_ms"})

#: Where a post's own fields have our figures.
_FIGURES: Final = {
    "reactions": ("reactions", "summary", "total_count"),
    "comments": ("comments", "summary", "total_count"),
    "shares": ("shares", "count"),
}

_FIELDS: Final = (
    "id,created_time,message,permalink_url,full_picture,"
    "attachments{media_type,target},shares,"
    "comments.limit(0).summary(true),reactions.limit(0).summary(true)"
)

#: How many posts a page of the list has, at the most.
PAGE: Final = 100

PACIFIC: Final = ZoneInfo("America/Los_Angeles")


class FacebookCollector(Collector):
    """Reads all of a post with one call: its fields, and its insights as one of them.

    A film is named by its own id or by that of its post.
    """

    name = "facebook"
    batch = meta.BATCH
    day_zone = PACIFIC.key

    @staticmethod
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return meta.client(settings, "facebook", token)

    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        fields = ",".join(["id", *_ACCOUNT])
        page = access.send(Call("GET", "/me", params={"fields": fields})).json()
        values = {
            name: reading_of(page.get(vendor), factor, State.WITHHELD)
            for vendor, (name, factor) in _ACCOUNT.items()
        }
        return str(page["id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        posts = {id_: id_ for id_ in ids if "_" in id_}
        films = [id_ for id_ in ids if id_ not in posts]
        if films:
            told = read_all(access, [f"{id_}?fields=post_id" for id_ in films])
            found = zip(films, told, strict=True)
            posts |= {id_: str(post) for id_, t in found if (post := _post_id(t))}
        return self._read(access, posts) if posts else []

    def _read(self, access: Access, posts: Mapping[str, str]) -> list[PostReading]:
        """Return the posts of these ids, each under the name by which it was asked."""
        while True:
            names = access.refusals.left(FACEBOOK, _POST)
            fields = _with_insights(names)
            told = read_all(
                access, [f"{id_}?fields={fields}" for id_ in posts.values()]
            )
            refused = next(
                (t for t in told if isinstance(t, RejectedError) and is_name(t)), None
            )
            if refused is None:
                break
            self._search(access, next(iter(posts.values())), names, refused)
        found = []
        for id_, one in zip(posts, told, strict=True):
            if isinstance(one, NexusError):
                if is_gone(one):
                    continue
                raise one
            found.append(_post(one, names, id_))
        return found

    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        params: dict[str, str | int] = {"limit": PAGE}
        if cursor is not None:
            params["after"] = cursor
        answer, names = self._listed(access, f"/{account}/published_posts", params)
        nodes = field(answer, "data") or []
        more = field(answer, "paging", "next")
        return Page(
            posts=tuple(_post(node, names, str(node["id"])) for node in nodes),
            cursor=field(answer, "paging", "cursors", "after") if more else None,
        )

    def _listed(
        self, access: Access, path: str, params: Mapping[str, str | int]
    ) -> tuple[Any, Sequence[str]]:
        """Return a page of a list, and which insights were asked for."""
        while True:
            names = access.refusals.left(FACEBOOK, _POST)
            fields = _with_insights(names)
            call = Call("GET", path, params={"fields": fields, **params})
            try:
                return access.send(call).json(), names
            except RejectedError as error:
                if not is_name(error):
                    raise
                one = Call("GET", path, params={"fields": "id", "limit": 1})
                post = str(field(access.send(one).json(), "data", 0, "id"))
                self._search(access, post, names, error)

    def _search(
        self, access: Access, post: str, names: Sequence[str], error: RejectedError
    ) -> None:
        def ask(part: Sequence[str]) -> object:
            params = {"metric": ",".join(part), "period": "lifetime"}
            return access.send(Call("GET", f"/{post}/insights", params=params))

        access.refusals.search(FACEBOOK, names, ask, error, is_name=is_name)

    def read_days(
        self,
        access: Access,
        account: str,
        *,
        since: date,
        until: date,
        posts: Sequence[str] = (),  # noqa: ARG002 - those have no days
    ) -> Sequence[DayReading]:
        # the value of a day is told under the instant at which it ends
        span: dict[str, str | int] = {
            "period": "day",
            "since": _midnight(since),
            "until": _midnight(until + timedelta(days=1)),
        }

        def ask(names: Sequence[str]) -> Any:
            params = {"metric": ",".join(names), **span}
            call = Call("GET", f"/{account}/insights", params=params)
            return access.send(call).json()

        answer = access.refusals.ask(FACEBOOK_DAYS, _DAYS, ask, is_name=is_name)
        days: dict[date, dict[str, Reading]] = {}
        for item in field(answer, "data") or []:
            known = _DAYS.get(str(item.get("name")))
            if known is None:
                continue
            for told in item.get("values") or []:
                ends = datetime.fromisoformat(told["end_time"]).astimezone(PACIFIC)
                day = (ends - timedelta(hours=12)).date()
                value = reading_of(told.get("value"), known[1], State.NOT_YET)
                if since <= day <= until:
                    days.setdefault(day, {})[known[0]] = value
        return [DayReading(day=day, values=days[day]) for day in sorted(days)]


def _with_insights(names: Sequence[str]) -> str:
    if not names:
        return _FIELDS
    return f"{_FIELDS},insights.metric({','.join(names)}).period(lifetime)"


def _post_id(told: object) -> str | None:
    if isinstance(told, NexusError) and not is_gone(told):
        raise told
    found = field(told, "post_id")
    return None if found is None else str(found)


def _post(node: Mapping[str, Any], asked: Sequence[str], id_: str) -> PostReading:
    kind = field(node, "attachments", "data", 0, "media_type")
    address = str(field(node, "attachments", "data", 0, "target", "url"))
    names = _POST if kind == "video" else _without_film()
    values: dict[str, Reading] = {
        name: reading_of(field(node, *_FIGURES[vendor]), factor, State.WITHHELD)
        for vendor, (name, factor) in _NODE.items()
    }
    if not isinstance(values["likes"], State) and "shares" not in node:
        values["shares"] = 0  # a post that nobody has shared has no such field
    created = node.get("created_time")
    return PostReading(
        id=id_,
        values=values | insights_of(node.get("insights"), names, asked),
        published_at=datetime.fromisoformat(created) if created else None,
        format="reel" if "/reel/" in address else kind or "status",
        title=node.get("message"),
        url=node.get("permalink_url"),
        picture_url=node.get("full_picture"),
    )


def _without_film() -> dict[str, tuple[str, int]]:
    return {vendor: known for vendor, known in _POST.items() if known[0] not in FILM}


def _midnight(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp())
