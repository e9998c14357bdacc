"""A report as a plain value: what happened, beside what, and what follows from it.

Words are made elsewhere, from the keys and numbers that stand here.  What is not known
is None with a reason, and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median
from typing import Any, Final

from nexus_actors.analytics.calendar import zone_of
from nexus_actors.analytics.engagement import PLAIN, Base, Rates, rates
from nexus_actors.analytics.figures import Day
from nexus_actors.analytics.metrics import COUNTERS, Reading, State

from .comparisons import Comparison, compare, growth_interval, ratio_interval
from .gathering import USUAL_WEEKS, Material, Post
from .insights import insights
from .periods import DAY, Length, Period


#: Of the form of the value; a reader of another one may not understand it.
SCHEMA: Final = 1

#: A change of less than this many is not told in per cent.
LEAST_BASE: Final = 20

#: How many posts are shown of the best, and of the weakest.
SHOWN: Final = 3

#: The weakest are looked for among posts that are so young: old ones rest.
YOUNG_DAYS: Final = 28

WEEK: Final = 7

#: So many weeks must be whole, to say what is usual.
LEAST_WEEKS: Final = 4

FOLLOWERS: Final = "followers"
RATE: Final = "engagement_rate"
POSTS: Final = "posts_published"


def section(material: Material) -> dict[str, Any]:
    """Return what a report says of one account."""
    comparison = compare(material.samples)
    span = _span(material.period)
    return {
        "platform": material.platform,
        "account": material.account,
        "time_zone": material.time_zone,
        "data_through": _through(material),
        "quality": _quality(material),
        "figures": [
            *(_figure(material, name) for name in COUNTERS),
            _rate(material),
            _followers(material),
            _published(material),
        ],
        "series": _series(material, span),
        "posts": _ranking(material),
        "formats": _formats(comparison),
        "times": _times(comparison),
        "compared_posts": comparison.n,
        "anomalies": [one.to_json() for one in material.findings],
        **insights(material, comparison),
    }


def _span(period: Period) -> list[date]:
    return [period.since + timedelta(days=at) for at in range(period.days)]


# how good the figures are


def _through(material: Material) -> str | None:
    """Return the last day of the period up to which all figures are final."""
    views = material.days.get("views") or material.days.get(FOLLOWERS) or {}
    found = None
    for day in _span(material.period):
        if day in views and views[day].final:
            found = day
    return found.isoformat() if found else None


def _quality(material: Material) -> dict[str, Any]:
    views = material.days.get("views", {})
    span = _span(material.period)
    known = [views[day] for day in span if day in views]
    spans = (material.period.prior.since, material.period.until)
    return {
        "days": len(span),
        "known": len(known),
        "final": sum(day.final for day in known),
        "missing": [day.isoformat() for day in span if day not in views],
        "spread": [day.day.isoformat() for day in known if day.imputed],
        "unfinished": [day.day.isoformat() for day in known if day.unfinished],
        "breaks": [
            {
                "metric": each.metric,
                "since": each.since.isoformat(),
                "until": each.until.isoformat(),
                "what": each.what,
            }
            for each in material.breaks
            if each.since <= spans[1] and each.until >= spans[0]
        ],
        "collected_at": material.seen_at.isoformat() if material.seen_at else None,
    }


# figures


def _figure(material: Material, name: str) -> dict[str, Any]:
    """Return the sum of a counter over the period, beside that of the one before."""
    days = material.days.get(name, {})
    now, before = material.period, material.period.prior
    value, prior = _sum(days, now), _sum(days, before)
    found: dict[str, Any] = {"metric": name, "value": value, "prior": prior}
    found |= {"reason": None, "days": _known(days, now), "of": now.days}
    if value is None:
        state = material.states.get(name, State.NOT_YET)
        found["reason"] = state.name.lower() if material.posts else "no_posts"
    found["corrections"] = sum(d.correction for d in _within(days, now)) or None
    found |= _change(material, name, value, prior)
    found["usual"] = _usual(days, now)
    return found


def _within(days: Mapping[date, Day], period: Period) -> list[Day]:
    return [days[day] for day in _span(period) if day in days]


def _known(days: Mapping[date, Day], period: Period) -> int:
    return len(_within(days, period))


def _sum(days: Mapping[date, Day], period: Period) -> int | None:
    within = _within(days, period)
    return sum(day.value for day in within) if within else None


def _change(
    material: Material, name: str, value: int | None, prior: int | None
) -> dict[str, Any]:
    """Return how much more that is than before; or why it is not to be compared."""
    now, before = material.period, material.period.prior
    days = material.days.get(name, {})
    why = None
    if value is None or prior is None:
        why = "nothing_before" if value is not None else "nothing"
    elif any(day.is_break for day in (*_within(days, now), *_within(days, before))):
        why = "definition_break"
    elif _known(days, now) < now.days or _known(days, before) < before.days:
        why = "days_missing"
    if why or value is None or prior is None:
        none = dict.fromkeys(("difference", "change", "change_interval"))
        return {**none, "no_change": why}
    # months differ in length: by the day
    scaled = prior * now.days / before.days
    small = prior < LEAST_BASE
    interval = (
        None if small else growth_interval(_weeks(days, now), _weeks(days, before))
    )
    return {
        "difference": value - prior,
        "change": None if small else value / scaled - 1,
        "change_interval": list(interval) if interval else None,
        "no_change": "small_base" if small else None,
    }


def _weeks(days: Mapping[date, Day], period: Period) -> list[int]:
    """Return the sums of the weeks of a period, from its end, if all are final."""
    within = _within(days, period)
    if not all(day.final for day in within):
        return []
    ends = range(len(within), WEEK - 1, -WEEK)
    return [sum(day.value for day in within[end - WEEK : end]) for end in ends]


def _usual(days: Mapping[date, Day], now: Period) -> dict[str, Any] | None:
    """Return between what the weeks before lay, where enough of them are whole."""
    if now.length is not Length.WEEK:
        return None
    sums = []
    for back in range(1, USUAL_WEEKS + 1):
        since = now.since - timedelta(weeks=back)
        week = Period(length=Length.WEEK, since=since, until=since + 6 * DAY)
        within = _within(days, week)
        whole = len(within) == week.days and not any(day.is_break for day in within)
        if whole:
            sums.append(sum(day.value for day in within))
    if len(sums) < LEAST_WEEKS or any(day.is_break for day in _within(days, now)):
        return None
    return {
        "low": min(sums),
        "median": median(sums),
        "high": max(sums),
        "weeks": len(sums),
    }


def _rates(posts: Sequence[Post]) -> Rates:
    return rates([(post.gained, None) for post in posts], Base.VIEWS, weights=PLAIN)


def _rate(material: Material) -> dict[str, Any]:
    """Return the engagements by the views, both of the period alone."""
    found = _rates(material.posts)
    whole = found.whole
    each = [_rates([post]).whole for post in material.posts]
    parts = [
        (one.engagements, one.base)
        for one in each
        if one.engagements is not None and one.base
    ]
    interval = ratio_interval(parts)
    return {
        "metric": RATE,
        "value": whole.value,
        "reason": whole.reason,
        "formula": whole.formula,
        "posts": found.posts,
        "left_out": found.left_out,
        "median": found.median,
        "low_sample": whole.low_sample,
        "interval": list(interval) if interval else None,
    }


def _followers(material: Material) -> dict[str, Any]:
    """Return the level at the end, and by how much it has changed in the period."""
    days = material.days.get(FOLLOWERS, {})
    now = material.period
    last = days.get(now.until)
    opening = days.get(now.since - DAY)
    before = days.get(now.prior.since - DAY)
    within = _within(days, now)
    level = last.value if last else (within[-1].value if within else None)
    net = level - opening.value if level is not None and opening else None
    prior = opening.value - before.value if opening and before else None
    enough = opening is not None and opening.value >= LEAST_BASE
    growth = net / opening.value if net is not None and opening and enough else None
    return {
        "metric": FOLLOWERS,
        "value": level,
        "reason": None if level is not None else "not_collected",
        "net": net,
        "prior": prior,
        "change": growth,
        "opening": opening.value if opening else None,
    }


def _published(material: Material) -> dict[str, Any]:
    tz = zone_of(material.time_zone)
    dates = [
        p.published_at.astimezone(tz).date() for p in material.posts if p.published_at
    ]
    now, before = material.period, material.period.prior
    return {
        "metric": POSTS,
        "value": sum(now.since <= day <= now.until for day in dates),
        "reason": None,
        "prior": sum(before.since <= day <= before.until for day in dates),
    }


# by day


def _series(material: Material, span: list[date]) -> list[dict[str, Any]]:
    """Return the views of each day, beside that day of the period before."""
    views, levels = material.days.get("views", {}), material.days.get(FOLLOWERS, {})
    prior = _span(material.period.prior)
    rows = []
    for at, day in enumerate(span):
        earlier = views.get(prior[at]) if at < len(prior) else None
        now = views.get(day)
        rows.append(
            {
                "day": day.isoformat(),
                "views": now.value if now else None,
                "final": bool(now and now.final),
                "before": earlier.value if earlier else None,
                "followers": levels[day].value if day in levels else None,
            }
        )
    return rows


# posts


def _ranking(material: Material) -> dict[str, Any]:
    """Return the posts that got most views; and those that got least at one age.

    By the views of the period, the weakest would be the oldest.  Where too few posts of
    the last weeks are old enough, there is nothing else to rank by.
    """
    seen = [p for p in material.posts if number(p.gained.get("views")) is not None]
    ranked = sorted(seen, key=lambda post: (-_views(post), post.id))
    since = material.ends_at - timedelta(days=YOUNG_DAYS)
    young = [
        post
        for post in ranked
        if post.at_age is not None and post.published_at and post.published_at >= since
    ]
    by_age = len(young) > 1
    pool = young if by_age else ranked
    upwards = sorted(
        pool, key=lambda p: ((p.at_age or 0) if by_age else _views(p), p.id)
    )
    shown = min(SHOWN, max(1, len(ranked) // 2))
    best = ranked[:shown]
    weakest = [post for post in upwards if post not in best][:shown]
    total = sum(_views(post) for post in ranked)
    return {
        "metric": "views",
        "considered": len(ranked),
        "without_views": len(material.posts) - len(ranked),
        "median": median([_views(post) for post in ranked]) if ranked else None,
        "total": total if ranked else None,
        "weakest_among": len(pool),
        "weakest_by_age": by_age,
        "best": [_post(material, post, total) for post in best],
        "weakest": [_post(material, post, total) for post in weakest],
    }


def _views(post: Post) -> int:
    return number(post.gained.get("views")) or 0


def number(reading: Reading | None) -> int | None:
    """Return the figure; None where there is none."""
    return None if reading is None or isinstance(reading, State) else reading


def _post(material: Material, post: Post, total: int) -> dict[str, Any]:
    tz = zone_of(material.time_zone)
    found = _rates([post]).whole
    at = post.published_at
    return {
        "id": post.id,
        "title": post.title,
        "url": post.url,
        "picture_url": post.picture_url,
        "format": post.format,
        "published_at": at.astimezone(tz).isoformat() if at else None,
        "gone": post.gone,
        "views": _views(post),
        "views_at_7d": post.at_age,
        "share": _views(post) / total if total else None,
        "days": post.days,
        "engagement_rate": found.value,
        "rate_reason": found.reason,
        "low_sample": found.low_sample,
        "gained": {name: number(value) for name, value in post.gained.items()},
    }


# what is compared


def _formats(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "format": each.format,
            "n": each.effect.n,
            "median": each.median,
            "ratio": each.effect.ratio,
            "interval": [each.effect.low, each.effect.high],
        }
        for each in comparison.formats
    ]


def _times(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "weekday": cell.weekday,
            "hour": cell.hour,
            "n": cell.effect.n,
            "weeks": cell.weeks,
            "ratio": cell.effect.ratio,
            "interval": [cell.effect.low, cell.effect.high],
        }
        for cell in comparison.cells
    ]
