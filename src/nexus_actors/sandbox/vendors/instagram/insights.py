"""Insights of media and of accounts: which metrics there are, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


#: The metrics of an account that are totals of a span, and their figures.
ACCOUNT: Final[dict[str, Callable[[Figures], int]]] = {
    "views": lambda now: now.views,
    "reach": lambda now: now.views * 4 // 5,
    "accounts_engaged": lambda now: now.likes,
    "total_interactions": lambda now: now.likes + now.comments + now.shares,
    "likes": lambda now: now.likes,
    "comments": lambda now: now.comments,
    "shares": lambda now: now.shares,
    "saves": lambda now: now.shares // 2,
    "replies": lambda now: now.comments // 10,
    "reposts": lambda now: now.shares // 5,
    "profile_links_taps": lambda now: now.views // 200,
    "follows_and_unfollows": lambda now: now.views // 300,
}

#: The longest span of a call.
SPAN_S: Final = 30 * 86_400


def check_account(
    names: list[str], asked: Mapping[str, str], retired: tuple[str, ...]
) -> tuple[float, float]:
    """Return the span of a call for an account's insights.

    Raises:
        Refusal: There is no such metric, or not in this way.
    """
    for at, name in enumerate(names):
        if name not in ACCOUNT or name in retired:
            known = ", ".join(name for name in ACCOUNT if name not in retired)
            text = f"metric[{at}] must be one of the following values: {known}"
            raise errors.invalid(text)
    if asked.get("period") != "day" or asked.get("metric_type") != "total_value":
        text = f"The following metrics ({', '.join(names)}) should be specified with "
        raise errors.invalid(f"{text}parameter metric_type=total_value")
    by = asked.get("breakdown")
    if by is not None and (by != "follow_type" or names != ["follows_and_unfollows"]):
        raise errors.invalid(f"Incompatible breakdown {by}")
    try:
        since, until = float(asked["since"]), float(asked["until"])
    except (KeyError, ValueError):
        raise errors.invalid("The parameters since and until are required") from None
    if not 0 < until - since <= SPAN_S:
        raise errors.invalid(
            "There cannot be more than 30 days between since and until"
        )
    return since, until


def told_of_account(
    account: str, names: list[str], added: Figures, asked: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what an account got in a span, as the API tells it."""
    found = []
    for name in names:
        value = ACCOUNT[name](added)
        told: dict[str, Any] = {"value": value}
        if "breakdown" in asked:
            results = [
                {"dimension_values": ["FOLLOWER"], "value": value},
                {"dimension_values": ["NON_FOLLOWER"], "value": value // 4},
            ]
            keys = [asked["breakdown"]]
            told = {"breakdowns": [{"dimension_keys": keys, "results": results}]}
        found.append(
            {
                "name": name,
                "period": "day",
                "title": name.replace("_", " ").capitalize(),
                "description": "",
                "total_value": told,
                "id": f"{account}/insights/{name}/day",
            }
        )
    return found


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
