"""Anomalies of what was collected: found once, kept, and told with what else moved.

A day is judged once: it is not judged again when older days are made anew.  Days that
belong together are one event.  A post is told once that it is fast, and once that it is
slow.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from .anomalies import Kind
from .calendar import to_date, to_day
from .judging import (
    NAMES,
    UP,
    Finding,
    Moved,
    Share,
    of_days,
    of_posts,
    series_of,
    size_of,
)
from .metrics import METRICS


if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from nexus_actors.core.database import Database

#: What follows an event within so many days, to the same side, is part of it.
SAME_DAYS: Final = 3

#: And what brings an account back to what was usual before it, its end.
BACK_DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class Findings:
    """Judges what was rolled up."""

    database: Database

    def accounts(self, only: int | None = None) -> list[int]:
        """Return the accounts that have been seen since they were judged, or one."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = select(table.c.id).order_by(table.c.id)
        if only is not None:
            query = query.where(table.c.id == only)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def judge(self, account: int) -> list[Finding]:
        """Judge the days and posts that were not, and keep what is found; return it."""
        from nexus_actors.core.tables import analytics_accounts as table

        with self.database.begin() as connection:
            query = table.select().where(table.c.id == account).with_for_update()
            owner = connection.execute(query).mappings().one()
            series = series_of(connection, owner)
            final = max((max(days) for days in series.values() if days), default=None)
            found = [
                *of_days(connection, owner, series),
                *of_posts(connection, owner),
            ]
            new = [one for one in found if self._is_new(connection, account, one)]
            if final is not None:
                query_done = table.update().where(table.c.id == account)
                connection.execute(query_done.values(judged_day=to_day(final)))
        return new

    def between(self, account: int, since: date, until: date) -> list[Finding]:
        """Return what was found of days from *since* to *until*, the latest first."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts
        from nexus_actors.core.tables import anomalies as table

        post = analytics_posts.c
        query = (
            select(table, post.external_id, post.title)
            .outerjoin(analytics_posts, post.id == table.c.post_id)
            .where(
                table.c.account_id == account,
                table.c.day >= to_day(since),
                table.c.since_day <= to_day(until),
                table.c.day <= to_day(until),
            )
            .order_by(table.c.day.desc(), table.c.id)
        )
        with self.database.read() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]

    def untold(self, account: int, since: date) -> list[tuple[int, Finding]]:
        """Return what nobody was told of, with its number; older days are history."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts
        from nexus_actors.core.tables import anomalies as table

        post = analytics_posts.c
        query = (
            select(table, post.external_id, post.title)
            .outerjoin(analytics_posts, post.id == table.c.post_id)
            .where(
                table.c.account_id == account,
                table.c.told_ms.is_(None),
                table.c.day >= to_day(since),
            )
            .order_by(table.c.id)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [(row["id"], _read(row)) for row in rows]

    def told(self, number: int, at_ms: int) -> None:
        """Note that people were told."""
        from nexus_actors.core.tables import anomalies as table

        with self.database.begin() as connection:
            query = table.update().where(table.c.id == number)
            connection.execute(query.values(told_ms=at_ms))

    def _is_new(self, connection: Connection, account: int, one: Finding) -> bool:
        """Keep what is found, or let it be part of an event before; tell which."""
        if one.post is None:
            if _is_end(connection, account, one):
                return False
            if self._joined(connection, account, one):
                return False
        return self._keep(connection, account, one)

    def _joined(self, connection: Connection, account: int, one: Finding) -> bool:
        """Let what goes on for days be one event; tell whether it was one already.

        The first day stays.  What was a day's spike is a rise once it lasts, and other
        figures that follow stand beside it.
        """
        from nexus_actors.core.tables import anomalies as table

        row = _before(connection, account, one, up=one.up, days=SAME_DAYS)
        if row is None:
            return False
        first = NAMES[row["metric"]]
        named = {first, *(other["metric"] for other in row["moved"])}
        also = [Moved(metric=one.metric, **size_of(one)), *one.moved]
        new = [asdict(other) for other in also if other.metric not in named]
        changes: dict[str, Any] = {"moved": [*row["moved"], *new]}
        if one.metric == first and one.kind in {Kind.RISE, Kind.FALL}:
            names = ("kind", *_NUMBERS)
            changes |= {name: getattr(one, name) for name in names}
            changes["since_day"] = min(row["since_day"], to_day(one.since))
            changes["posts"] = [asdict(post) for post in one.posts]
        query = table.update().where(table.c.id == row["id"])
        connection.execute(query.values(changes))
        return True

    def _keep(self, connection: Connection, account: int, one: Finding) -> bool:
        """Keep what is found; tell whether it was new."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts
        from nexus_actors.core.tables import anomalies as table

        posts = analytics_posts.c
        number = None
        if one.post is not None:
            mine = (posts.account_id == account, posts.external_id == one.post)
            number = connection.execute(select(posts.id).where(*mine)).scalar()
        query = self.database.insert(table).values(
            account_id=account,
            post_id=number,
            event=one.event,
            metric=METRICS[one.metric].code,
            kind=one.kind,
            day=to_day(one.day),
            since_day=to_day(one.since),
            moved=[asdict(other) for other in one.moved],
            posts=[asdict(post) for post in one.posts],
            **{name: getattr(one, name) for name in _NUMBERS},
        )
        kept = query.on_conflict_do_nothing(
            index_elements=[table.c.account_id, table.c.event]
        )
        return connection.execute(kept.returning(table.c.id)).first() is not None


def _before(
    connection: Connection, account: int, one: Finding, *, up: bool, days: int
) -> RowMapping | None:
    """Return the account's last event to a side, of so many days before."""
    from nexus_actors.core.tables import anomalies as table

    ways = [kind.value for kind in Kind if (kind in UP) is up]
    query = (
        table.select()
        .where(
            table.c.account_id == account,
            table.c.post_id.is_(None),
            table.c.kind.in_(ways),
            table.c.day < to_day(one.day),
            table.c.day >= to_day(one.day) - days,
        )
        .order_by(table.c.day.desc())
    )
    return connection.execute(query).mappings().first()


def _is_end(connection: Connection, account: int, one: Finding) -> bool:
    """Tell whether all is as usual again after an event, which is none of its own."""
    row = _before(connection, account, one, up=not one.up, days=BACK_DAYS)
    if row is None:
        return False
    usual = {NAMES[row["metric"]]: row} | {m["metric"]: m for m in row["moved"]}
    known = usual.get(one.metric)
    return known is not None and bool(known["low"] <= one.value <= known["high"])


_NUMBERS: Final = ("value", "expected", "low", "high", "confidence", "history")


def _read(row: RowMapping) -> Finding:
    return Finding(
        **{name: row[name] for name in ("event", "kind", *_NUMBERS)},
        post=row["external_id"],
        title=row["title"],
        metric=NAMES[row["metric"]],
        day=to_date(row["day"]),
        since=to_date(row["since_day"]),
        moved=tuple(Moved(**other) for other in row["moved"]),
        posts=tuple(Share(**post) for post in row["posts"]),
    )
