"""How long snapshots are kept: of old ones a few, and all that was worked out of them.

What is deleted can no longer be rolled up.  So a post's days before the oldest snapshot
that is still whole are sealed: no rollup writes them any more.  That snapshot is chosen
so that every later day comes out as before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock

from .calendar import day_at
from .days import HOUR_MS, NOISE_PART, NOISE_UNITS
from .metrics import COUNTERS, METRICS


if TYPE_CHECKING:
    from nexus_actors.core.database import Database

#: The ages at which posts are compared: their snapshots are kept.
AGES_MS: Final = tuple(hours * HOUR_MS for hours in (24, 7 * 24, 28 * 24))

#: How many posts are thinned out in one transaction.
POSTS: Final = 500


def thin(
    database: Database, kept_days: int, *, stop: Callable[[], None] = lambda: None
) -> int:
    """Delete old snapshots that nothing needs; return how many.

    Posts with snapshots that are not rolled up yet are left for the next time.
    """
    before = clock.now_ms() - round(timedelta(days=kept_days).total_seconds() * 1000)
    deleted, after = 0, 0
    while True:
        stop()
        part, count = _thin_part(database, before, after)
        deleted += count
        if not part:
            return deleted
        after = part[-1]


def _thin_part(database: Database, before: int, after: int) -> tuple[list[int], int]:
    from sqlalchemy import select

    from nexus_actors.core.tables import (
        analytics_accounts,
        analytics_posts,
        post_snapshots,
    )

    posts, known = analytics_posts.c, post_snapshots.c
    old = select(known.post_id).where(
        known.post_id == posts.id, known.slot < before // HOUR_MS
    )
    query = (
        select(posts.id, posts.published_ms, analytics_accounts.c.time_zone)
        .join(analytics_accounts, analytics_accounts.c.id == posts.account_id)
        .where(posts.id > after, posts.stale_ms.is_(None), old.exists())
        .order_by(posts.id)
        .limit(POSTS)
        .with_for_update()
    )
    deleted = 0
    with database.begin() as connection:
        found = connection.execute(query).all()
        for post, published, zone in found:
            deleted += _thin_post(connection, post, published, zone, before)
    return [row[0] for row in found], deleted


def _thin_post(
    connection: Any, post: int, published: int | None, zone: str, before: int
) -> int:
    from nexus_actors.core.tables import analytics_posts, post_snapshots

    known = post_snapshots.c
    query = post_snapshots.select().where(known.post_id == post).order_by(known.slot)
    rows = connection.execute(query).mappings().all()
    old = [row for row in rows if row["collected_ms"] < before]
    if len(old) < 2:  # noqa: PLR2004 - the last of them is needed
        return 0
    opens = _opening(old)
    needed = {row["slot"] for row in old[opens:]} | _marks(old, published)
    slots = [row["slot"] for row in old if row["slot"] not in needed]
    if not slots:
        return 0
    deleted = post_snapshots.delete().where(known.post_id == post)
    connection.execute(deleted.where(known.slot.in_(slots)))
    opens_ms = old[opens]["collected_ms"]
    # the day of that snapshot is half of what is kept, and half of what is not
    sealed = day_at(old[-1]["collected_ms"], zone) + 1
    table = analytics_posts
    change = table.update().where(table.c.id == post)
    connection.execute(change.values(opens_ms=opens_ms, sealed_day=sealed))
    return len(slots)


def _opening(old: list[Any]) -> int:
    """Return from which snapshot on later days come out as they did.

    That is the last one; or an earlier one that has told a metric which the last has
    not, or whose level is still held against a fall that is taken for noise.
    """
    opens = len(old) - 1
    for name in COUNTERS:
        told = [at for at, row in enumerate(old) if row[name] is not None]
        if told:
            opens = min(opens, _held_since([old[at][name] for at in told], told, name))
    return opens


def _held_since(levels: list[int], places: list[int], name: str) -> int:
    least = NOISE_UNITS[METRICS[name].unit]
    level, since = levels[0], places[0]
    for value, place in zip(levels, places, strict=True):
        fall = level - value
        if fall <= 0 or (fall >= least and fall * NOISE_PART > level):
            level, since = value, place
    return since


def _marks(old: list[Any], published: int | None) -> set[int]:
    """Return the slots of the snapshots nearest to the ages that are compared."""
    if published is None:
        return set()
    last: int = old[-1]["collected_ms"]
    marks = [published + age for age in AGES_MS if published + age <= last]
    nearest = (min(old, key=partial(_distance, at)) for at in marks)
    return {row["slot"] for row in nearest}


def _distance(at: int, row: Any) -> int:
    return abs(int(row["collected_ms"]) - at)
