"""Instagram: media insights and the account's days, for accounts of Instagram Login.

What is not known yet is an empty list, a story with few viewers is an error, and one
name that is not taken fails the whole call.  Source: Instagram Platform, "Instagram
Media Insights", "Instagram Account Insights" and "IG User"; Graph API, "Batch
Requests".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.graph import (
    Told,
    insights_of,
    is_gone,
    is_name,
    read_all,
)
from nexus_actors.analytics.metrics import (
    INSTAGRAM,
    INSTAGRAM_DAYS,
    Reading,
    State,
    account_names,
    day_names,
    post_names,
    reading_of,
)
from nexus_actors.analytics.readings import AccountReading, DayReading, PostReading
from nexus_actors.core.errors import AuthorizationError, NexusError, RejectedError
from nexus_actors.core.http import ApiClient, Call
from nexus_actors.platforms import meta
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import field


_POST: Final = post_names(INSTAGRAM)
_ACCOUNT: Final = account_names(INSTAGRAM)
_DAYS: Final = day_names(INSTAGRAM_DAYS)

_WATCHED: Final = {"watch_ms", "avg_watch_ms"}

#: Which of our metrics a kind of post has not, by ``media_product_type``.
LACKS: Final[Mapping[str, set[str]]] = {
    "FEED": _WATCHED,
    "REELS": {"profile_visits"},
    "STORY": _WATCHED | {"likes", "comments", "saves", "reposts"},
}

#: Of a video, the picture is its thumbnail.
_PICTURE: Final = "thumbnail_url,media_type,media_url"
_NODE: Final = f"id,timestamp,media_product_type,caption,permalink,{_PICTURE}"

#: What a story with fewer than five viewers is refused with.
TOO_FEW: Final = "10/None"

#: What those who follow from now on, and those who do so no more, are called.
FOLLOWS: Final = "follows_and_unfollows"
_FOLLOWERS: Final = {"FOLLOWER": "followers_gained", "NON_FOLLOWER": "followers_lost"}

PACIFIC: Final = ZoneInfo("America/Los_Angeles")


class InstagramCollector(Collector):
    """Reads fifty posts with one call, of which each counts.

    Of a post that was never seen its kind is asked first: the metrics follow from it.
    """

    name = "instagram"
    batch = meta.BATCH
    day_zone = PACIFIC.key

    @staticmethod
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return meta.client(settings, "instagram", token)

    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        wanted = {"fields": ",".join(["user_id", *_ACCOUNT])}
        me = access.send(Call("GET", "/me", params=wanted)).json()
        values = {
            name: reading_of(me.get(vendor), factor, State.WITHHELD)
            for vendor, (name, factor) in _ACCOUNT.items()
        }
        return str(me["user_id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        formats = {id_: access.formats.get(id_, "").upper() for id_ in ids}
        nodes: dict[str, Mapping[str, Any]] = {
            id_: {"id": id_, "media_product_type": product}
            for id_, product in formats.items()
            if product in LACKS
        }
        unknown = [id_ for id_ in ids if id_ not in nodes]
        if unknown:
            told = read_all(access, [f"{id_}?fields={_NODE}" for id_ in unknown])
            found = zip(unknown, map(_there, told), strict=True)
            nodes |= {id_: node for id_, node in found if node is not None}
        return self._posts(access, [nodes[id_] for id_ in ids if id_ in nodes])

    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        params: dict[str, str | int] = {"fields": _NODE, "limit": self.batch}
        if cursor is not None:
            params["after"] = cursor
        call = Call("GET", f"/{account}/media", params=params)
        answer = access.send(call).json()
        posts = self._posts(access, field(answer, "data") or [])
        more = field(answer, "paging", "next")
        after = field(answer, "paging", "cursors", "after") if more else None
        return Page(posts=tuple(posts), cursor=after)

    def _posts(
        self, access: Access, nodes: Sequence[Mapping[str, Any]]
    ) -> list[PostReading]:
        """Return the posts with their insights; those that are gone are left out."""
        products = {str(n["id"]): str(n.get("media_product_type")) for n in nodes}
        values = self._values(access, products)
        return [
            PostReading(
                id=id_,
                values=values[id_],
                published_at=_instant(node.get("timestamp")),
                format=products[id_].lower(),
                title=node.get("caption"),
                url=node.get("permalink"),
                picture_url=_picture(node),
            )
            for node in nodes
            if (id_ := str(node["id"])) in values
        ]

    def _values(
        self, access: Access, products: Mapping[str, str]
    ) -> dict[str, dict[str, Reading]]:
        """Return the figures by post; a name not taken costs itself alone."""
        found: dict[str, dict[str, Reading]] = {}
        waiting = dict(products)
        while waiting:
            asked = {p: _left(access, p) for p in {*waiting.values()}}
            paths = [_insights(id_, asked[p]) for id_, p in waiting.items()]
            told = dict(zip(waiting, read_all(access, paths), strict=True))
            refused: dict[str, tuple[str, RejectedError]] = {}
            for id_, product in list(waiting.items()):
                one = told[id_]
                if isinstance(one, RejectedError) and is_name(one):
                    refused.setdefault(product, (id_, one))
                    continue
                del waiting[id_]
                if not is_gone(one):
                    found[id_] = _readings(product, one, asked[product])
            for product, (id_, error) in refused.items():
                self._search(access, id_, product, asked[product], error)
        return found

    def _search(
        self,
        access: Access,
        id_: str,
        product: str,
        names: Sequence[str],
        error: RejectedError,
    ) -> None:
        def ask(part: Sequence[str]) -> object:
            return access.send(Call("GET", f"/{_insights(id_, part)}"))

        api = f"{INSTAGRAM}/{product}"
        access.refusals.search(api, names, ask, error, is_name=is_name)

    def read_days(
        self,
        access: Access,
        account: str,
        *,
        since: date,
        until: date,
        posts: Sequence[str] = (),  # noqa: ARG002 - those have no days
    ) -> Sequence[DayReading]:
        span = range((until - since).days + 1)
        days = [since + timedelta(days=number) for number in span]

        def ask(names: Sequence[str]) -> list[Told]:
            # a total is of the whole span: each day is a call
            metric = f"metric={','.join(names)}"
            paths = [f"{account}/insights?{metric}&{_span(day)}" for day in days]
            told = read_all(access, paths)
            if error := next((t for t in told if isinstance(t, NexusError)), None):
                raise error
            return told

        told = access.refusals.ask(INSTAGRAM_DAYS, _DAYS, ask, is_name=is_name) or []
        api = f"{INSTAGRAM_DAYS}/{FOLLOWS}"

        def ask_follows(names: Sequence[str]) -> list[Told]:
            return ask([f"{name}&breakdown=follow_type" for name in names])

        follows = access.refusals.ask(api, [FOLLOWS], ask_follows, is_name=is_name)
        found = []
        for number, day in enumerate(days):
            values = _totals(told[number]) if told else {}
            values |= _follows(follows[number]) if follows else {}
            if any(not isinstance(value, State) for value in values.values()):
                found.append(DayReading(day=day, values=values))
        return found


def _there(told: Told) -> Mapping[str, Any] | None:
    if not isinstance(told, NexusError):
        return told
    if is_gone(told):
        return None
    raise told


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _wanted(product: str) -> dict[str, tuple[str, int]]:
    lacks = LACKS.get(product, set())
    return {v: known for v, known in _POST.items() if known[0] not in lacks}


def _left(access: Access, product: str) -> list[str]:
    return access.refusals.left(f"{INSTAGRAM}/{product}", _wanted(product))


def _insights(id_: str, names: Sequence[str]) -> str:
    return f"{id_}/insights?metric={','.join(names)}"


def _readings(product: str, told: Told, asked: Sequence[str]) -> dict[str, Reading]:
    names = _wanted(product)
    if not isinstance(told, NexusError):
        return insights_of(told, names, asked)
    few = isinstance(told, AuthorizationError) and "viewers" in told.message
    if not few or told.details.get("reason") != TOO_FEW:
        raise told
    return {name: State.WITHHELD for name, _ in names.values()}


def _span(day: date) -> str:
    begins, ends = (
        datetime(d.year, d.month, d.day, tzinfo=PACIFIC)
        for d in (day, day + timedelta(days=1))
    )
    span = f"since={begins.timestamp():.0f}&until={ends.timestamp():.0f}"
    return f"period=day&metric_type=total_value&{span}"


def _totals(told: Any) -> dict[str, Reading]:
    values: dict[str, Reading] = {}
    for item in field(told, "data") or []:
        if known := _DAYS.get(str(item.get("name"))):
            value = field(item, "total_value", "value")
            values[known[0]] = reading_of(value, known[1], State.NOT_YET)
    return values


def _follows(told: Any) -> dict[str, Reading]:
    results = field(told, "data", 0, "total_value", "breakdowns", 0, "results")
    return {
        name: reading_of(result.get("value"), 1, State.WITHHELD)
        for result in results or []
        if (name := _FOLLOWERS.get(str(field(result, "dimension_values", 0))))
    }


def _picture(node: Mapping[str, Any]) -> str | None:
    is_video = node.get("media_type") == "VIDEO"
    found: str | None = node.get("thumbnail_url" if is_video else "media_url")
    return found
