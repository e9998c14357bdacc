"""Snapshots a second of CPU: into an empty SQLite file, and rolled up by day and week.

All are given the same arrays, and end with the same tables and keys.  The peers work
with pandas: midnights are put between the snapshots, figures there lie on the line
between the neighbours, and deltas are their differences.  That is done without a loop,
with the care that an expert would take; one reaches the database by SQLAlchemy, as the
documentation of pandas has it, one by the bare driver, which is faster and for SQLite
alone.  A third goes post by post, as much code does, with a tenth of the posts.  They
leave out what ours does beside that: noise that is held, the logarithm of young posts,
and writing in a way that may be repeated.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from benchmarks.runner import BenchmarkError, Contestants, Line, scaled
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.tables import analytics_posts


UNIT = "snapshots/s of CPU"
BETTER = "higher"
PEER = "pandas"
ROUNDS = 3
LINES = [Line(contestant="nexus-actors", peer="pandas", at_least=5)]

#: At full scale; each post has so many, in 90 days.
SNAPSHOTS: Final = 1_000_000
EACH: Final = 100

ACCOUNTS: Final = 10
ZONE: Final = "Europe/Berlin"

HOUR_MS: Final = 3_600_000
GAP_MS: Final = 36 * HOUR_MS

#: From a snapshot of a post to its next, without what chance adds.
STEP_MS: Final = 90 * 24 * HOUR_MS // EACH

#: When the first snapshot was; 2026-09-01.
BEGIN: Final = 1_788_220_800_000

#: How many rows are written in one transaction.
ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class World:
    """The same snapshots for all: as columns, post by post, and whose each post is."""

    columns: dict[str, npt.NDArray[np.int64]]
    owners: list[int]

    @property
    def size(self) -> int:
        """How many snapshots there are."""
        return len(self.columns["views"])

    def part(self, begin: int, end: int) -> dict[str, npt.NDArray[np.int64]]:
        """Return some of them."""
        return {name: column[begin:end] for name, column in self.columns.items()}

    def tenth(self) -> World:
        """Return a world with a tenth of the posts."""
        posts = max(ACCOUNTS, len(self.owners) // 10)
        return World(self.part(0, posts * EACH), self.owners[:posts])


def make_world(count: int) -> World:
    """Make snapshots of posts that grow, at hours of chance."""
    chance = np.random.default_rng(1)
    posts = max(ACCOUNTS, count // EACH)
    late = chance.integers(0, 9 * HOUR_MS, (posts, EACH))
    times = (BEGIN + np.arange(EACH) * STEP_MS + late).reshape(-1)
    views = np.cumsum(chance.poisson(300, (posts, EACH)), axis=1).reshape(-1)
    columns = {
        "post_id": np.repeat(np.arange(posts) + 1, EACH),
        "collected_ms": times,
        "views": views,
        "likes": views // 20,
        "comments": views // 90,
        "shares": views // 70,
        "watch_ms": views * 6000,
        "states": np.zeros_like(views),
    }
    return World(columns, [post * ACCOUNTS // posts + 1 for post in range(posts)])


def measured(work: Callable[[], None], count: int) -> float:
    """Return how many of *count* were done in a second of CPU."""
    began = time.process_time()
    work()
    return count / (time.process_time() - began)


# ours


@contextmanager
def known(world: World, folder: Path) -> Iterator[tuple[Database, Path]]:
    """Yield a database of the library's that knows the posts, and its file."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "nexus.db"
        database = Database.open(
            CoreSettings.load({"database_url": f"sqlite:///{path}"})
        )
        upgrade(database)
        for number in range(ACCOUNTS):
            owner = f"account-{number}"
            Snapshots(database).owner("tiktok", owner, time_zone=ZONE)
        posts = [
            {"account_id": owner, "external_id": str(number), "stale_ms": 0}
            for number, owner in enumerate(world.owners)
        ]
        with database.begin() as connection:
            connection.execute(analytics_posts.insert(), posts)
        yield database, path
        database.close()


