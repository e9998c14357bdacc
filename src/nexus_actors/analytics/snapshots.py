"""Snapshots in the database: the truth from which all rollups are made.

A snapshot has a slot, the hour in which it was collected.  Of two in one slot the newer
one stays, whichever is written last; and what was known in the slot is not forgotten
because it is withheld later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError

from .errors import TimeZoneFixedError
from .metrics import COLUMNS
from .readings import AccountReading, DayReading, PostReading
from .rows import (
    ABOUT,
    about,
    columns_of,
    day_rows,
    due_ms,
    extra_of,
    figure_of,
    ms_of,
    parts,
    run_many,
)


if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nexus_actors.core.database import Database

    from .calendar import Array

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An account whose figures are kept.

    Attributes:
        time_zone: That of its days and weeks.
        since_ms: From when on its posts are watched: a later one begins with nothing.
    """

    id: int
    platform: str
    account: str
    time_zone: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What was read of accounts and posts."""

    database: Database

    def owner(
        self,
        platform: str,
        account: str,
        *,
        time_zone: str | None = None,
        since: datetime | None = None,
    ) -> Owner:
        """Return the account, which is watched from now on, or from *since*.

        Raises:
            InvalidRequestError: There is no such time zone.
            TimeZoneFixedError: It has days of another one that cannot be made anew.
        """
        from .calendar import zone_of

        try:
            zone_of(time_zone or "UTC")
        except ValueError as error:
            raise InvalidRequestError(f"time_zone: {error}") from error
        with self.database.begin() as connection:
            found = self._register(connection, platform, account, time_zone, since)
            if time_zone and found.time_zone != time_zone:
                self._move(connection, found, time_zone)
                found = self._find(connection, platform, account)
        return found

    def _register(
        self,
        connection: Connection,
        platform: str,
        account: str,
        time_zone: str | None,
        since: datetime | None,
    ) -> Owner:
        from nexus_actors.core.tables import analytics_accounts as table

        query = self.database.insert(table).values(
            platform=platform,
            account=account,
            time_zone=time_zone or "UTC",
            since_ms=clock.to_ms(since) if since else clock.now_ms(),
            seen_ms=0,
            rolled_ms=0,
        )
        names = [table.c.platform, table.c.account]
        connection.execute(query.on_conflict_do_nothing(index_elements=names))
        return self._find(connection, platform, account)

    def _find(self, connection: Connection, platform: str, account: str) -> Owner:
        from nexus_actors.core.tables import analytics_accounts as table

        columns = [table.c[name] for name in Owner.__dataclass_fields__]
        query = table.select().with_only_columns(*columns)
        same = (table.c.platform == platform, table.c.account == account)
        return Owner(**connection.execute(query.where(*same)).mappings().one())

    def _move(self, connection: Connection, owner: Owner, time_zone: str) -> None:
        """Let an account have days of another time zone; all are made anew."""
        from sqlalchemy import select

        from nexus_actors.core.tables import (
            account_days,
            account_weeks,
            analytics_accounts,
            analytics_posts,
            post_corrections,
            post_days,
        )

        posts = analytics_posts.c
        mine = select(posts.id).where(posts.account_id == owner.id)
        sealed = mine.where(posts.sealed_day.is_not(None)).limit(1)
        if connection.execute(sealed).first():
            raise TimeZoneFixedError(
                f"the account {owner.account} has days of {owner.time_zone} whose "
                "snapshots are gone: its time zone cannot be changed any more"
            )
        for days in (post_days, post_corrections):
            connection.execute(days.delete().where(days.c.post_id.in_(mine)))
        for sums in (account_days, account_weeks):
            connection.execute(sums.delete().where(sums.c.account_id == owner.id))
        changes = analytics_posts.update().where(posts.account_id == owner.id)
        connection.execute(changes.values(stale_ms=0))
        moved = analytics_accounts.update().where(analytics_accounts.c.id == owner.id)
        connection.execute(
            moved.values(time_zone=time_zone, rolled_ms=0, stale_day=None)
        )

    def write(
        self,
        owner: Owner,
        posts: Sequence[PostReading],
        *,
        at: datetime,
        gone: Sequence[str] = (),
    ) -> None:
        """Keep what was read of posts at an instant; all of it or nothing.

        Args:
            owner: Whose posts they are.
            posts: What was read.
            at: When.
            gone: Posts that were asked for and are not there: deleted, or private.
        """
        at_ms, by_id = clock.to_ms(at), {post.id: post for post in posts}
        with self.database.begin() as connection:
            self._see(connection, owner, at_ms)
            numbers = self._register_posts(connection, owner, by_id, at_ms)
            mine = sorted((numbers[id_], post) for id_, post in by_id.items())
            self.insert(connection, columns_of(mine, at_ms))
            self._write_extra(connection, mine, at_ms)
            self._note_gone(connection, owner, gone, at_ms)

    def write_account(
        self, owner: Owner, reading: AccountReading, *, at: datetime
    ) -> None:
        """Keep what was read of the account itself."""
        from sqlalchemy import func

        from nexus_actors.core.tables import account_snapshots as table

        at_ms = clock.to_ms(at)
        values = {name: figure_of(reading.values.get(name)) for name in GAUGE_COLUMNS}
        query = self.database.insert(table).values(
            account_id=owner.id,
            slot=at_ms // HOUR_MS,
            collected_ms=at_ms,
            extra=extra_of(reading.values, GAUGE_COLUMNS),
            **values,
        )
        new = query.excluded
        names = (*GAUGE_COLUMNS, "extra")
        changes = {name: func.coalesce(new[name], table.c[name]) for name in names}
        with self.database.begin() as connection:
            self._see(connection, owner, at_ms)
            connection.execute(
                query.on_conflict_do_update(
                    index_elements=[table.c.account_id, table.c.slot],
                    set_={"collected_ms": new.collected_ms, **changes},
                    where=table.c.collected_ms <= new.collected_ms,
                )
            )
            self._mark_account(connection, owner, at_ms)

    def write_days(
        self, owner: Owner, days: Sequence[DayReading], *, at: datetime
    ) -> None:
        """Keep what the platform itself says of days; of posts that are known.

        What was known of a day is not forgotten because it is withheld later, and an
        older reading that comes late changes nothing.
        """
        from sqlalchemy import case, func

        from nexus_actors.core.tables import reported_days as table

        query = self.database.insert(table)
        new = query.excluded
        is_known = new.value.is_(None) & table.c.value.is_not(None)
        query = query.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={
                "value": func.coalesce(new.value, table.c.value),
                "state": case((is_known, table.c.state), else_=new.state),
                "collected_ms": new.collected_ms,
            },
            where=table.c.collected_ms <= new.collected_ms,
        )
        at_ms = clock.to_ms(at)
        with self.database.begin() as connection:
            self._see(connection, owner, at_ms)
            numbers = self._numbers(connection, owner, {d.post for d in days if d.post})
            rows = [
                row
                for day in days
                if day.post is None or day.post in numbers
                for row in day_rows(
                    owner.id, numbers.get(day.post or "", 0), day, at_ms
                )
            ]
            for part in parts(rows):
                connection.execute(query, part)

    def _numbers(
        self, connection: Connection, owner: Owner, ids: set[str]
    ) -> dict[str, int]:
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts as table

        found: dict[str, int] = {}
        for part in parts(sorted(ids)):
            mine = (table.c.account_id == owner.id, table.c.external_id.in_(part))
            query = select(table.c.external_id, table.c.id).where(*mine)
            found |= {row.external_id: row.id for row in connection.execute(query)}
        return found

    def insert(self, connection: Connection, columns: Mapping[str, Array]) -> None:
        """Write snapshots, sorted by post and none twice; a newer one in a slot stays.

        Args:
            connection: One in a transaction.
            columns: By the names of the table, with -1 for what is not known: numbers
                of posts, times, figures and states.  What is left out is unknown.
        """
        from .arrays import put

        put(self.database, connection, _upsert(columns), columns)

    def _write_extra(
        self, connection: Connection, posts: Sequence[tuple[int, PostReading]], at: int
    ) -> None:
        """Keep the figures that have no column, unless a newer snapshot was there."""
        rows = [
            (json.dumps(extra, sort_keys=True), number, at // HOUR_MS, at)
            for number, post in posts
            if (extra := extra_of(post.values, COLUMNS))
        ]
        statement = (
            "UPDATE nexus_post_snapshots SET extra = ? "
            "WHERE post_id = ? AND slot = ? AND collected_ms = ?"
        )
        run_many(self.database, connection, statement, rows)

    def _see(self, connection: Connection, owner: Owner, at_ms: int) -> None:
        """Note when the account was last looked at; and hold its row until the end.

        Whoever writes its snapshots, or makes its rollups, does this first: they take
        turns, and none sees half of what another does.
        """
        from sqlalchemy import case

        from nexus_actors.core.tables import analytics_accounts as table

        seen = case((table.c.seen_ms > at_ms, table.c.seen_ms), else_=at_ms)
        query = table.update().where(table.c.id == owner.id)
        connection.execute(query.values(seen_ms=seen))

    def _mark_account(self, connection: Connection, owner: Owner, at_ms: int) -> None:
        """Note that days have changed: from the level before the new one on."""
        from sqlalchemy import case, func, select

        from nexus_actors.core.tables import account_snapshots, analytics_accounts

        from .calendar import day_at

        known, table = account_snapshots.c, analytics_accounts
        before = select(func.max(known.collected_ms)).where(
            known.account_id == owner.id, known.slot < at_ms // HOUR_MS
        )
        begins = at_ms // HOUR_MS * HOUR_MS
        since = connection.execute(before).scalar() or begins - 1
        day, stale = day_at(since, owner.time_zone), table.c.stale_day
        query = table.update().where(table.c.id == owner.id)
        earlier = case((stale < day, stale), else_=day)
        connection.execute(query.values(stale_day=earlier))

    def _register_posts(
        self,
        connection: Connection,
        owner: Owner,
        posts: dict[str, PostReading],
        at_ms: int,
    ) -> dict[str, int]:
        """Note the posts, from when on they have changed, and when they are due again.

        Returns:
            Their numbers.
        """
        from sqlalchemy import case, func

        from nexus_actors.core.tables import analytics_posts as table

        begins = at_ms // HOUR_MS * HOUR_MS
        query = self.database.insert(table)
        new = query.excluded
        published = func.coalesce(new.published_ms, table.c.published_ms)
        is_older = table.c.seen_ms > new.seen_ms
        query = query.on_conflict_do_update(
            index_elements=[table.c.account_id, table.c.external_id],
            set_={
                "published_ms": published,
                **{name: func.coalesce(new[name], table.c[name]) for name in ABOUT},
                "gone_ms": None,
                "stale_ms": case(
                    (published.is_distinct_from(table.c.published_ms), 0),
                    (table.c.stale_ms < new.stale_ms, table.c.stale_ms),
                    else_=new.stale_ms,
                ),
                "due_ms": case((is_older, table.c.due_ms), else_=new.due_ms),
                "seen_ms": case((is_older, table.c.seen_ms), else_=new.seen_ms),
            },
        )
        numbers: dict[str, int] = {}
        for part in parts(sorted(posts)):
            before = self._last_views(connection, owner, part)
            noted = [
                {
                    "account_id": owner.id,
                    "external_id": id_,
                    "published_ms": ms_of(posts[id_].published_at),
                    **about(posts[id_]),
                    "stale_ms": begins,
                    "seen_ms": at_ms,
                    "due_ms": due_ms(posts[id_], before.get(id_), at_ms),
                }
                for id_ in part
            ]
            connection.execute(query, noted)
            numbers |= self._numbers(connection, owner, {*part})
        return numbers

    def _last_views(
        self, connection: Connection, owner: Owner, ids: Sequence[str]
    ) -> dict[str, tuple[int | None, int | None]]:
        """Return when posts were published, and the views that were last seen."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts, post_snapshots

        posts, known = analytics_posts.c, post_snapshots.c
        last = (known.post_id == posts.id) & (known.slot == posts.seen_ms // HOUR_MS)
        query = (
            select(posts.external_id, posts.published_ms, known.views)
            .select_from(analytics_posts.outerjoin(post_snapshots, last))
            .where(posts.account_id == owner.id, posts.external_id.in_(ids))
        )
        return {id_: (at, views) for id_, at, views in connection.execute(query)}

    def _note_gone(
        self, connection: Connection, owner: Owner, gone: Sequence[str], at_ms: int
    ) -> None:
        from nexus_actors.core.tables import analytics_posts as table

        for part in parts(sorted(gone)):
            query = table.update().where(
                table.c.account_id == owner.id,
                table.c.external_id.in_(part),
                table.c.gone_ms.is_(None),
            )
            connection.execute(query.values(gone_ms=at_ms, due_ms=None))


#: The columns of an account's snapshots.
GAUGE_COLUMNS: Final = ("followers", "posts")


def _upsert(columns: Iterable[str]) -> str:
    """Return the statement that writes rows, unless newer ones are there."""
    from nexus_actors.core.tables import post_snapshots as table

    given = {name: f"NULLIF({name}, -1)" for name in COLUMNS if name in columns}
    values = {
        "post_id": "post_id",
        "slot": f"collected_ms / {HOUR_MS}",
        "collected_ms": "collected_ms",
        "states": "states",
        **given,
    }
    changes = [f"{n} = COALESCE(excluded.{n}, {table.name}.{n})" for n in given]
    changes += [f"{name} = excluded.{name}" for name in ("collected_ms", "states")]
    return (
        f"INSERT INTO {table.name} ({', '.join(values)}) "  # noqa: S608 - ours
        f"SELECT {', '.join(values.values())} FROM {{rows}} WHERE true "
        f"ON CONFLICT (post_id, slot) DO UPDATE SET {', '.join(changes)} "
        f"WHERE {table.name}.collected_ms <= excluded.collected_ms"
    )
