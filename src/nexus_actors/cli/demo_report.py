"""The demo's end: a weekly report of the sandbox's accounts.

What was just posted has no figures worth a report.  So the accounts get a past: posts
of eight weeks, with the snapshots that collectors would have made of them each night.
No platform tells what a post had weeks ago: of posts that are there already, they have
totals alone.  What is posted in the demo is really collected.  The past follows from a
seed: Tuesdays are strong, reels do better, and one post takes off.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import click

from nexus_actors.core import clock
from nexus_actors.core.errors import InternalError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from .demo_posts import LONGEST_S, POSTS


#: By platform, the account that the sandbox plays; and the formats of its posts.
ACCOUNTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "instagram": ("17841400000000001", ("reels", "reels", "feed")),
    "tiktok": ("-000sandbox-open-id", ("video",)),
    "youtube": ("UCsandbox0000000000000001", ("video",)),
}

#: How long that past is, and how often an account posts.
WEEKS: Final = 8
POSTS_A_WEEK: Final = 5

TITLES: Final = (
    *("Sunrise over the harbour", "Five lenses, one street", "Ferry at six"),
    *("How we light a night market", "Fog, then light", "Behind the bakery"),
    *("The long way home", "Winter boats", "Two minutes of rain"),
)

#: What a day brings, from Monday to Sunday; and a reel, and a Tuesday evening's post.
SEASON: Final = (0.95, 1.0, 0.95, 1.0, 1.05, 1.15, 1.1)
REELS: Final = 1.7
TUESDAY: Final = 1.8

#: A post has half of its views after so many hours; the one that takes off, so many
#: views more a day, from so many days ago on.
HALF_H: Final = 26
EXTRA: Final = 5200
EXTRA_DAYS: Final = 9


@dataclass(frozen=True, slots=True)
class _Past:
    """A post of before: how many views it gets in the end."""

    id: str
    title: str
    format: str
    at: datetime
    most: float


def report_week(title: str, pictures: Sequence[str], user_id: str) -> dict[str, Any]:
    """Give the accounts a past, read what was posted now, and report on the last week.

    Args:
        title: Of the report.
        pictures: In the store, for posts that have none.
        user_id: Who is told.

    Raises:
        InternalError: A job has failed.
    """
    from nexus_actors.analytics import collect_metrics, generate_report

    _write_past(pictures)
    sent = [
        collect_metrics.send(platform=platform, access_token=POSTS[platform][0])
        for platform in ACCOUNTS
    ]
    for message in sent:
        _await(message.message_id)
    made = generate_report.send(period="week", title=title, user_id=user_id)
    found = _await(made.message_id)
    click.echo(f"report  {found['since']} to {found['until']}", err=True)
    return found


def _await(job_id: str) -> dict[str, Any]:
    record = jobs.wait(job_id, timeout_s=LONGEST_S)
    if record.state != "succeeded" or record.result is None:
        why = (record.error or {}).get("message", record.state)
        raise InternalError(f"the report was not made: {why}")
    return dict(record.result)


def _write_past(pictures: Sequence[str]) -> None:
    from nexus_actors.analytics import AccountReading, PostReading
    from nexus_actors.analytics.snapshots import Snapshots
    from nexus_actors.platforms.vault import open_database

    snapshots = Snapshots(open_database(CoreSettings.load()))
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    begin = today - timedelta(weeks=WEEKS)
    for platform, (account, formats) in ACCOUNTS.items():
        owner = snapshots.owner(platform, account, since=begin)
        rng = random.Random(platform)  # noqa: S311 - keeps no secret
        posts = _posts(rng, platform, formats, begin)
        followers = rng.randrange(4_000, 40_000)
        for day in range(1, 7 * WEEKS + 1):
            at = begin + timedelta(days=day)
            readings = [
                PostReading(
                    id=post.id,
                    title=post.title,
                    picture_url=pictures[number % len(pictures)] if pictures else None,
                    format=post.format,
                    published_at=post.at,
                    values=_values(platform, number, _views(post, at, number, today)),
                )
                for number, post in enumerate(posts)
                if post.at < at
            ]
            snapshots.write(owner, readings, at=at)
            followers += rng.randrange(2, 25)
            level = AccountReading(values={"followers": followers})
            snapshots.write_account(owner, level, at=at)


def _posts(
    rng: random.Random, platform: str, formats: Sequence[str], begin: datetime
) -> list[_Past]:
    found = []
    for number in range(WEEKS * POSTS_A_WEEK):
        day = number * 7 // POSTS_A_WEEK
        at = begin + timedelta(days=day, hours=rng.choice((9, 12, 18, 18, 19)))
        evening = at.weekday() == 1 and at.hour >= 18  # noqa: PLR2004
        format_ = rng.choice(formats)
        most = 900 * rng.lognormvariate(0, 0.35) * SEASON[at.weekday()]
        most *= REELS if format_ == "reels" else 1
        most *= TUESDAY if evening else 1
        title = TITLES[number % len(TITLES)]
        found.append(_Past(f"{platform}-{number}", title, format_, at, most))
    return found


def _views(post: _Past, at: datetime, number: int, today: datetime) -> int:
    age_h = (at - post.at) / timedelta(hours=1)
    views = post.most * age_h / (age_h + HALF_H) + post.most * age_h / 4000
    took_off = today - timedelta(days=EXTRA_DAYS)
    if number == WEEKS * POSTS_A_WEEK - 9 and at > took_off:
        views += EXTRA * min((at - took_off) / timedelta(days=1), 3)
    return round(views)


def _values(platform: str, number: int, views: int) -> dict[str, int]:
    values = {
        "views": views,
        "likes": views * (5 + number % 4) // 100,
        "comments": views // 220,
    }
    if platform != "youtube":
        values["shares"] = views // 90
    if platform == "instagram":
        values |= {"reach": views * 4 // 5, "saves": views // 70}
    return values
