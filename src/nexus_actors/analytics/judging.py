"""Judges an account's days and posts: what is far from usual, and what explains it.

A day is judged when its late figures are in.  Several figures of an account that go the
same way on one day are one event.  A post is judged against earlier posts of its
account and format when they were as old.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from .anomalies import Anomaly, Kind, Pace, Velocity, detect, velocity
from .calendar import DAY_MS, day_at, to_date, to_day
from .days import HOUR_MS, Flag
from .metrics import COUNTERS, METRICS, ROUNDED, breaks_of


if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

#: How many days of a series are looked at: a year, and what the detector starts with.
SERIES_DAYS: Final = 400

#: Posts are judged until they are so old, against so many earlier ones.
POST_DAYS: Final = 7
COHORT: Final = 50

#: The newest posts of an account, among which a cohort is looked for; and how much of
#: their lives is read.
RECENT_POSTS: Final = 300
COMPARED_MS: Final = (POST_DAYS + 2) * DAY_MS

#: What a post got on a day is held against its mean of so many days before.
USUAL_DAYS: Final = 14

#: How many posts are named; who explains less than this share is not.
NAMED: Final = 3
LEAST_SHARE: Final = 0.1

#: A level whose differences are judged.
FOLLOWERS: Final = "followers"

#: Figures of a day that are judged, the most telling first.
JUDGED: Final = (*COUNTERS, FOLLOWERS)

#: Days of which nothing can be said: spread over a gap, or with posts not seen since.
DOUBTFUL: Final = Flag.IMPUTED | Flag.UNFINISHED

#: What metrics are called, by their codes.
NAMES: Final = {metric.code: metric.name for metric in METRICS.values()}

#: What is more than was expected.
UP: Final = {Kind.SPIKE, Kind.RISE, Pace.FAST}

#: By metric and day, what was final; None where nothing can be said of it.
Series = Mapping[str, Mapping[date, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Another figure that went the same way on that day."""

    metric: str
    kind: str
    value: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a post had to do with it.

    Attributes:
        value: What it got on that day.
        usual: The mean of its two weeks before; 0 of a new one.
        share: How much of the difference it explains; posts that went the other way
            make the others explain more than all of it.
    """

    post: str
    title: str | None
    value: int
    usual: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One event: days, or a post, far from what was to be expected.

    Attributes:
        event: What it is called; the same one is never kept twice for an account.
        post: The platform's name for the post that it is of; None of the account.
        kind: ``spike`` or ``drop`` of a day, ``rise`` or ``fall`` that lasts since
            *since*; ``fast`` or ``slow`` of a post.
        value: What was measured; of a rise or fall, the mean of its days.
        low: The least that would have been usual.
        high: The most.
        confidence: How many of so many usual days, or earlier posts, lie less far out.
        history: How many days, or posts, it was compared with.
        moved: What else went the same way.
        posts: Those that explain most of it.
    """

    event: str
    post: str | None = None
    title: str | None = None
    metric: str
    kind: str
    day: date
    since: date
    value: float
    expected: float
    low: float
    high: float
    confidence: float
    history: int
    moved: tuple[Moved, ...] = ()
    posts: tuple[Share, ...] = ()

    @property
    def up(self) -> bool:
        """Whether it is more than was expected."""
        return self.kind in UP

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        plain = asdict(self)
        return plain | {"day": self.day.isoformat(), "since": self.since.isoformat()}


def size_of(one: Finding | Anomaly) -> dict[str, Any]:
    """Return what is kept of one figure."""
    names = ("kind", "value", "expected", "low", "high")
    return {name: getattr(one, name) for name in names}


# days of the account


def series_of(connection: Connection, owner: RowMapping) -> Series:
    """Return the final days of an account, of each figure that is judged."""
    from sqlalchemy import func, select

    from nexus_actors.core.tables import account_days as table

    mine = table.c.account_id == owner.id
    newest = connection.execute(select(func.max(table.c.day)).where(mine)).scalar()
    if newest is None:
        return {}
    query = (
        table.select()
        .where(mine, table.c.day > newest - SERIES_DAYS)
        .order_by(table.c.metric, table.c.day)
    )
    found: dict[str, dict[date, int | None]] = {}
    for row in connection.execute(query).mappings():
        if row["flags"] & Flag.FINAL:
            days = found.setdefault(NAMES[row["metric"]], {})
            known = not row["flags"] & DOUBTFUL
            days[to_date(row["day"])] = row["value"] if known else None
    levels = found.pop(FOLLOWERS, {})
    if owner.platform not in ROUNDED:
        found[FOLLOWERS] = _steps(levels)
    return {name: days for name, days in found.items() if name in JUDGED}


def _steps(levels: Mapping[date, int | None]) -> dict[date, int | None]:
    """Return the differences of levels, day by day."""
    found: dict[date, int | None] = {}
    for day, level in levels.items():
        before = levels.get(date.fromordinal(day.toordinal() - 1))
        found[day] = None if level is None or before is None else level - before
    return found


