"""Ten times the snapshots take the same memory to roll up."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from databases import OpenDatabase
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.tables import analytics_posts
from scale import scaled


EACH = 40
HOUR = 3_600_000
BEGIN = 1_788_220_800_000


def fill(database: Database, posts: int) -> None:
    snapshots = Snapshots(database)
    owner = snapshots.owner("tiktok", "us", time_zone="Europe/Berlin")
    named = [
        {"account_id": owner.id, "external_id": str(number), "stale_ms": 0}
        for number in range(posts)
    ]
    with database.begin() as connection:
        connection.execute(analytics_posts.insert(), named)
        numbers = np.arange(posts * EACH)
        columns = {
            "post_id": numbers // EACH + 1,
            "collected_ms": BEGIN + numbers % EACH * 23 * HOUR,
            "states": np.zeros_like(numbers),
            "views": numbers % EACH * 90,
        }
        snapshots.insert(connection, columns)


def peak_of(database: Database) -> int:
    tracemalloc.start()
    try:
        Rollups(database, batch=4 * EACH).roll()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_snapshots_take_the_same_memory(
    open_database: OpenDatabase, tmp_path: Path
) -> None:
    posts = scaled(6, full=300)
    databases = []
    for name, count in (("warm", 2), ("few", posts), ("many", 10 * posts)):
        database = open_database(f"sqlite:///{tmp_path / name}.db")
        upgrade(database)
        fill(database, count)
        databases.append(database)

    _, few, many = (peak_of(database) for database in databases)

    assert many <= 1.5 * few, (few, many)