def ingest(world: World, database: Database) -> None:
    """Write the snapshots with the library."""
    for at in range(0, world.size, ROWS):
        with database.begin() as connection:
            Snapshots(database).insert(connection, world.part(at, at + ROWS))


def ours(world: World, folder: Path) -> float:
    """Write and roll up with the library."""
    with known(world, folder) as (database, path):

        def work() -> None:
            ingest(world, database)
            Rollups(database).roll()

        found = measured(work, world.size)
        check(path, "nexus_post_days", "nexus_account_weeks", world)
    return found


# the peers


#: The tables of the peers and their keys; without, none could be written again.
TABLES: Final = {
    "snapshots": "post_id, collected_ms",
    "post_days": "post_id, day",
    "account_days": "account, day",
    "account_weeks": "account, year, week",
}

#: What is known of a post; the other counters are not.
FIGURES: Final = ["views", "likes", "comments", "shares", "watch_ms"]

DaysOf = Callable[[pd.DataFrame], pd.DataFrame]


Reach = Callable[[Path], Any]


def by_driver(path: Path) -> sqlite3.Connection:
    """Reach the file by Python's own driver."""
    return sqlite3.connect(path)


def by_sqlalchemy(path: Path) -> sa.Connection:
    """Reach the file by SQLAlchemy."""
    return sa.create_engine(f"sqlite:///{path}").connect()


def pandas(world: World, folder: Path, days_of: DaysOf, reach: Reach) -> float:
    """Write and roll up with pandas."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "pandas.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for table, keys in TABLES.items():
                columns = ", ".join([keys, *FIGURES])
                more = ", correction, imputed, opened" if table == "post_days" else ""
                connection.execute(
                    f"CREATE TABLE {table} ({columns}{more}, PRIMARY KEY ({keys})) "
                    "WITHOUT ROWID"
                )
        with closing(reach(path)) as connection:
            work = partial(pandas_work, world, connection, days_of)
            found = measured(work, world.size)
        check(path, "post_days", "account_weeks", world)
    return found


def pandas_work(world: World, connection: Any, days_of: DaysOf) -> None:
    """Do all of it, from the arrays to the tables."""

    def write(rows: pd.DataFrame, table: str) -> None:
        rows.to_sql(table, connection, index=False, if_exists="append")
        connection.commit()

    write(pd.DataFrame(world.columns).drop(columns="states"), "snapshots")
    seen = pd.read_sql("SELECT * FROM snapshots", connection)
    days = days_of(seen)
    write(days, "post_days")
    owners = pd.Series(world.owners, index=range(1, len(world.owners) + 1))
    days["account"] = days["post_id"].map(owners)
    whole = days[~days["opened"]]
    sums = whole.groupby(["account", "day"])[FIGURES].sum(min_count=1)
    write(sums.reset_index(), "account_days")
    write(pandas_weeks(sums), "account_weeks")


def by_post(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the deltas of each post and day, one post after the other."""
    at = pd.to_datetime(seen["collected_ms"], unit="ms", utc=True)
    pieces = []
    for post, rows in seen.set_index(at.dt.tz_convert(ZONE)).groupby("post_id"):
        levels = rows[FIGURES].astype("float64")
        first, last = levels.index[0], levels.index[-1]
        midnights = pd.date_range(first.normalize(), last, freq="D")[1:]
        wide = pd.Series(levels.index, levels.index).diff() > pd.Timedelta(hours=36)
        levels = levels.reindex(levels.index.union(midnights)).interpolate("time")
        wide = wide.reindex(levels.index).bfill()
        edges = midnights.union([first, last])
        deltas = np.floor(levels.loc[edges] + 0.5).diff()
        piece = deltas.clip(lower=0).iloc[1:]
        piece["correction"] = deltas["views"].clip(upper=0)
        piece["day"] = edges[:-1].tz_localize(None).normalize()
        piece["imputed"] = wide.loc[edges[1:]].to_numpy()
        piece["opened"] = piece["day"] == piece["day"].iloc[0]
        piece["post_id"] = post
        pieces.append(piece)
    return pd.concat(pieces, ignore_index=True)


