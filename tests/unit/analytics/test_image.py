"""A database made of arrays: SQLite itself says whether it is one."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from nexus_actors.analytics.image import MOST, MOST_COLUMNS, image
from scale import scaled


#: Around the number of rows that a leaf has, and so many that there are many leaves.
SIZES = (0, 1, 2, 734, 735, 736, 737, 20_000)


@pytest.mark.parametrize("width", [1, 9, MOST_COLUMNS])
def test_sqlite_finds_the_rows_and_nothing_wrong(width: int) -> None:
    chance = np.random.default_rng(width)
    for size in (*SIZES, *scaled((), full=(MOST,))):
        columns = {
            f"c{number}": chance.integers(-(2**63), 2**63 - 1, size)
            for number in range(width)
        }

        with closing(sqlite3.connect(":memory:")) as connection:
            connection.deserialize(image(columns))

            [[verdict]] = connection.execute("PRAGMA integrity_check")
            assert verdict == "ok", (size, width)
            rows = connection.execute("SELECT * FROM staged").fetchall()
        expected = zip(*(c.tolist() for c in columns.values()), strict=True)
        assert rows == list(expected)
