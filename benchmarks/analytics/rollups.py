"""Snapshots a second of CPU: into an empty SQLite file, and rolled up by day and week.

The peers do the same from rows to tables with pandas: midnights are put between the
snapshots, figures there lie on the line between the neighbours, and deltas are their
differences.  One goes post by post, as most code does; the other has no loop and takes
the care that an expert would.  Both leave out what ours does beside that: noise that is
held, the logarithm of young posts, and writing in a way that may be repeated.
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
import pandas as pd

from benchmarks.runner import BenchmarkError, Contestants, Line, scaled
from nexus_actors.analytics.metrics import COUNTERS
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Row, Snapshots
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.tables import analytics_posts


UNIT = "snapshots/s of CPU"
BETTER = "higher"
PEER = "pandas"
ROUNDS = 3
LINES = [Line(contestant="nexus-actors", peer="pandas", at_least=5)]

#: At full scale; each post has so many, about one a day.
SNAPSHOTS: Final = 300_000
EACH: Final = 60

ACCOUNTS: Final = 10
ZONE: Final = "Europe/Berlin"

HOUR_MS: Final = 3_600_000
GAP_MS: Final = 36 * HOUR_MS

#: When the first snapshot was; 2026-09-01.
BEGIN: Final = 1_788_220_800_000

#: How many rows are written in one transaction.
ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class World:
    """The same snapshots for both: as rows, and whose each post is."""

    rows: list[Row]
    owners: list[int]


def make_world(count: int) -> World:
    """Make snapshots of posts that grow, one a day at an hour of chance."""
    chance = np.random.default_rng(1)
    posts = max(ACCOUNTS, count // EACH)
    hours = np.arange(EACH) * 24 + chance.integers(0, 9, (posts, EACH))
    times = BEGIN + hours * HOUR_MS + chance.integers(0, HOUR_MS, (posts, EACH))
    views = np.cumsum(chance.poisson(300, (posts, EACH)), axis=1)
    rows: list[Row] = []
    for post in range(posts):
        for at, seen in zip(times[post].tolist(), views[post].tolist(), strict=True):
            counts = (seen, None, seen // 20, seen // 90, seen // 70, None, seen * 6000)
            rows.append((post + 1, at // HOUR_MS, at, *counts, 0, None))
    return World(rows, [post * ACCOUNTS // posts + 1 for post in range(posts)])


def measured(work: Callable[[], None], count: int) -> float:
    """Return how many of *count* were done in a second of CPU."""
    began = time.process_time()
    work()
    return count / (time.process_time() - began)


# ours


def ours(world: World, folder: Path) -> float:
    """Write and roll up with the library."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        url = f"sqlite:///{name}/nexus.db"
        database = Database.open(CoreSettings.load({"database_url": url}))
        upgrade(database)
        snapshots = Snapshots(database)
        for number in range(ACCOUNTS):
            snapshots.owner("tiktok", f"account-{number}", time_zone=ZONE)
        posts = [
            {"account_id": owner, "external_id": str(number), "stale_ms": 0}
            for number, owner in enumerate(world.owners)
        ]
        with database.begin() as connection:
            connection.execute(analytics_posts.insert(), posts)

        def work() -> None:
            for at in range(0, len(world.rows), ROWS):
                with database.begin() as connection:
                    snapshots.insert(connection, world.rows[at : at + ROWS])
            Rollups(database).roll()

        found = measured(work, len(world.rows))
        check(Path(name) / "nexus.db", "nexus_post_days", "nexus_account_weeks")
        database.close()
    return found


# the peer


DaysOf = Callable[[pd.DataFrame], pd.DataFrame]


def pandas(world: World, folder: Path, days_of: DaysOf) -> float:
    """Write and roll up with pandas."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        closing(sqlite3.connect(Path(name) / "pandas.db")) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        found = measured(
            partial(pandas_work, world, connection, days_of), len(world.rows)
        )
        check(Path(name) / "pandas.db", "post_days", "account_weeks")
    return found


def pandas_work(world: World, connection: sqlite3.Connection, days_of: DaysOf) -> None:
    """Do all of it, from the rows to the tables."""
    names = ["post", "slot", "at", "views", "reach", "likes", "comments", "shares"]
    rows = pd.DataFrame(world.rows, columns=[*names, "saves", "watch_ms", "s", "x"])
    rows = rows.drop(columns=["s", "x"])
    rows.to_sql("snapshots", connection, index=False)
    connection.commit()
    seen = pd.read_sql("SELECT * FROM snapshots", connection)
    days = days_of(seen)
    days.to_sql("post_days", connection, index=False)
    owners = pd.Series(world.owners, index=range(1, len(world.owners) + 1))
    days["account"] = days["post"].map(owners)
    whole = days[~days["opened"]]
    sums = whole.groupby(["account", "day"])[list(COUNTERS)].sum(min_count=1)
    sums.reset_index().to_sql("account_days", connection, index=False)
    pandas_weeks(sums).to_sql("account_weeks", connection, index=False)
    connection.commit()


def by_post(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the deltas of each post and day, one post after the other."""
    columns = list(COUNTERS)
    local = pd.to_datetime(seen["at"], unit="ms", utc=True).dt.tz_convert(ZONE)
    pieces = []
    for post, rows in seen.set_index(local).groupby("post"):
        levels = rows[columns].astype("float64")
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
        piece["post"] = post
        pieces.append(piece)
    return pd.concat(pieces, ignore_index=True)


def vectorised(seen: pd.DataFrame) -> pd.DataFrame:
    """Return the deltas of each post and day, of all posts at once."""
    columns = list(COUNTERS)
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
    return found.dropna(subset=["day"])


def pandas_weeks(sums: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of each account and ISO week."""
    flat = sums.reset_index()
    iso = flat["day"].dt.isocalendar()
    keys = [flat["account"], iso["year"].rename("year"), iso["week"].rename("week")]
    weeks = flat.groupby(keys)[list(COUNTERS)].sum(min_count=1)
    return weeks.reset_index()


def check(path: Path, days: str, weeks: str) -> None:
    """Hold all to one result: the views of all days, and how many weeks there are."""
    with closing(sqlite3.connect(path)) as connection:
        views = connection.execute(f"SELECT SUM(views) FROM {days}").fetchone()[0]  # noqa: S608 - ours
        found = connection.execute(f"SELECT COUNT(*) FROM {weeks}").fetchone()[0]  # noqa: S608 - ours
    told = RESULTS.setdefault("views", int(views))
    if told != int(views) or not found:
        raise BenchmarkError(f"the sides do not agree: {told} and {views} views")


#: What the first run has found.
RESULTS: dict[str, Any] = {}


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All, with the same rows."""
    RESULTS.clear()
    world = make_world(scaled(SNAPSHOTS, scale))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield {
            "nexus-actors": partial(ours, world, folder),
            "pandas": partial(pandas, world, folder, by_post),
            "vectorised pandas": partial(pandas, world, folder, vectorised),
        }
