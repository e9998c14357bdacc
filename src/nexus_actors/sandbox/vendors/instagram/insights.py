"""Media insights: which metrics there are for which product, and their figures."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.sandbox.growth import Figures
from nexus_actors.sandbox.vendors.meta import errors


#: Whether FEED, REELS and STORY have a metric.
PRODUCTS: Final = ("FEED", "REELS", "STORY")
METRICS: Final = {
    "views": (True, True, True),
    "reach": (True, True, True),
    "likes": (True, True, False),
    "comments": (True, True, False),
    "saved": (True, True, False),
    "shares": (True, True, True),
    "total_interactions": (True, True, True),
    "reposts": (True, True, False),
    "ig_reels_avg_watch_time": (False, True, False),
    "ig_reels_video_view_total_time": (False, True, False),
    "reels_skip_rate": (False, True, False),
    "profile_visits": (True, False, True),
    "follows": (True, False, True),
    "replies": (False, False, True),
}

#: Below so many viewers a story tells nothing.
STORY_VIEWERS: Final = 5

#: How long a view lasts, in milliseconds.
VIEW_MS: Final = 6000


def check(names: list[str], product: str, retired: tuple[str, ...]) -> None:
    """Refuse what the product has not.

    Raises:
        Refusal: A name is none, or not of this product.
    """
    for at, name in enumerate(names):
        if name not in METRICS or name in retired:
            known = ", ".join(name for name in METRICS if name not in retired)
            text = f"metric[{at}] must be one of the following values: {known}"
            raise errors.invalid(text)
        if not METRICS[name][PRODUCTS.index(product)]:
            raise errors.invalid(
                f"The Media Insights API does not support the {name} metric for this "
                "media product type."
            )


def told(media: str, names: list[str], now: Figures) -> list[dict[str, Any]]:
    """Return the figures of a post, as the API tells them."""
    reach = now.views * 4 // 5
    sums = now.likes + now.comments + now.shares
    values: dict[str, float] = {
        "views": now.views,
        "reach": reach,
        "likes": now.likes,
        "comments": now.comments,
        "saved": now.shares // 2,
        "shares": now.shares,
        "total_interactions": sums,
        "reposts": now.shares // 5,
        "ig_reels_avg_watch_time": VIEW_MS + 194,  # of fewer views than are told
        "ig_reels_video_view_total_time": now.views * VIEW_MS,
        "reels_skip_rate": 31.5,
        "profile_visits": reach // 50,
        "follows": reach // 400,
        "replies": now.comments,
    }
    return [
        {
            "name": name,
            "period": "lifetime",
            "values": [{"value": values[name]}],
            "title": name.replace("_", " ").capitalize(),
            "description": "",
            "id": f"{media}/insights/{name}/lifetime",
        }
        for name in names
    ]
