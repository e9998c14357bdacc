"""Rollups in the database: days of posts, and days and weeks of accounts.

All of them follow from the snapshots alone.  They are worked out anew wherever a
snapshot has changed since the last time, in one transaction for each part; whoever
works on an account holds its row, so that two workers make what one would make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .calendar import iso_week, midnights, monday_of
from .days import ALL, FIRST, NONE, Days, Flag, History, days_of, levels_of
from .metrics import COUNTERS, GAUGES, METRICS, breaks_of, latency_ms
from .snapshots import insert_sql


if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nexus_actors.core.database import Database

#: How many snapshots are worked on at once; what bounds the memory.
BATCH: Final = 100_000

#: How many posts are looked up at once.
POSTS: Final = 20_000

_CODES: Final = {name: METRICS[name].code for name in (*COUNTERS, *GAUGES)}

#: What is known of a snapshot here: its post, its time, and the counters.
_WIDTH: Final = 2 + len(COUNTERS)


@dataclass(frozen=True, slots=True)
class Rolled:
    """How much was worked out: posts that had changed, rows of days, accounts."""

    posts: int = 0
    days: int = 0
    accounts: int = 0


@dataclass(frozen=True, slots=True)
class _Due:
    """A post whose snapshots have changed, and how many it has."""

    account: int
    post: int
    snapshots: int


@dataclass(frozen=True, slots=True)
class Rollups:
    """The rollups of all accounts.

    Attributes:
        batch: How many snapshots are worked on at once.
        stop: Called between parts; raises if the job must stop.
    """

    database: Database
    batch: int = BATCH
    stop: Callable[[], None] = lambda: None

    def roll(self, *, account: int | None = None) -> Rolled:
        """Work out what has changed since the last time, of one account or all."""
        posts = days = accounts = 0
        for batch in self._batches(account):
            self.stop()
            posts += len(batch)
            days += self._roll_posts(batch[0], batch[-1], account)
        for number in self._stale_accounts(account):
            self.stop()
            self._roll_account(number)
            accounts += 1
        return Rolled(posts, days, accounts)

    def rebuild(self, *, account: int | None = None) -> Rolled:
        """Work out everything anew; what it finds is what was there."""
        from nexus_actors.core.tables import analytics_accounts, analytics_posts

        posts = analytics_posts.update().values(stale_ms=ALL)
        owners = analytics_accounts.update().values(stale_day=FIRST)
        if account is not None:
            posts = posts.where(analytics_posts.c.account_id == account)
            owners = owners.where(analytics_accounts.c.id == account)
        with self.database.begin() as connection:
            connection.execute(owners)
            connection.execute(posts)
        return self.roll(account=account)

    # posts

    def _batches(self, account: int | None) -> Iterator[list[_Due]]:
        """Yield parts of the posts that have changed, each of a bounded size."""
        after = (NONE, NONE)
        while due := self._due(account, after):
            after = (due[-1].account, due[-1].post)
            batch: list[_Due] = []
            total = 0
            for one in due:
                if batch and total + one.snapshots > self.batch:
                    yield batch
                    batch, total = [], 0
                batch.append(one)
                total += one.snapshots
            yield batch

    def _due(self, account: int | None, after: tuple[int, int]) -> list[_Due]:
        from sqlalchemy import func, select, tuple_

        from nexus_actors.core.tables import analytics_posts, post_snapshots

        posts, known = analytics_posts.c, post_snapshots.c
        changed = (
            select(posts.account_id, posts.id)
            .where(
                posts.stale_ms.is_not(None), tuple_(posts.account_id, posts.id) > after
            )
            .order_by(posts.account_id, posts.id)
            .limit(POSTS)
        )
        if account is not None:
            changed = changed.where(posts.account_id == account)
        some = changed.subquery()
        query = (
            select(some.c.account_id, some.c.id, func.count())
            .join(post_snapshots, known.post_id == some.c.id)
            .group_by(some.c.account_id, some.c.id)
            .order_by(some.c.account_id, some.c.id)
        )
        with self.database.read() as connection:
            return [_Due(*row) for row in connection.execute(query)]

    def _roll_posts(self, first: _Due, last: _Due, account: int | None) -> int:
        rows = 0
        with self.database.begin() as connection:
            owners = self._hold(connection, first.account, last.account, account)
            posts = self._changed(connection, first, last, account)
            figures = self._figures(connection, first, last, account)
            kinds = sorted({owners[owner] for owner in posts["owner"].tolist()})
            for kind in kinds:
                mine = [n for n, found in owners.items() if found == kind]
                rows += self._roll_kind(connection, posts, figures, mine, kind)
            self._settle(connection, first, last, account)
        return rows

    def _hold(
        self, connection: Connection, first: int, last: int, account: int | None
    ) -> dict[int, tuple[str, str]]:
        """Keep others from these accounts; return platform and time zone of each."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = (
            select(table.c.id, table.c.platform, table.c.time_zone)
            .where(table.c.id.between(first, last))
            .order_by(table.c.id)
            .with_for_update()
        )
        if account is not None:
            query = query.where(table.c.id == account)
        return {n: (platform, tz) for n, platform, tz in connection.execute(query)}

    def _changed(
        self, connection: Connection, first: _Due, last: _Due, account: int | None
    ) -> dict[str, Any]:
        columns = (
            "p.id, p.account_id, COALESCE(p.published_ms, -1), "
            "CASE WHEN p.opens_ms IS NULL AND p.published_ms >= a.since_ms "
            f"THEN 1 ELSE 0 END, p.stale_ms, COALESCE(p.sealed_day, {FIRST})"
        )
        query = (
            f"SELECT {columns} FROM nexus_analytics_posts p "  # noqa: S608 - ours
            "JOIN nexus_analytics_accounts a ON a.id = p.account_id "
            f"WHERE {_SPAN} ORDER BY p.id"
        )
        names = ("id", "owner", "published", "born", "stale", "sealed")
        kind = np.dtype([(name, np.int64) for name in names])
        found = self._read(connection, query, _span(first, last, account), kind)
        return {name: found[name] for name in names}

    def _figures(
        self, connection: Connection, first: _Due, last: _Due, account: int | None
    ) -> Any:
        """Return the snapshots, a row of numbers each, by post and time.

        The database hands them over as one text: as rows, each number would become an
        object of its own first, which takes several times as long.
        """
        names = ["s.collected_ms", *(f"COALESCE(s.{name}, -1)" for name in COUNTERS)]
        numbers = " || ',' || ".join(["s.post_id", *names])
        joined = "group_concat" if self.database.path else "string_agg"
        query = (
            f"SELECT {joined}({numbers}, ',') "  # noqa: S608 - ours
            "FROM nexus_analytics_posts p "
            "JOIN nexus_post_snapshots s ON s.post_id = p.id "
            f"WHERE {_SPAN} AND s.collected_ms >= COALESCE(p.opens_ms, 0)"
        )
        text = query if self.database.path else query.replace("?", "%s")
        span = _span(first, last, account)
        [[found]] = connection.exec_driver_sql(text, span).all()
        table = np.fromstring(found or "", np.int64, sep=",").reshape(-1, _WIDTH)
        return table[np.lexsort((table[:, 1], table[:, 0]))]

    def _read(
        self, connection: Connection, query: str, values: tuple[int, ...], kind: Any
    ) -> Any:
        """Return rows as an array: SQLAlchemy's own rows cost more than they hold."""
        text = query if self.database.path else query.replace("?", "%s")
        rows: Any = connection.exec_driver_sql(text, values).cursor
        return np.fromiter(rows, kind)

    def _roll_kind(
        self,
        connection: Connection,
        posts: dict[str, Any],
        figures: Any,
        owners: Sequence[int],
        kind: tuple[str, str],
    ) -> int:
        """Work out the posts of one platform and time zone."""
        platform, zone = kind
        mine = np.isin(posts["owner"], owners)
        here = {name: column[mine] for name, column in posts.items()}
        ours = figures[np.isin(figures[:, 0], here["id"])]
        known, counts = np.unique(ours[:, 0], return_counts=True)
        if not known.size:
            return 0
        at = np.searchsorted(here["id"], known)
        here = {name: column[at] for name, column in here.items()}
        days = days_of(
            History(
                counts=counts,
                times=ours[:, 1],
                values=ours[:, 2:],
                published=here["published"],
                born=here["born"].astype(np.bool_),
                stale=here["stale"],
            ),
            zone,
            breaks_of(platform),
            latency_ms(platform),
        )
        since = np.maximum(days.since, here["sealed"])
        self._write_days(connection, known, since, days)
        self._mark(connection, here["owner"], since)
        return int(days.post.size)

    def _write_days(
        self, connection: Connection, ids: Any, since: Any, days: Days
    ) -> None:
        from nexus_actors.core.tables import post_corrections, post_days

        keep = days.day >= since[days.post]
        post, day = ids[days.post[keep]], days.day[keep]
        gone = list(zip(ids.tolist(), since.tolist(), strict=True))
        for table in (post_days, post_corrections):
            where = f"DELETE FROM {table.name} WHERE post_id = ? AND day >= ?"  # noqa: S608 - ours
            self._run(connection, where, gone)
        values = [column.tolist() for column in days.values[keep].T]
        rows = zip(
            post.tolist(), day.tolist(), days.flags[keep].tolist(), *values, strict=True
        )
        names = ("post_id", "day", "flags", *COUNTERS)
        insert = insert_sql(self.database, post_days, names)
        mark = "?" if self.database.path else "%s"
        plain = ", ".join([mark] * len(names))
        known = ", ".join([mark] * 3 + [f"NULLIF({mark}, {NONE})"] * len(COUNTERS))
        self._run(connection, insert.replace(plain, known), list(rows))
        falls = days.corrections[keep]
        row, column = np.nonzero(falls)
        codes = np.array([_CODES[name] for name in COUNTERS])[column]
        fallen = (post[row], day[row], codes, falls[row, column])
        fell = list(zip(*(part.tolist() for part in fallen), strict=True))
        insert = insert_sql(self.database, post_corrections, post_corrections.c.keys())
        self._run(connection, insert, fell)

    def _run(
        self, connection: Connection, statement: str, rows: list[tuple[Any, ...]]
    ) -> None:
        text = statement if self.database.path else statement.replace("?", "%s")
        if rows:
            connection.exec_driver_sql(text, rows)

    def _mark(self, connection: Connection, owners: Any, since: Any) -> None:
        """Note from which day on each account's own days have changed."""
        accounts, first = np.unique(owners, return_inverse=True)
        earliest = np.full(accounts.size, np.iinfo(np.int64).max)
        np.minimum.at(earliest, first, since)
        statement = (
            "UPDATE nexus_analytics_accounts SET stale_day = CASE "
            "WHEN stale_day < ? THEN stale_day ELSE ? END WHERE id = ?"
        )
        days = earliest.tolist()
        rows = list(zip(days, days, accounts.tolist(), strict=True))
        self._run(connection, statement, rows)

    def _settle(
        self, connection: Connection, first: _Due, last: _Due, account: int | None
    ) -> None:
        update = (
            "UPDATE nexus_analytics_posts AS p SET stale_ms = NULL "  # noqa: S608 - ours
            f"WHERE {_SPAN}"
        )
        text = update if self.database.path else update.replace("?", "%s")
        connection.exec_driver_sql(text, _span(first, last, account))

    # accounts

    def _stale_accounts(self, account: int | None) -> list[int]:
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = select(table.c.id).where(
            table.c.stale_day.is_not(None) | (table.c.seen_ms > table.c.rolled_ms)
        )
        if account is not None:
            query = query.where(table.c.id == account)
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(table.c.id)).scalars())

    def _roll_account(self, account: int) -> None:
        """Sum up an account's days, from the first that has changed, and its weeks."""
        from nexus_actors.core.tables import account_days, analytics_accounts

        table = analytics_accounts
        with self.database.begin() as connection:
            query = table.select().where(table.c.id == account).with_for_update()
            owner = connection.execute(query).mappings().one()
            if owner.stale_day is None and owner.seen_ms <= owner.rolled_ms:
                return  # another was faster
            since = _since(owner)
            rows = [
                *self._sums(connection, owner, since),
                *self._levels(connection, owner, since),
            ]
            mine = (account_days.c.account_id == account, account_days.c.day >= since)
            connection.execute(account_days.delete().where(*mine))
            insert = insert_sql(self.database, account_days, account_days.c.keys())
            self._run(connection, insert, sorted(rows))
            self._roll_weeks(connection, account, since)
            done = table.update().where(table.c.id == account)
            connection.execute(done.values(stale_day=None, rolled_ms=owner.seen_ms))

    def _sums(
        self, connection: Connection, owner: Any, since: int
    ) -> Iterator[tuple[int, ...]]:
        """Yield the days of the counters: sums over posts that have the whole day."""
        sums = ", ".join(f"SUM(d.{name}), COUNT(d.{name})" for name in COUNTERS)
        flags = ", ".join(
            f"MAX(d.flags & {int(flag)})"
            for flag in (Flag.UNFINISHED, Flag.IMPUTED, Flag.BREAK)
        )
        query = (
            f"SELECT d.day, {flags}, {sums} FROM nexus_analytics_posts p "  # noqa: S608 - ours
            "JOIN nexus_post_days d ON d.post_id = p.id "
            "WHERE p.account_id = ? AND d.day >= ? "
            f"AND d.flags & {int(Flag.OPENED)} = 0 GROUP BY d.day ORDER BY d.day"
        )
        falls = self._falls(connection, owner, since)
        text = query if self.database.path else query.replace("?", "%s")
        for day, *found in connection.exec_driver_sql(text, (owner.id, since)):
            flags_now = sum(found[:3]) | _final(owner, day)
            for at, name in enumerate(COUNTERS):
                value, posts = found[3 + 2 * at], found[4 + 2 * at]
                if posts:
                    code = _CODES[name]
                    fall = falls.get((day, code), 0)
                    yield (owner.id, day, code, int(value), fall, posts, flags_now)

    def _falls(
        self, connection: Connection, owner: Any, since: int
    ) -> dict[tuple[int, int], int]:
        from sqlalchemy import func, select

        from nexus_actors.core.tables import analytics_posts, post_corrections

        posts, fell = analytics_posts.c, post_corrections.c
        query = (
            select(fell.day, fell.metric, func.sum(fell.value))
            .join(analytics_posts, posts.id == fell.post_id)
            .where(posts.account_id == owner.id, fell.day >= since)
            .group_by(fell.day, fell.metric)
        )
        return {(day, code): int(v) for day, code, v in connection.execute(query)}

    def _levels(
        self, connection: Connection, owner: Any, since: int
    ) -> Iterator[tuple[int, ...]]:
        """Yield the days of the gauges: the level at the end of each."""
        from sqlalchemy import select

        from nexus_actors.core.tables import account_snapshots as table

        for name in GAUGES:
            query = (
                select(table.c.collected_ms, table.c[name])
                .where(table.c.account_id == owner.id, table.c[name].is_not(None))
                .order_by(table.c.collected_ms)
            )
            found = connection.execute(query).all()
            if not found:
                continue
            times, levels = zip(*found, strict=True)
            for day, level, flags in levels_of(times, levels, owner.time_zone):
                if day >= since:
                    final = _final(owner, day)
                    yield (owner.id, day, _CODES[name], level, 0, 0, flags | final)

    def _roll_weeks(self, connection: Connection, account: int, since: int) -> None:
        from nexus_actors.core.tables import account_days, account_weeks

        table, monday = account_days.c, monday_of(since)
        query = (
            account_days.select()
            .where(table.account_id == account, table.day >= monday)
            .order_by(table.metric, table.day)
        )
        rows = weeks_of(connection.execute(query).all())
        weeks = account_weeks.c
        year, week = iso_week(monday)
        later = (weeks.iso_year > year) | (
            (weeks.iso_year == year) & (weeks.iso_week >= week)
        )
        stale = account_weeks.delete().where(weeks.account_id == account, later)
        connection.execute(stale)
        insert = insert_sql(self.database, account_weeks, account_weeks.c.keys())
        self._run(connection, insert, sorted(rows))


