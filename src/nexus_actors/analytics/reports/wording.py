"""The words of a report: sentences made from its keys and numbers.

All text of a report stands here, in `terms` and in its page, so that what it says is in
one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import Any, Final

from .terms import (
    METRICS,
    WEEKDAYS,
    Body,
    amount,
    change,
    day,
    kind,
    listed,
    number,
    percent,
    platform,
    signed,
    times,
    title,
)


LENGTHS: Final = {
    "day": "Daily report",
    "week": "Weekly report",
    "month": "Monthly report",
    "custom": "Report",
}

BEFORE: Final = {
    "day": "the same weekday of the week before",
    "week": "the week before",
    "month": "the month before",
    "custom": "the period before",
}

#: Why there is no figure; ``{}`` is the platform.
REASONS: Final = {
    "not_supported": "{} does not tell this",
    "withheld": "{} withholds this",
    "not_yet": "not known yet",
    "no_posts": "there are no posts yet",
    "not_collected": "not collected in this period",
}

#: Why there is no comparison.
NO_CHANGE: Final = {
    "nothing_before": "nothing known of the period before",
    "nothing": "",
    "definition_break": "not comparable: it is counted in another way now",
    "days_missing": "not comparable: some days are missing",
    "small_base": "too few to say in per cent",
}


def figure(section: Body, metric: str) -> Body:
    """Return one figure of a section."""
    found: Body = next(f for f in section["figures"] if f["metric"] == metric)
    return found


def reason(section: Body, found: Body) -> str:
    """Return why there is no figure."""
    why = str(found.get("reason") or "not_yet")
    if why in REASONS:
        return REASONS[why].format(platform(section["platform"]))
    metric, _, rest = why.partition("_")
    if rest == "zero":
        return f"there were no {metric} in this period"
    if why in {"no_engagements", "no_post_has_one"}:
        return "no post has all that it is made of"
    text = REASONS.get(rest, "not known").format(platform(section["platform"]))
    return f"{metric}: {text}"


# sentences


def headline(section: Body, length: str) -> str:
    """Return how much there was, and against what."""
    views = figure(section, "views")
    if views["value"] is None:
        return f"No views to tell of: {reason(section, views)}."
    text = f"{number(views['value'])} views"
    if views["days"] < views["of"]:
        text += f" on {views['days']} of {views['of']} days"
    if section["quality"]["final"] < views["days"]:
        text += " so far"
    return f"{text}; {_against(views, length)}."


def _against(found: Body, length: str) -> str:
    if found["prior"] is None:
        return "nothing is known of the period before"
    before = f"{number(found['prior'])} {BEFORE[length]}"
    if found["change"] is not None:
        each = ", by the day" if length == "month" else ""
        return f"{change(found['change'])}{likely(found)} against {before}{each}"
    if found["no_change"] == "small_base":
        return f"{signed(found['difference'])} against {before}"
    return f"{before}, {NO_CHANGE[found['no_change']]}"


def likely(found: Body) -> str:
    """Return between what a change lies, where that is known."""
    if not found.get("change_interval"):
        return ""
    low, high = (change(edge) for edge in found["change_interval"])
    return f" (90\u00a0% interval {low} to {high})"


def usual(found: Body) -> str:
    """Return whether a figure is within what is usual."""
    known = found.get("usual")
    if not known or found["value"] is None or found["days"] < found["of"]:
        return ""
    where = "within"
    if found["value"] > known["high"]:
        where = "above"
    elif found["value"] < known["low"]:
        where = "below"
    low, high = (amount(found["metric"], known[name]) for name in ("low", "high"))
    return (
        f"{where} the range of the {known['weeks']} whole weeks before, {low} to {high}"
    )


def best(section: Body) -> str:
    """Return which post got most views."""
    posts = section["posts"]
    if not posts["best"]:
        return "No post has views in this period."
    first = posts["best"][0]
    share = f", {percent(first['share'])} of all" if posts["considered"] > 1 else ""
    return f"Best: “{title(first)}” with {number(first['views'])} views{share}."


def weakest(section: Body) -> str:
    """Return which post got least."""
    posts = section["posts"]
    if not posts["weakest"]:
        return ""
    last = posts["weakest"][0]
    name = f"“{title(last)}”"
    if posts["weakest_by_age"]:
        got = number(last["views_at_7d"])
        among = f"the {posts['weakest_among']} posts of the last four weeks"
        return f"Weakest of {among}: {name} with {got} views after 7 days."
    return f"Weakest: {name} with {number(last['views'])} views."


def statement(one: Body) -> str:
    """Return what an insight says."""
    args = one["statement"]["args"]
    how = f"{times(args['ratio'])} views after 7 days ({interval(one)})"
    if one["statement"]["key"] == "format_better":
        return f"{kind(args['a']).capitalize()} got {how} against {kind(args['b'])}."
    return (
        f"Posts published on {WEEKDAYS[args['weekday']]}s from {args['hour']:02d}:00 "
        f"to {args['until']:02d}:00 got {how} against what format and trend let expect."
    )


def interval(one: Body) -> str:
    """Return between what an insight's effect lies."""
    low, high = (times(edge) for edge in one["evidence"]["ci"])
    return f"90\u00a0% interval {low} to {high}"