def of_days(
    connection: Connection, owner: RowMapping, series: Series
) -> Iterator[Finding]:
    """Yield an event for each day and way, with what else moved."""
    events: dict[tuple[date, bool], list[tuple[str, Anomaly]]] = {}
    for metric in JUDGED:
        days = series.get(metric, {})
        breaks = [b.since for b in breaks_of(owner.platform) if b.metric == metric]
        for found in detect(list(days), days.values(), breaks=breaks):
            up = found.kind in UP
            if owner.judged_day is None or to_day(found.day) > owner.judged_day:
                events.setdefault((found.day, up), []).append((metric, found))
    for (day, up), [(metric, first), *others] in sorted(events.items()):
        yield Finding(
            event=f"day:{day}:{'up' if up else 'down'}",
            metric=metric,
            kind=first.kind,
            day=day,
            since=first.since,
            value=first.value,
            expected=first.expected,
            low=first.low,
            high=first.high,
            confidence=first.confidence,
            history=first.history,
            moved=tuple(Moved(metric=m, **size_of(a)) for m, a in others),
            posts=_explained(connection, owner.id, metric, first),
        )


def _explained(
    connection: Connection, account: int, metric: str, found: Anomaly
) -> tuple[Share, ...]:
    """Return the posts that make the most of the difference."""
    from sqlalchemy import case, func, select

    from nexus_actors.core.tables import analytics_posts, post_days

    if metric not in COUNTERS or not found.difference:
        return ()
    first, last = to_day(found.since), to_day(found.day)
    posts, days = analytics_posts.c, post_days.c
    now = func.sum(case((days.day >= first, days[metric]), else_=0))
    before = func.sum(case((days.day < first, days[metric]), else_=0))
    query = (
        select(posts.external_id, posts.title, now, before)
        .join(post_days, days.post_id == posts.id)
        .where(
            posts.account_id == account,
            days.day.between(first - USUAL_DAYS, last),
            days.flags.op("&")(int(Flag.OPENED)) == 0,
        )
        .group_by(posts.id, posts.external_id, posts.title)
    )
    length, shares = last - first + 1, []
    for id_, title, value, earlier in connection.execute(query):
        got, usual = int(value or 0), int(earlier or 0) / USUAL_DAYS * length
        part = (got - usual) / (found.difference * length)
        one = Share(post=id_, title=title, value=got, usual=usual, share=part)
        shares.append(one)
    shares.sort(key=lambda one: (-one.share, one.post))
    return tuple(one for one in shares[:NAMED] if one.share > LEAST_SHARE)


# posts


def of_posts(connection: Connection, owner: RowMapping) -> Iterator[Finding]:
    """Yield each young post that is far ahead of earlier ones, or far behind."""
    curves = _curves(connection, owner)
    young = owner.seen_ms - POST_DAYS * DAY_MS
    for at, curve in enumerate(curves):
        if curve.published_ms < young:
            continue
        others = [c for c in curves[:at] if c.format == curve.format][-COHORT:]
        found = velocity(curve.readings, [other.readings for other in others])
        if found.pace in {Pace.FAST, Pace.SLOW}:
            yield _paced(owner, curve, found)


def _paced(owner: RowMapping, curve: _Curve, found: Velocity) -> Finding:
    at_ms = curve.published_ms + round(found.age_h * HOUR_MS)
    day = to_date(day_at(at_ms, owner.time_zone))
    share = found.percentile or 0.0
    return Finding(
        event=f"post:{curve.id}:{found.pace}",
        post=curve.id,
        title=curve.title,
        metric="views",
        kind=found.pace,
        day=day,
        since=to_date(day_at(curve.published_ms, owner.time_zone)),
        value=found.count,
        expected=found.expected or 0.0,
        low=found.low or 0.0,
        high=found.high or 0.0,
        confidence=share if found.pace is Pace.FAST else 1 - share,
        history=found.posts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """The views of one post, by its age in hours."""

    id: str
    title: str | None
    format: str | None
    published_ms: int
    readings: tuple[Sequence[float], Sequence[int]]


def _curves(connection: Connection, owner: RowMapping) -> list[_Curve]:
    """Return the posts that were watched from their beginning, the oldest first."""
    from sqlalchemy import select

    from nexus_actors.core.tables import analytics_posts, post_snapshots

    posts, known = analytics_posts.c, post_snapshots.c
    recent = (
        select(posts.id)
        .where(
            posts.account_id == owner.id,
            posts.published_ms >= max(owner.since_ms, 0),
        )
        .order_by(posts.published_ms.desc())
        .limit(RECENT_POSTS)
    )
    query = (
        select(
            *(posts.external_id, posts.title, posts.format, posts.published_ms),
            *(known.collected_ms, known.views),
        )
        .join(post_snapshots, known.post_id == posts.id)
        .where(
            posts.id.in_(recent),
            known.views.is_not(None),
            known.collected_ms > posts.published_ms,
            known.collected_ms <= posts.published_ms + COMPARED_MS,
        )
        .order_by(posts.published_ms, posts.external_id, known.collected_ms)
    )
    found: list[_Curve] = []
    for id_, title, kind, published, at, views in connection.execute(query):
        if not found or found[-1].id != id_:
            curve = _Curve(
                id=id_,
                title=title,
                format=kind,
                published_ms=published,
                readings=([], []),
            )
            found.append(curve)
        ages, counts = found[-1].readings
        assert isinstance(ages, list)  # noqa: S101 - made above
        assert isinstance(counts, list)  # noqa: S101
        ages.append((at - published) / HOUR_MS)
        counts.append(views)
    return found
