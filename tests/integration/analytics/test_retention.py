"""What is left when old snapshots are thinned out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from databases import OpenDatabase
from nexus_actors.analytics.figures import Figures
from nexus_actors.analytics.metrics import State
from nexus_actors.analytics.readings import PostReading
from nexus_actors.analytics.retention import thin
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Owner, Snapshots
from nexus_actors.core import tables
from nexus_actors.core.database import Database, upgrade


TODAY = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

ROLLUPS = ("post_days", "post_corrections", "account_days", "account_weeks")


def dump(database: Database) -> list[str]:
    with database.read() as connection:
        return [
            f"{name} {tuple(row)}"
            for name in ROLLUPS
            for row in connection.execute(getattr(tables, name).select())
        ]


def count(database: Database) -> int:
    query = sa.select(sa.func.count()).select_from(tables.post_snapshots)
    with database.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def look(database: Database, owner: Owner, at: datetime, chance: random.Random) -> None:
    hours = (at - TODAY) / timedelta(hours=1) + 9000
    posts = [
        PostReading(
            id=f"p{number}",
            published_at=TODAY - timedelta(days=160),
            values={
                "views": int(hours * 20) + chance.choice([0, 0, 500, -5, 900]),
                "likes": int(hours) - chance.choice([0, 0, 3, 8]),
                "comments": chance.choice([State.WITHHELD, 7, 9, 40]),
            },
        )
        for number in range(8)
    ]
    Snapshots(database).write(owner, posts, at=at)


@pytest.fixture
def twins(open_database: OpenDatabase, tmp_path: Path) -> list[Database]:
    """Two databases that nobody has written to."""
    found = [open_database(f"sqlite:///{tmp_path / name}.db") for name in "ab"]
    for database in found:
        upgrade(database)
    return found


def test_later_days_come_out_as_if_nothing_had_been_deleted(
    twins: list[Database],
) -> None:
    thinned, whole = twins
    chances = [random.Random(5), random.Random(5)]
    owners = [
        Snapshots(database).owner(
            "tiktok", "us", time_zone="Asia/Tokyo", since=TODAY - timedelta(days=300)
        )
        for database in twins
    ]

    def collect(first: int, last: int) -> None:
        for database, owner, chance in zip(twins, owners, chances, strict=True):
            for number in range(first, last):
                at = TODAY - timedelta(days=160) + number * timedelta(hours=35)
                look(database, owner, at, chance)
            Rollups(database).roll()

    collect(1, 95)
    before = count(thinned)
    deleted = thin(thinned, 90)

    assert deleted > 100
    assert count(thinned) == before - deleted
    assert thin(thinned, 90) == 0
    Rollups(thinned).rebuild()
    assert dump(thinned) == dump(whole)

    collect(95, 109)
    assert thin(thinned, 60) > 0
    Rollups(thinned).rebuild()
    assert dump(thinned) == dump(whole)

    # posts are still compared at the ages that matter
    for days in (1, 7, 28):
        age = timedelta(days=days)
        kept = Figures(thinned).posts("tiktok", "us", age=age)
        assert kept == Figures(whole).posts("tiktok", "us", age=age)
        assert len(kept) == 8
