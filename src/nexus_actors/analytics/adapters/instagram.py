"""Instagram: media insights, for accounts of Instagram Login.

What is not known yet is an empty list, a story with few viewers is an error, and one
name that is not taken fails the whole call.  Source: Instagram Platform, "Instagram
Media Insights" and "IG User".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nexus_actors.analytics.base import Access, Collector, Page
from nexus_actors.analytics.metrics import (
    INSTAGRAM,
    Reading,
    State,
    account_names,
    post_names,
)
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.core.errors import (
    AuthorizationError,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import ApiClient, Call
from nexus_actors.core.logs import get_logger
from nexus_actors.platforms import meta
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import field


log = get_logger(__name__)

_POST: Final = post_names(INSTAGRAM)
_ACCOUNT: Final = account_names(INSTAGRAM)

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

#: How many posts a page of the list has.
PAGE: Final = 25

#: What an object that is not there, or not ours, is refused with.
GONE: Final = "100/33"

#: What a name that is not taken is refused with.
NO_SUCH: Final = "100/None"

#: What a story with fewer than five viewers is refused with.
TOO_FEW: Final = "10/None"


class InstagramCollector(Collector):
    """Reads post by post: there is no call for several."""

    name = "instagram"
    batch = 1

    @staticmethod
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return meta.client(settings, "instagram", token)

    def read_account(self, access: Access) -> tuple[str, AccountReading]:
        wanted = {"fields": ",".join(["user_id", *_ACCOUNT])}
        me = access.send(Call("GET", "/me", params=wanted)).json()
        values = {
            name: _reading(me.get(vendor), State.WITHHELD)
            for vendor, (name, _) in _ACCOUNT.items()
        }
        return str(me["user_id"]), AccountReading(values=values)

    def read_posts(self, access: Access, ids: Sequence[str]) -> Sequence[PostReading]:
        nodes = (self._node(access, id_) for id_ in ids)
        return [self._post(access, node) for node in nodes if node is not None]

    def list_posts(self, access: Access, account: str, cursor: str | None) -> Page:
        params: dict[str, str | int] = {"fields": _NODE, "limit": PAGE}
        if cursor is not None:
            params["after"] = cursor
        call = Call("GET", f"/{account}/media", params=params)
        answer = access.send(call).json()
        posts = tuple(self._post(access, node) for node in field(answer, "data") or [])
        more = field(answer, "paging", "next")
        after = field(answer, "paging", "cursors", "after") if more else None
        return Page(posts=posts, cursor=after)

    def _node(self, access: Access, id_: str) -> Mapping[str, Any] | None:
        call = Call("GET", f"/{id_}", params={"fields": _NODE})
        try:
            found: Mapping[str, Any] = access.send(call).json()
        except RemoteUnavailableError as error:
            if error.details.get("reason") != GONE:
                raise
            return None  # asked several times by now
        return found

    def _post(self, access: Access, node: Mapping[str, Any]) -> PostReading:
        product = str(node.get("media_product_type"))
        lacks = LACKS.get(product, set())
        names = [vendor for vendor, (name, _) in _POST.items() if name not in lacks]
        values = self._values(access, str(node["id"]), names)
        at = node.get("timestamp")
        return PostReading(
            id=str(node["id"]),
            values=values,
            published_at=datetime.fromisoformat(at) if at else None,
            format=product.lower(),
            title=node.get("caption"),
            url=node.get("permalink"),
            picture_url=_picture(node),
        )

    def _values(
        self, access: Access, id_: str, names: Sequence[str]
    ) -> dict[str, Reading]:
        """Return the figures of these names; a name not taken costs itself alone."""
        params = {"metric": ",".join(names)}
        try:
            answer = access.send(Call("GET", f"/{id_}/insights", params=params)).json()
        except AuthorizationError as error:
            if error.details.get("reason") != TOO_FEW or "viewers" not in error.message:
                raise
            return {_POST[vendor][0]: State.WITHHELD for vendor in names}
        except RejectedError as error:
            if error.details.get("reason") != NO_SUCH:
                raise
            return self._halves(access, id_, names)
        told = {
            str(item["name"]): field(item, "values", 0, "value")
            for item in field(answer, "data") or []
        }
        return {
            _POST[vendor][0]: _reading(told.get(vendor), State.NOT_YET)
            for vendor in names
        }

    def _halves(
        self, access: Access, id_: str, names: Sequence[str]
    ) -> dict[str, Reading]:
        if len(names) == 1:
            [name] = names
            log.warning("analytics.metric_refused", platform=self.name, metric=name)
            return {_POST[name][0]: State.NOT_SUPPORTED}
        half = len(names) // 2
        first = self._values(access, id_, names[:half])
        return first | self._values(access, id_, names[half:])


def _picture(node: Mapping[str, Any]) -> str | None:
    is_video = node.get("media_type") == "VIDEO"
    found: str | None = node.get("thumbnail_url" if is_video else "media_url")
    return found


def _reading(value: Any, otherwise: State) -> Reading:
    return round(value) if isinstance(value, int | float) else otherwise
