"""Collectors and rollups of one account at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from databases import OpenDatabase, url_of
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core import tables
from nexus_actors.core.database import Database


BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
LOOKS = 16


def dump(database: Database) -> list[str]:
    names = ("post_snapshots", "post_days", "account_days", "account_weeks")
    with database.read() as connection:
        return [
            f"{name} {tuple(row)}"
            for name in names
            for row in connection.execute(
                getattr(tables, name)
                .select()
                .order_by(*getattr(tables, name).primary_key)
            )
        ]


def test_whoever_comes_first_the_rows_are_those_of_the_snapshots(
    database: Database, open_database: OpenDatabase
) -> None:
    Snapshots(database).owner("tiktok", "us", since=BEGIN)
    errors: list[BaseException] = []

    def collect(seed: int) -> None:
        snapshots = Snapshots(open_database(url_of(database)))
        owner = snapshots.owner("tiktok", "us")
        looks = [BEGIN + number * timedelta(hours=5) for number in range(LOOKS)]
        chance = random.Random(seed)
        chance.shuffle(looks)
        for at in looks:
            hours = round((at - BEGIN) / timedelta(hours=1))
            values = {"views": hours * 70, "likes": hours}
            ids = chance.sample(["a", "b", "c", "d"], 4)
            posts = [PostReading(id=i, values=values, published_at=BEGIN) for i in ids]
            snapshots.write(owner, posts, at=at)
            levels = AccountReading(values={"followers": 100 + hours})
            snapshots.write_account(owner, levels, at=at)

    def roll() -> None:
        rollups = Rollups(open_database(url_of(database)), batch=50)
        for _ in range(8):
            rollups.roll()

    def noting(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        return run

    works = [lambda: collect(1), lambda: collect(2), roll, roll]
    threads = [threading.Thread(target=noting(work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    Rollups(database).roll()
    found = dump(database)
    assert sum(line.startswith("post_snapshots") for line in found) == 4 * LOOKS
    Rollups(database).rebuild()
    assert dump(database) == found
