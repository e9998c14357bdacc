"""Bytes that a snapshot takes in a SQLite file, and that a day of a post does.

The same figures are kept as the library keeps them, in a row with a column for each
common metric and whole numbers for keys; and as a table often looks that has grown by
itself, with a row for each metric and the texts that platforms give for keys.  The
sums of accounts are in the library's days.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.runner import Contestants, scaled
from nexus_actors.analytics.rollups import Rollups

from .rollups import FIGURES, SNAPSHOTS, World, ingest, known, make_world


UNIT = "bytes"
BETTER = "lower"
PEER = "a row per metric"
ROUNDS = 1

#: What is kept of a day in the peer's way: as many figures as of a snapshot.
TABLES: Final = ("snapshots", "days")


def ours(world: World, folder: Path) -> dict[str, float]:
    """Keep them as the library does."""
    with known(world, folder) as (database, path):
        begin = size(path)
        ingest(world, database)
        written = size(path)
        Rollups(database).roll()
        with closing(sqlite3.connect(path)) as connection:
            [[days]] = connection.execute("SELECT COUNT(*) FROM nexus_post_days")
        return {
            "a snapshot": (written - begin) / world.size,
            "a day": (size(path) - written) / days,
        }


def by_metric(world: World, folder: Path) -> dict[str, float]:
    """Keep them as rows of texts."""
    found = {}
    for table, shown in zip(TABLES, ("a snapshot", "a day"), strict=True):
        path = folder / f"{table}.db"
        when = "%Y-%m-%dT%H:%M:%SZ" if table == "snapshots" else "%Y-%m-%d"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                f"CREATE TABLE {table} (platform TEXT, post TEXT, at TEXT, "
                "metric TEXT, value INTEGER, "
                "PRIMARY KEY (platform, post, at, metric))"
            )
            begin = size(path)
            connection.executemany(
                f"INSERT INTO {table} VALUES ('tiktok', ?, "  # noqa: S608 - ours
                f"strftime('{when}', ? / 1000, 'unixepoch'), ?, ?) "
                "ON CONFLICT DO UPDATE SET value = excluded.value",
                rows_of(world),
            )
            connection.commit()
            [[rows]] = connection.execute(f"SELECT COUNT(*) FROM {table}")  # noqa: S608
        found[shown] = (size(path) - begin) * len(FIGURES) / rows
        path.unlink()
    return found


def rows_of(world: World) -> Iterator[tuple[str, int, str, int]]:
    """Yield a row for each metric of each snapshot."""
    posts, times = (world.columns[n].tolist() for n in ("post_id", "collected_ms"))
    figures = [(name, world.columns[name].tolist()) for name in FIGURES]
    for row, (post, at) in enumerate(zip(posts, times, strict=True)):
        for name, values in figures:
            # as long as an id of TikTok's
            yield f"{7_400_000_000_000_000_000 + post}", at, name, values[row]


def size(path: Path) -> int:
    """Return how many bytes a database has, what is free in it left out."""
    with closing(sqlite3.connect(path)) as connection:
        pragmas = ("page_count", "freelist_count", "page_size")
        count, free, each = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas
        )
    return int(count - free) * int(each)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Both, with the same snapshots: a tenth of those that are rolled up."""
    world = make_world(scaled(SNAPSHOTS // 10, scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield {
            "nexus-actors": partial(ours, world, folder),
            PEER: partial(by_metric, world, folder),
        }
