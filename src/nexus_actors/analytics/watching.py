"""Accounts that are read by themselves: who is due, who works on it, and what is left.

The time at which an account is due stands in its row.  Whoever claims the row then
reads the account, and nobody else does; a post's own time moves on in the step that
writes its figures, so that a worker that dies in between costs nothing but the wait for
the end of its lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed

from .rows import MANY
from .schedule import HOUR_MS, MINUTE_MS


if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from nexus_actors.core.database import Database

#: How long a claim holds that is not renewed.
LEASE_MS: Final = 10 * MINUTE_MS

#: How often the list of an account's posts is looked at, and its days.
LIST_MS: Final = HOUR_MS
DAYS_MS: Final = 20 * HOUR_MS

#: How soon an account is tried again that only its owner can mend: by then it may be;
#: and how soon where the platform is away.
LOST_MS: Final = 6 * HOUR_MS
FAILED_MS: Final = 15 * MINUTE_MS

#: Posts that are due so soon are read along with those that are.
ALONG_MS: Final = 2 * MINUTE_MS


@dataclass(slots=True, kw_only=True)
class Watched:
    """An account that is claimed.

    Attributes:
        listed_ms: When its list was last looked at; 0 is never.
        days_ms: Likewise, its days.
        lease_ms: The end of the claim, by which it is known.
    """

    id: int
    platform: str
    account: str
    listed_ms: int
    days_ms: int
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Watching:
    """The rows of the accounts that are read by themselves."""

    database: Database

    def watch(self, account: int, *, on: bool) -> None:
        """Let an account be read by itself from now on, or no more."""
        self.write(account, due_ms=clock.now_ms() if on else None)

    def overdue(self) -> list[int]:
        """Return the accounts that are due, and that nobody works on."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        now = clock.now_ms()
        query = select(table.c.id).where(table.c.due_ms <= now, _free(table, now))
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(table.c.due_ms)).scalars())

    def claim(self, account: int) -> Watched | None:
        """Return an account if it is due, and it is for the caller to read it."""
        from nexus_actors.core.tables import analytics_accounts as table

        now = clock.now_ms()
        mine = (table.c.id == account, table.c.due_ms <= now, _free(table, now))
        update = table.update().where(*mine).values(lease_ms=now + LEASE_MS)
        with self.database.begin() as connection:
            if not connection.execute(update).rowcount:
                return None
            query = table.select().where(table.c.id == account)
            row = connection.execute(query).mappings().one()
        return Watched(
            id=row["id"],
            platform=row["platform"],
            account=row["account"],
            listed_ms=row["listed_ms"] or 0,
            days_ms=row["days_ms"] or 0,
            lease_ms=row["lease_ms"],
        )

    def renew(self, claim: Watched) -> None:
        """Let a claim hold for longer, if little of it is left.

        Raises:
            Postponed: Another has it.
        """
        from nexus_actors.core.tables import analytics_accounts as table

        now = clock.now_ms()
        if claim.lease_ms - now > LEASE_MS // 2:
            return
        mine = (table.c.id == claim.id, table.c.lease_ms == claim.lease_ms)
        query = table.update().where(*mine).values(lease_ms=now + LEASE_MS)
        with self.database.begin() as connection:
            if not connection.execute(query).rowcount:
                raise Postponed("another reads it", code="claimed", until=clock.now())
        claim.lease_ms = now + LEASE_MS

    def release(self, claim: Watched, *, due_ms: int) -> None:
        """Give a claim back, if it holds, with what it has done, and when it is due."""
        from sqlalchemy import case

        from nexus_actors.core.tables import analytics_accounts as table

        mine = (table.c.id == claim.id, table.c.lease_ms == claim.lease_ms)
        ended = table.c.due_ms.is_(None)  # it is to be read no more
        query = (
            table.update()
            .where(*mine)
            .values(
                lease_ms=None,
                due_ms=case((ended, None), else_=due_ms),
                listed_ms=claim.listed_ms,
                days_ms=claim.days_ms,
            )
        )
        with self.database.begin() as connection:
            connection.execute(query)

    def due_posts(self, account: int) -> list[str]:
        """Return the posts that are due by now, or almost, the earliest first."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts as table

        before = clock.now_ms() + ALONG_MS
        mine = (table.c.account_id == account, table.c.due_ms <= before)
        query = select(table.c.external_id).where(*mine).order_by(table.c.due_ms)
        with self.database.read() as connection:
            return list(connection.execute(query).scalars())

    def next_ms(self, claim: Watched) -> int:
        """Return when an account is due next: it, or one of its posts."""
        from sqlalchemy import func, select

        from nexus_actors.core.tables import analytics_posts as table

        query = select(func.min(table.c.due_ms)).where(table.c.account_id == claim.id)
        with self.database.read() as connection:
            post = connection.execute(query).scalar()
        listed_ms = claim.listed_ms + LIST_MS
        return min(listed_ms, post or listed_ms)

    def posts_since(self, account: int, published_ms: int) -> list[str]:
        """Return the posts that are there, and not older than that."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts as table

        query = select(table.c.external_id).where(
            table.c.account_id == account,
            table.c.gone_ms.is_(None),
            table.c.published_ms >= published_ms,
        )
        with self.database.read() as connection:
            return list(connection.execute(query.order_by(table.c.id)).scalars())

    def known(
        self, account: int, ids: Sequence[str]
    ) -> dict[str, tuple[str | None, int]]:
        """Return of posts that are known the format, and when they were last seen."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_posts as table

        found: dict[str, tuple[str | None, int]] = {}
        columns = (table.c.external_id, table.c.format, table.c.seen_ms)
        with self.database.read() as connection:
            for at in range(0, len(ids), MANY):
                some = table.c.external_id.in_(ids[at : at + MANY])
                query = select(*columns).where(table.c.account_id == account, some)
                for id_, kind, seen in connection.execute(query):
                    found[id_] = (kind, seen or 0)
        return found

    def note(self, account: int, name: str) -> Any:
        """Return what was noted of an account: its ``refusals``, or a ``round``."""
        from sqlalchemy import select

        from nexus_actors.core.tables import analytics_accounts as table

        query = select(table.c[name]).where(table.c.id == account)
        with self.database.read() as connection:
            return connection.execute(query).scalar() or {}

    def write(self, account: int, **changes: Any) -> None:
        """Change something of an account's row."""
        from nexus_actors.core.tables import analytics_accounts as table

        query = table.update().where(table.c.id == account).values(**changes)
        with self.database.begin() as connection:
            connection.execute(query)


def _free(table: Table, now: int) -> ColumnElement[bool]:
    return table.c.lease_ms.is_(None) | (table.c.lease_ms <= now)