def vectorised(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the deltas of each post and day, of all posts at once."""
    seen = seen.rename(columns={"post_id": "post", "collected_ms": "at"})
    columns = FIGURES
    local = pd.to_datetime(seen["at"], unit="ms", utc=True).dt.tz_convert(ZONE)
    seen = seen.assign(day=local.dt.tz_localize(None).dt.normalize())
    spans = seen.groupby("post")["day"].agg(["min", "max"])
    every = pd.date_range(spans["min"].min(), spans["max"].max())
    begins = every.tz_localize(ZONE).tz_convert("UTC").as_unit("ms").astype("int64")
    grid = pd.MultiIndex.from_product([spans.index, every], names=["post", "day"])
    bounds = grid.to_frame(index=False)
    bounds["at"] = np.tile(begins, len(spans))
    inside = bounds.merge(spans, left_on="post", right_index=True)
    bounds = inside[(inside["day"] > inside["min"]) & (inside["day"] <= inside["max"])]
    seen["told"] = seen["at"]
    both = pd.concat([seen, bounds[["post", "day", "at"]]])
    both = both.sort_values(["post", "at"], ignore_index=True)
    known = [*columns, "told"]
    before = both.groupby("post")[known].ffill()
    after = both.groupby("post")[known].bfill()
    span = (after["told"] - before["told"]).replace(0, 1)
    share = (both["at"] - before["told"]) / span
    rise = after[columns].astype("float64") - before[columns].astype("float64")
    levels = before[columns].astype("float64") + rise.mul(share, axis=0)
    levels = np.floor(levels + 0.5)
    levels["post"], levels["day"], levels["wide"] = both["post"], both["day"], span
    # a day's figure at its end is the last one in it, or the one at the next midnight
    is_bound = both["told"].isna()
    ends = is_bound | (both["post"] != both["post"].shift(-1))
    starts = both["post"] != both["post"].shift()
    edges = levels[ends | starts].copy()
    deltas = edges.groupby("post")[columns].diff()
    found = edges[["post"]].join(deltas.clip(lower=0))
    found["correction"] = deltas["views"].clip(upper=0)
    found["day"] = edges.groupby("post")["day"].shift()
    found["imputed"] = edges["wide"] > GAP_MS
    found["opened"] = starts.shift(fill_value=False)[edges.index] | (
        found["day"] == found.groupby("post")["day"].transform("min")
    )
    return found.dropna(subset=["day"]).rename(columns={"post": "post_id"})


def pandas_weeks(sums: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of each account and ISO week."""
    flat = sums.reset_index()
    iso = flat["day"].dt.isocalendar()
    keys = [flat["account"], iso["year"].rename("year"), iso["week"].rename("week")]
    weeks = flat.groupby(keys)[FIGURES].sum(min_count=1)
    return weeks.reset_index()


def check(path: Path, days: str, weeks: str, world: World) -> None:
    """Hold all to one result: the views of all days, and how many weeks there are."""
    first, last = (
        world.columns["views"][::EACH],
        world.columns["views"][EACH - 1 :: EACH],
    )
    with closing(sqlite3.connect(path)) as connection:
        views = connection.execute(f"SELECT SUM(views) FROM {days}").fetchone()[0]  # noqa: S608 - ours
        found = connection.execute(f"SELECT COUNT(*) FROM {weeks}").fetchone()[0]  # noqa: S608 - ours
    if int(views) != int((last - first).sum()) or not found:
        raise BenchmarkError(f"{days} has {views} views, and there are {found} weeks")


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All, with the same snapshots."""
    world = make_world(scaled(SNAPSHOTS, scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield {
            "nexus-actors": partial(ours, world, folder),
            "pandas": partial(pandas, world, folder, vectorised, by_sqlalchemy),
            "pandas by the bare driver": partial(
                pandas, world, folder, vectorised, by_driver
            ),
            "pandas post by post": partial(
                pandas, world.tenth(), folder, by_post, by_sqlalchemy
            ),
        }