def tested(count: int) -> str:
    """Return how much was looked at for an insight."""
    if count == 1:
        return "It is the only comparison that was tested."
    return f"{count} comparisons were tested together."


def advice(one: Body) -> str:
    """Return what follows from an insight."""
    args = one["statement"]["args"]
    if one["recommendation"]["key"] == "shift_mix":
        return f"Make more {kind(args['a'])}, and fewer {kind(args['b'])}."
    return (
        f"Publish on {WEEKDAYS[args['weekday']]}s from {args['hour']:02d}:00 to "
        f"{args['until']:02d}:00."
    )


def evidence(one: Body) -> str:
    """Return on how much an insight rests."""
    known = one["evidence"]
    if one["kind"] == "format_comparison":
        parts = " and ".join(f"{n} {kind(name)}" for name, n in known["n"].items())
    else:
        parts = f"{known['n']['at_that_time']} posts then, of {known['n']['all']}"
    sure = one["recommendation"]["confidence"]
    return f"{sure} evidence: {parts}, in {known['days']} days"


def thin(one: Body) -> str:
    """Return of what nothing is said, and what is missing."""
    have, need = one["have"], one["need"]
    if one["key"] == "one_format":
        name = kind(one["kinds"][0])
        return f"Formats: there are only {name} to compare, {counted(have)}."
    if one["key"] == "formats":
        return (
            f"Formats: two with at least {need} posts each can be compared; "
            f"the last 90 days have {counted(have)} in all."
        )
    if one["key"] == "scattered":
        return f"Best times: no time of the week has {need} posts."
    return (
        f"Best times: {need} posts of the last 90 days are needed, {have} can be "
        f"compared; {one['missing']} {'is' if one['missing'] == 1 else 'are'} missing."
    )


def thin_lines(section: Body) -> list[str]:
    """Return of what nothing is said."""
    return [thin(one) for one in section["thin"]]


def format_rows(formats: Sequence[Body]) -> list[dict[str, Any]]:
    """Return formats with what people call them."""
    return [{**one, "label": kind(one["format"])} for one in formats]


def to_do(section: Body) -> list[str]:
    """Return what to do, each with what it rests on; never without evidence."""
    found = [
        f"{advice(one)[:-1]} ({times(one['evidence']['effect'])} views, "
        f"{interval(one)}; {evidence(one)})."
        for one in section["insights"]
    ]
    if section["anomalies"]:
        one = max(section["anomalies"], key=_size)
        verb = "repeat what caused" if is_up(one) else "find out what caused"
        found.append(f"Look at {day(one['day'])}, and {verb} it: {anomaly(one)}")
    if not section["insights"]:
        too_few = any(one["key"] in {"times", "scattered"} for one in section["thin"])
        found.append(
            f"Change nothing on these figures alone: {posts_text(section)} can be "
            "compared, too few for advice."
            if too_few
            else f"Change nothing: among {posts_text(section)} no format and no time "
            "stands out."
        )
    return found


def _size(one: Body) -> float:
    """Return how far from what was expected something is."""
    least = max(one["value"], 0.0), max(one["expected"], 0.0)
    return abs(log1p(least[0]) - log1p(least[1]))


def posts_text(section: Body) -> str:
    """Return how many posts can be compared."""
    return counted(section["compared_posts"])


def counted(posts: int) -> str:
    """Return so many posts."""
    return f"{posts} post" if posts == 1 else f"{posts} posts"


def is_up(one: Body) -> bool:
    """Tell whether an anomaly is more than was expected."""
    return one["kind"] in {"spike", "rise", "fast"}


def anomaly(one: Body) -> str:
    """Return what was far from usual."""
    metric = str(one["metric"])
    value, low, high = (amount(metric, one[n]) for n in ("value", "low", "high"))
    name = METRICS[metric].lower()
    sure = sureness(one["confidence"])
    if one["kind"] in {"fast", "slow"}:
        post = title({"id": one["post"], "title": one["title"]})
        return (
            f"“{post}” is {'faster' if is_up(one) else 'slower'} than usual: {value} "
            f"{name}, where {low} to {high} were usual at that age, of "
            f"{one['history']} posts."
        )
    if one["kind"] in {"rise", "fall"} and one["since"] != one["day"]:
        when = f"a day since {day(one['since'])}"
        return f"{value} {name} {when}, where {low} to {high} were usual ({sure})."
    return f"{value} {name}, where {low} to {high} were usual ({sure})."