#: Which posts a part is of; they were due when it was cut, and may not be any more.
_SPAN: Final = (
    "p.stale_ms IS NOT NULL AND (p.account_id > ? OR p.account_id = ? AND p.id >= ?) "
    "AND (p.account_id < ? OR p.account_id = ? AND p.id <= ?) "
    "AND (? = -1 OR p.account_id = ?)"
)


def _span(first: _Due, last: _Due, account: int | None) -> tuple[int, ...]:
    one = NONE if account is None else account
    return (
        *(first.account, first.account, first.post),
        *(last.account, last.account, last.post),
        *(one, one),
    )


def _since(owner: Any) -> int:
    """Return the first day that has changed, or has become final."""
    days = [owner.stale_day] if owner.stale_day is not None else []
    if owner.rolled_ms and owner.seen_ms > owner.rolled_ms:
        from .calendar import day_at

        late = owner.rolled_ms - latency_ms(owner.platform)
        days.append(day_at(late, owner.time_zone))
    return min(days, default=FIRST)


def _final(owner: Any, day: int) -> int:
    """Return the flag of a day whose late figures are in."""
    ends = int(midnights(owner.time_zone, day, day)[1])
    late = ends + latency_ms(owner.platform)
    return int(Flag.FINAL) if owner.seen_ms >= late else 0


def weeks_of(days: Sequence[Any]) -> list[tuple[int, ...]]:
    """Return the ISO weeks of an account's days, which are sorted by metric and day."""
    rows: list[tuple[int, ...]] = []
    gauges = {_CODES[name] for name in GAUGES}
    for (metric, monday), group in groupby(
        days, key=lambda row: (row.metric, monday_of(row.day))
    ):
        within = list(group)
        final = sum(bool(row.flags & Flag.FINAL) for row in within)
        flags = 0
        for row in within:
            flags |= row.flags & ~int(Flag.FINAL)
        is_level = metric in gauges
        value = within[-1].value if is_level else sum(row.value for row in within)
        rows.append(
            (
                within[0].account_id,
                *iso_week(monday),
                metric,
                value,
                sum(row.correction for row in within),
                len(within),
                final,
                flags | (int(Flag.FINAL) if final == DAYS else 0),
            )
        )
    return rows


#: The days of a week.
DAYS: Final = 7
