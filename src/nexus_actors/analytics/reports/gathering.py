"""What a report of an account is made from, read from the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from nexus_actors.analytics.calendar import midnights, to_day, zone_of
from nexus_actors.analytics.days import Flag
from nexus_actors.analytics.figures import Day, Figures
from nexus_actors.analytics.findings import Findings
from nexus_actors.analytics.judging import Finding
from nexus_actors.analytics.metrics import (
    COLUMNS,
    COUNTERS,
    Break,
    Reading,
    State,
    breaks_of,
    latency_ms,
    state_of,
)
from nexus_actors.core import clock

from .comparisons import Sample
from .periods import Period


if TYPE_CHECKING:
    from nexus_actors.core.database import Database

#: Posts are compared at this age; and those of so many days before the period's end.
AGE: Final = timedelta(days=7)
COMPARED_DAYS: Final = 90

#: Weeks before the period that tell what is usual.
USUAL_WEEKS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A post in the period.

    Attributes:
        gained: What it got in the period, by metric: a number, or why there is none.
        days: On how many of the period's days that is known.
        at_age: Its views at the age at which posts are compared, if those are known.
    """

    id: str
    title: str | None
    url: str | None
    picture_url: str | None
    format: str | None
    published_at: datetime | None
    gone: bool
    gained: Mapping[str, Reading] = field(default_factory=dict)
    days: int = 0
    at_age: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that is known of an account around a period.

    Attributes:
        days: By metric and day; from eight weeks before the prior period's beginning.
        states: Why the account's posts have no figure of a metric, where none has one.
        seen_at: When it was last looked at; None of an account that never was.
        ends_at: When the period ends.
    """

    platform: str
    account: str
    time_zone: str
    period: Period
    days: Mapping[str, Mapping[date, Day]]
    states: Mapping[str, State]
    posts: tuple[Post, ...]
    samples: tuple[Sample, ...]
    findings: tuple[Finding, ...]
    breaks: tuple[Break, ...]
    seen_at: datetime | None
    ends_at: datetime


def gather(database: Database, platform: str, account: str, period: Period) -> Material:
    """Read what a report is made from.

    Raises:
        NotCollectedError: Nothing was ever collected of the account.
    """
    figures = Figures(database)
    number = figures.number(platform, account)
    zone, seen_ms = _about(database, number)
    first = period.prior.since - timedelta(weeks=USUAL_WEEKS)
    days: dict[str, dict[date, Day]] = {}
    for day in figures.days(platform, account, since=first, until=period.until):
        days.setdefault(day.metric, {})[day.day] = day
    findings = Findings(database).between(number, period.since, period.until)
    bounds = midnights(zone, to_day(period.since), to_day(period.until))
    ends_ms = int(bounds[-1])
    posts, states = _posts(database, number, period, ends_ms + latency_ms(platform))
    at_age = {
        post.id: post.values.get("views")
        for post in figures.posts(platform, account, age=AGE)
    }
    posts = tuple(_with_age(post, at_age.get(post.id)) for post in posts)
    since = clock.from_ms(ends_ms) - timedelta(days=COMPARED_DAYS)
    return Material(
        platform=platform,
        account=account,
        time_zone=zone,
        period=period,
        days=days,
        states=states,
        posts=posts,
        samples=_samples(posts, zone, since, clock.from_ms(ends_ms)),
        findings=tuple(findings),
        breaks=breaks_of(platform),
        seen_at=clock.from_ms(seen_ms) if seen_ms else None,
        ends_at=clock.from_ms(ends_ms),
    )


def _about(database: Database, number: int) -> tuple[str, int]:
    from sqlalchemy import select

    from nexus_actors.core.tables import analytics_accounts as table

    query = select(table.c.time_zone, table.c.seen_ms).where(table.c.id == number)
    with database.read() as connection:
        zone, seen_ms = connection.execute(query).one()
    return zone, seen_ms


def _posts(
    database: Database, number: int, period: Period, until_ms: int
) -> tuple[tuple[Post, ...], dict[str, State]]:
    """Return the posts, the oldest first, and why figures are missing of all."""
    from sqlalchemy import func, select

    from nexus_actors.core.tables import analytics_posts, post_days, post_snapshots

    posts, day, known = analytics_posts.c, post_days.c, post_snapshots.c
    sums = [part for n in COUNTERS for part in (func.sum(day[n]), func.count(day[n]))]
    got = (
        select(day.post_id, func.count(), *sums)
        .join(analytics_posts, posts.id == day.post_id)
        .where(
            posts.account_id == number,
            day.day.between(to_day(period.since), to_day(period.until)),
            day.flags.op("&")(int(Flag.OPENED)) == 0,
        )
        .group_by(day.post_id)
    )
    newest = (
        select(known.post_id, func.max(known.slot).label("slot"))
        .join(analytics_posts, posts.id == known.post_id)
        .where(posts.account_id == number, known.collected_ms <= until_ms)
        .group_by(known.post_id)
        .subquery()
    )
    last = select(known.post_id, known.states, *(known[name] for name in COLUMNS)).join(
        newest,
        (newest.c.post_id == known.post_id) & (newest.c.slot == known.slot),
    )
    about = (
        analytics_posts.select()
        .where(posts.account_id == number)
        .order_by(posts.published_ms, posts.external_id)
    )
    with database.read() as connection:
        gained = {row[0]: row[1:] for row in connection.execute(got)}
        states = {
            row["post_id"]: {
                name: state_of(row[name], row["states"], name) for name in COLUMNS
            }
            for row in connection.execute(last).mappings()
        }
        rows = connection.execute(about).mappings().all()
    found = tuple(
        Post(
            id=row["external_id"],
            title=row["title"],
            url=row["url"],
            picture_url=row["picture_url"],
            format=row["format"],
            published_at=_instant(row["published_ms"]),
            gone=row["gone_ms"] is not None and row["gone_ms"] <= until_ms,
            gained=_gained(gained.get(row["id"]), states.get(row["id"], {})),
            days=int(gained[row["id"]][0]) if row["id"] in gained else 0,
        )
        for row in rows
    )
    return found, _reasons(states.values())


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else clock.from_ms(ms)


def _gained(
    sums: tuple[int | None, ...] | None, states: Mapping[str, State]
) -> dict[str, Reading]:
    """Return what a post got: of no day at all, why there is nothing."""
    found: dict[str, Reading] = {}
    for at, name in enumerate(COUNTERS):
        count = sums[2 * at + 2] if sums else 0
        state = states.get(name, State.NOT_SUPPORTED)
        if sums and count:
            found[name] = int(sums[2 * at + 1] or 0)
        else:
            found[name] = State.NOT_YET if state is State.VALUE else state
    return found


def _reasons(states: Iterable[Mapping[str, State]]) -> dict[str, State]:
    """Return why no post has a figure of a metric; of those that one has, nothing."""
    found: dict[str, State] = {}
    every = list(states)
    for name in COLUMNS:
        known = {each[name] for each in every}
        if known and State.VALUE not in known:
            # what may still come is said first, then what is kept from us
            found[name] = max(known)
    return found


def _with_age(post: Post, views: Reading | None) -> Post:
    if views is None or isinstance(views, State):
        return post
    return replace(post, at_age=views)


def _samples(
    posts: tuple[Post, ...], zone: str, since: datetime, until: datetime
) -> tuple[Sample, ...]:
    """Return the posts that are compared: old enough, and not too old."""
    tz = zone_of(zone)
    return tuple(
        Sample(
            id=post.id,
            format=post.format or "post",
            at=post.published_at.astimezone(tz),
            value=post.at_age,
        )
        for post in posts
        if post.at_age is not None
        and post.published_at is not None
        and since <= post.published_at < until - AGE
    )
