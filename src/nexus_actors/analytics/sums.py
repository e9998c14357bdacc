"""Rollups of accounts: days and weeks, which follow from the days of posts.

Levels such as followers follow from the account's own snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from .calendar import iso_week, midnights, monday_of
from .days import FIRST, Flag, levels_of
from .metrics import CODES, COUNTERS, GAUGES, latency_ms
from .rows import insert_sql, run_many


if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nexus_actors.core.database import Database

#: The days of a week.
DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Sums:
    """The days and weeks of accounts."""

    database: Database

    def stale(self, account: int | None) -> list[int]:
        """Return the accounts whose sums have changed, of one or of all."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = select(table.c.id).where(
            table.c.stale_day.is_not(None) | (table.c.seen_ms > table.c.rolled_ms)
        )
        if account is not None:
            query = query.where(table.c.id == account)
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(table.c.id)).scalars())

    def roll(self, account: int) -> None:
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
            run_many(self.database, connection, insert, sorted(rows))
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
                    code = CODES[name]
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
                    yield (owner.id, day, CODES[name], level, 0, 0, flags | final)

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
        run_many(self.database, connection, insert, sorted(rows))


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
    gauges = {CODES[name] for name in GAUGES}
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
