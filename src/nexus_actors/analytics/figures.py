"""What a host reads: days, weeks and posts of an account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from nexus_actors.core import clock

from .errors import NotCollectedError
from .metrics import COLUMNS, METRICS, Reading, State, latency_ms, state_of


if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from nexus_actors.core.database import Database

_NAMES: Final = {metric.code: metric.name for metric in METRICS.values()}

DAY_MS: Final = 86_400_000

#: How far a snapshot may be from the age that is asked for.
NEAR: Final = timedelta(hours=18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One metric of one day, in the account's time zone.

    Attributes:
        value: Of a counter what was added, over all posts that have the whole day; of a
            gauge such as followers the level at the day's end.
        correction: What the platform has taken back, 0 or less; not in *value*.
        posts: How many posts that are.
        final: Whether late figures are in; a day that is not looks too small.
        imputed: Whether it was spread over a gap between snapshots.
        is_break: Whether the platform began to count in another way then.
        unfinished: Whether some post has no snapshot from after its end.
    """

    day: date
    metric: str
    value: int
    correction: int
    posts: int
    final: bool
    imputed: bool
    is_break: bool
    unfinished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """One metric of one ISO week, likewise.

    Attributes:
        days: How many of its days are known.
        final: Whether all seven are, and are final.
    """

    year: int
    week: int
    metric: str
    value: int
    correction: int
    days: int
    final: bool
    imputed: bool
    is_break: bool
    unfinished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedDay:
    """One metric of one day, as the platform itself tells it.

    Attributes:
        day: As the platform counts days: of TikTok UTC, of the others Pacific time.
        value: Of the whole account, also of posts that were never collected, or of
            *post*; a number, or why there is none.
        final: Whether late figures are in.
    """

    day: date
    metric: str
    value: Reading
    post: str | None
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PostFigures:
    """The cumulative figures of one post, of one snapshot.

    Attributes:
        values: By the names of the metrics: a number, or why there is none.
        followers: Of the account when the post was published, if that is known.
        gone: Whether the platform does not show it any more.
    """

    id: str
    published_at: datetime | None
    format: str | None
    collected_at: datetime
    values: Mapping[str, Reading]
    followers: int | None
    gone: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """Reads what was collected and rolled up."""

    database: Database

    def days(
        self, platform: str, account: str, *, since: date, until: date
    ) -> list[Day]:
        """Return the days from *since* to *until*, of all metrics.

        Raises:
            NotCollectedError: The account is not known.
        """
        from nexus_actors.core.tables import account_days as table

        from .calendar import to_date, to_day

        number = self.number(platform, account)
        query = (
            table.select()
            .where(
                table.c.account_id == number,
                table.c.day.between(to_day(since), to_day(until)),
            )
            .order_by(table.c.day, table.c.metric)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Day(
                day=to_date(row["day"]),
                posts=row["posts"],
                metric=_NAMES[row["metric"]],
                value=row["value"],
                correction=row["correction"],
                **_flags(row),
            )
            for row in rows
        ]

    def weeks(
        self, platform: str, account: str, *, since: date, until: date
    ) -> list[Week]:
        """Return the ISO weeks that have days from *since* to *until*.

        Raises:
            NotCollectedError: The account is not known.
        """
        from nexus_actors.core.tables import account_weeks as table

        number = self.number(platform, account)
        first, last = since.isocalendar(), until.isocalendar()
        week = table.c.iso_year * 100 + table.c.iso_week
        query = (
            table.select()
            .where(
                table.c.account_id == number,
                week >= first.year * 100 + first.week,
                week <= last.year * 100 + last.week,
            )
            .order_by(table.c.iso_year, table.c.iso_week, table.c.metric)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Week(
                year=row["iso_year"],
                week=row["iso_week"],
                metric=_NAMES[row["metric"]],
                value=row["value"],
                correction=row["correction"],
                days=row["days"],
                **_flags(row),
            )
            for row in rows
        ]

    def reported(
        self,
        platform: str,
        account: str,
        *,
        since: date,
        until: date,
        posts: bool = False,
    ) -> list[ReportedDay]:
        """Return what the platform itself has told of the days from *since* to *until*.

        Args:
            platform: Whose.
            account: Whose.
            since: The first day.
            until: The last day.
            posts: Whether of its posts, and not of the account as a whole.

        Raises:
            NotCollectedError: The account is not known.
        """
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts
        from nexus_actors.core.tables import reported_days as table

        from .calendar import to_date, to_day

        number, post = self.number(platform, account), analytics_posts.c
        query = (
            select(*table.c, post.external_id)
            .outerjoin(analytics_posts, post.id == table.c.post_id)
            .where(
                table.c.account_id == number,
                table.c.post_id != 0 if posts else table.c.post_id == 0,
                table.c.day.between(to_day(since), to_day(until)),
            )
            .order_by(table.c.day, post.external_id, table.c.metric)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        late_ms = latency_ms(platform) + DAY_MS
        return [
            ReportedDay(
                day=to_date(row["day"]),
                metric=_NAMES[row["metric"]],
                value=State(row["state"]) if row["value"] is None else row["value"],
                post=row["external_id"],
                # its end in any zone, at the latest
                final=row["collected_ms"] >= (row["day"] + 1) * DAY_MS + late_ms,
            )
            for row in rows
        ]

    def posts(
        self, platform: str, account: str, *, age: timedelta | None = None
    ) -> list[PostFigures]:
        """Return the posts, the oldest first, each with its newest figures.

        Args:
            platform: Whose.
            account: Whose.
            age: In place of the newest, those of the snapshot nearest to that age, by
                which posts can be compared.  Posts that have none within 18 hours of it
                are left out.

        Raises:
            NotCollectedError: The account is not known.
        """
        number = self.number(platform, account)
        followers = self._followers(number)
        return [
            _figures(row, _level(followers, row["published_ms"]))
            for row in self._rows(number, age)
        ]

    def number(self, platform: str, account: str) -> int:
        """Return what the database calls an account.

        Raises:
            NotCollectedError: It is not known.
        """
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = select(table.c.id).where(
            table.c.platform == platform, table.c.account == account
        )
        with self.database.read() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            raise NotCollectedError(
                f"nothing was collected of {account!r} on {platform}: send "
                "collect_metrics first"
            )
        return int(found)

    def _rows(self, number: int, age: timedelta | None) -> Iterator[RowMapping]:
        from sqlalchemy import func, select

        from nexus_actors.core.tables import analytics_posts, post_snapshots

        post, known = analytics_posts.c, post_snapshots.c
        if age is None:
            rank = known.collected_ms.desc()
            near = known.collected_ms >= 0
        else:
            distance = func.abs(
                known.collected_ms - post.published_ms - _milliseconds(age)
            )
            rank, near = distance.asc(), distance <= _milliseconds(NEAR)
        place = func.row_number().over(partition_by=post.id, order_by=rank)
        each = (
            select(
                *(post.external_id, post.published_ms, post.format, post.gone_ms),
                *(known.collected_ms, known.states, known.extra),
                *(known[name] for name in COLUMNS),
                place.label("place"),
            )
            .join(post_snapshots, known.post_id == post.id)
            .where(post.account_id == number, near)
            .subquery()
        )
        query = (
            select(each)
            .where(each.c.place == 1)
            .order_by(each.c.published_ms, each.c.external_id)
        )
        with self.database.read() as connection:
            yield from connection.execute(query).mappings()

    def _followers(self, number: int) -> list[tuple[int, int]]:
        from sqlalchemy import select

        from nexus_actors.core.tables import account_snapshots as table

        query = (
            select(table.c.collected_ms, table.c.followers)
            .where(table.c.account_id == number, table.c.followers.is_not(None))
            .order_by(table.c.collected_ms)
        )
        with self.database.read() as connection:
            return [(at, level) for at, level in connection.execute(query)]


def known_accounts(database: Database) -> list[tuple[str, str]]:
    """Return the platform and name of each account that was ever collected."""
    from sqlalchemy import select

    from nexus_actors.core.tables import analytics_accounts as table

    query = select(table.c.platform, table.c.account)
    order = query.order_by(table.c.platform, table.c.account)
    with database.read() as connection:
        return [(platform, name) for platform, name in connection.execute(order)]


def account_of(database: Database, number: int) -> tuple[str, str]:
    """Return the platform and name of an account."""
    from sqlalchemy import select

    from nexus_actors.core.tables import analytics_accounts as table

    query = select(table.c.platform, table.c.account).where(table.c.id == number)
    with database.read() as connection:
        platform, name = connection.execute(query).one()
    return platform, name


def zone_of_account(database: Database, platform: str, account: str) -> str:
    """Return the time zone of an account's days.

    Raises:
        NotCollectedError: It is not known.
    """
    from sqlalchemy import select

    from nexus_actors.core.tables import analytics_accounts as table

    number = Figures(database).number(platform, account)
    query = select(table.c.time_zone).where(table.c.id == number)
    with database.read() as connection:
        return str(connection.execute(query).scalar_one())


def _flags(row: RowMapping) -> dict[str, bool]:
    from .days import Flag

    flags = Flag(row["flags"])
    return {
        "final": Flag.FINAL in flags,
        "imputed": Flag.IMPUTED in flags,
        "is_break": Flag.BREAK in flags,
        "unfinished": Flag.UNFINISHED in flags,
    }


def _figures(row: RowMapping, followers: int | None) -> PostFigures:
    values: dict[str, Reading] = {}
    for name in COLUMNS:
        value: int | None = row[name]
        values[name] = (
            value if value is not None else state_of(value, row["states"], name)
        )
    extra: Mapping[str, int | str] = row["extra"] or {}
    for name, known in extra.items():
        values[name] = State[known.upper()] if isinstance(known, str) else known
    published: int | None = row["published_ms"]
    return PostFigures(
        id=row["external_id"],
        published_at=None if published is None else clock.from_ms(published),
        format=row["format"],
        collected_at=clock.from_ms(row["collected_ms"]),
        values=values,
        followers=followers,
        gone=row["gone_ms"] is not None,
    )


def _level(levels: list[tuple[int, int]], at: int | None) -> int | None:
    """Return the level at an instant: the last one, or the first of the day after."""
    if at is None:
        return None
    before = [level for then, level in levels if then <= at]
    if before:
        return before[-1]
    day = _milliseconds(timedelta(days=1))
    return next((level for then, level in levels if then <= at + day), None)


def _milliseconds(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
