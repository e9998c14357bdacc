"""Megabytes that rolling up takes at its peak, of ten times as many snapshots, too.

Each time, a process of its own opens a database with snapshots and works out all days
and weeks anew; what counts is by how much its resident memory grows at most.  The peer
with pandas reads the same snapshots and works out the days at once.
"""

from __future__ import annotations

import json
import re
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.runner import Contestants, Line, external, scaled


UNIT = "MB"
BETTER = "lower"
PEER = "nexus-actors"
ROUNDS = 3
LINES = [Line(contestant="ten times as many", peer="nexus-actors", at_most=1.2)]

#: How many snapshots there are.
SIZES: Final = {"nexus-actors": 300_000, "ten times as many": 3_000_000}


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """The library with some and with ten times as many, and pandas with these."""
    # here, since it loads pandas, whose memory would count in the other process
    from .rollups import ingest, known, make_world

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        paths = {}
        for label, count in SIZES.items():
            world = make_world(scaled(count, scale))
            database, paths[label] = stack.enter_context(known(world, Path(name)))
            ingest(world, database)
        command = [sys.executable, "-m", "benchmarks.analytics.memory"]
        found = {
            label: external([*command, "ours", str(p)]) for label, p in paths.items()
        }
        many = str(paths["ten times as many"])
        found["pandas with ten times as many"] = external([*command, "pandas", many])
        yield found


def roll(path: str) -> float:
    """Roll all up with the library; return by how much the memory has grown."""
    from nexus_actors.analytics.rollups import Rollups
    from nexus_actors.core.database import Database
    from nexus_actors.core.settings import CoreSettings

    database = Database.open(CoreSettings.load({"database_url": f"sqlite:///{path}"}))
    begin = peak()
    Rollups(database).rebuild()
    database.close()
    return max(peak() - begin, resource.getpagesize() / 1e6)


def pandas(path: str) -> float:
    """Work out the days with pandas, likewise."""
    import pandas as pd

    from .rollups import FIGURES, vectorised

    columns = ", ".join(["post_id", "collected_ms", *FIGURES])
    begin = peak()
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {columns} FROM nexus_post_snapshots"  # noqa: S608 - ours
        vectorised(pd.read_sql(query, connection))
    return max(peak() - begin, resource.getpagesize() / 1e6)


def peak() -> float:
    """Return the most that this process has had in memory, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells begins with the parent's, on Linux
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    work = {"ours": roll, "pandas": pandas}[sys.argv[1]]
    sys.stdout.write(json.dumps({"value": work(sys.argv[2])}))
