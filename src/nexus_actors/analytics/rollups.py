"""Rollups in the database: days of posts, and from them those of accounts.

All of them follow from the snapshots alone.  They are worked out anew wherever a
snapshot has changed since the last time, in one transaction for each part; whoever
works on an account holds its row, so that two workers make what one would make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .arrays import NONE, fetch, put
from .days import ALL, FIRST, Days, History, days_of
from .metrics import CODES, COUNTERS, breaks_of, latency_ms
from .rows import run_many
from .sums import Sums


if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nexus_actors.core.database import Database

#: How many snapshots are worked on at once; what bounds the memory.
BATCH: Final = 100_000

#: How many posts are looked up at once.
POSTS: Final = 2000


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
        sums = Sums(self.database)
        for number in sums.stale(account):
            self.stop()
            sums.roll(number)
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
        count = select(func.count()).where(known.post_id == posts.id)
        query = (
            select(posts.account_id, posts.id, count.scalar_subquery())
            .where(
                posts.stale_ms.is_not(None), tuple_(posts.account_id, posts.id) > after
            )
            .order_by(posts.account_id, posts.id)
            .limit(min(POSTS, self.batch))  # each has one snapshot at least
        )
        if account is not None:
            query = query.where(posts.account_id == account)
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
        """Return the snapshots, a row of numbers each, by post and time."""
        found = fetch(
            self.database,
            connection,
            ["s.post_id", "s.collected_ms", *(f"s.{name}" for name in COUNTERS)],
            "nexus_analytics_posts p JOIN nexus_post_snapshots s ON s.post_id = p.id "
            f"WHERE {_SPAN} AND s.collected_ms >= COALESCE(p.opens_ms, 0)",
            _span(first, last, account),
        )
        order = np.lexsort((found[1], found[0]))
        return np.stack(found, axis=1)[order]

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
            run_many(self.database, connection, where, gone)
        counters = dict(zip(COUNTERS, days.values[keep].T, strict=True))
        known = ", ".join(f"NULLIF({name}, {NONE})" for name in COUNTERS)
        put(
            self.database,
            connection,
            f"INSERT INTO {post_days.name} (post_id, day, flags, {', '.join(COUNTERS)})"  # noqa: S608 - ours
            f" SELECT post_id, day, flags, {known} FROM {{rows}}",
            {"post_id": post, "day": day, "flags": days.flags[keep], **counters},
        )
        falls = days.corrections[keep]
        row, column = np.nonzero(falls)
        codes = np.array([CODES[name] for name in COUNTERS])
        put(
            self.database,
            connection,
            f"INSERT INTO {post_corrections.name} (post_id, day, metric, value) "  # noqa: S608 - ours
            "SELECT post_id, day, metric, value FROM {rows}",
            {
                "post_id": post[row],
                "day": day[row],
                "metric": codes[column],
                "value": falls[row, column],
            },
        )

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
        run_many(self.database, connection, statement, rows)

    def _settle(
        self, connection: Connection, first: _Due, last: _Due, account: int | None
    ) -> None:
        update = (
            "UPDATE nexus_analytics_posts AS p SET stale_ms = NULL "  # noqa: S608 - ours
            f"WHERE {_SPAN}"
        )
        text = update if self.database.path else update.replace("?", "%s")
        connection.exec_driver_sql(text, _span(first, last, account))


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