def sureness(confidence: float) -> str:
    """Return how rare something is, in words that do not promise too much."""
    one_in = 1 / max(1 - confidence, 1e-4)
    if one_in >= 1000:  # noqa: PLR2004 - more is beyond what is known
        return "rarer than one usual day in 1,000"
    return f"as rare as one usual day in {round(one_in):,}"


def because(one: Body) -> list[str]:
    """Return what else moved, and which posts explain it."""
    found = []
    if one["moved"]:
        parts = [
            f"{METRICS[m['metric']].lower()} ({amount(m['metric'], m['value'])}, "
            f"{amount(m['metric'], m['expected'])} expected)"
            for m in one["moved"]
        ]
        found.append(f"Also: {listed(parts)}.")
    elif one["post"] is None:
        found.append("No other figure moved with it.")
    for post in one["posts"]:
        name = title({"id": post["post"], "title": post["title"]})
        part = percent(min(post["share"], 1.0))
        got = f"{amount(one['metric'], post['value'])}, "
        got += f"{amount(one['metric'], post['usual'])} usual"
        found.append(f"“{name}” explains {part} of the difference ({got}).")
    return found


def through(section: Body) -> str:
    """Return up to which day late figures are in."""
    last = section["data_through"]
    quality = section["quality"]
    if last is None:
        return "No day of this period is final yet: late figures are still to come."
    text = f"Data through {day(last)}"
    if quality["final"] < quality["days"]:
        text += f"; {quality['final']} of {quality['days']} days are final"
    return f"{text}."


def notes(section: Body) -> list[str]:
    """Return what else to know of how good the figures are."""
    quality, found = section["quality"], []
    if quality["missing"]:
        days = listed([day(each) for each in quality["missing"][:7]])
        more = len(quality["missing"]) - 7
        found.append(
            f"Not known: {days}{f' and {more} more days' if more > 0 else ''}."
        )
    if quality["spread"]:
        days = listed([day(each) for each in quality["spread"][:7]])
        found.append(f"Spread evenly over a gap between readings: {days}.")
    found += [
        f"From {day(each['since'])}: {each['what']}. It cannot be compared."
        for each in quality["breaks"]
    ]
    for each in section["figures"]:
        if each.get("corrections"):
            name = METRICS[each["metric"]].lower()
            taken = amount(each["metric"], -each["corrections"])
            where = platform(section["platform"])
            found.append(f"{where} has taken back {taken} {name}.")
    return found


def name_of(report: Body) -> str:
    """Return what a report is called."""
    given = report.get("title")
    return str(given) if given else LENGTHS[report["period"]["length"]]


# what a mail says


def mailed(report: Body) -> dict[str, Any]:
    """Return the figures that head a report, and its main statements."""
    metrics, lines = [], []
    several = len(report["accounts"]) > 1
    for section in report["accounts"]:
        where = f"{platform(section['platform'])}: " if several else ""
        metrics += _told_figures(section, where)
        if section["posts"]["best"]:
            lines.append(where + best(section))
        lines += [where + advice(one) for one in section["insights"][:1]]
    return {
        "metrics": metrics[:20],
        "highlights": lines[:6],
        "headline": metrics[0] if metrics and not several else None,
        "best": _extreme(report, "best", max),
        "worst": _extreme(report, "weakest", min),
    }


def _told_figures(section: Body, where: str) -> list[dict[str, str]]:
    told = []
    for metric in ("views", "engagement_rate", "followers"):
        found = figure(section, metric)
        if found["value"] is not None:
            one = {"name": where + METRICS[metric]}
            one["value"] = amount(metric, found["value"])
            if moved := change(found.get("change")):
                one["change"] = moved
            told.append(one)
    return told


def _extreme(report: Body, which: str, choose: Any) -> dict[str, str] | None:
    """Return the best, or the weakest, of all accounts' posts by views."""
    found = []
    for section in report["accounts"]:
        by_age = which == "weakest" and section["posts"]["weakest_by_age"]
        field, words = ("views_at_7d", " after 7 days") if by_age else ("views", "")
        found += [
            (post[field], words, section["platform"], post)
            for post in section["posts"][which][:1]
        ]
    if not found:
        return None
    value, words, name, post = choose(found, key=lambda one: one[0])
    told = number(value) + words
    return {"title": title(post), "platform": platform(name), "value": told}
