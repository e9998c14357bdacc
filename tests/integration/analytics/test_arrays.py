"""Arrays into both kinds of database, and out of them."""

from __future__ import annotations

import numpy as np
import pytest

from nexus_actors.analytics import arrays
from nexus_actors.analytics.arrays import NONE, fetch, put
from nexus_actors.analytics.image import MOST
from nexus_actors.core.database import Database
from scale import scaled


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_put_is_what_is_fetched(
    database: Database, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though Python's SQLite be built without taking a database whole."""
    monkeypatch.setattr(arrays, "WHOLE", whole)
    size = scaled(3000, full=MOST + 1)
    columns = {
        "first": np.arange(size),
        "second": np.random.default_rng(1).integers(-(2**62), 2**62, size),
        "third": np.where(np.arange(size) % 3 == 0, NONE, np.arange(size)),
    }
    nothing = {name: column[:0] for name, column in columns.items()}
    insert = (
        "INSERT INTO things SELECT first, second, NULLIF(third, -1), 7 FROM {rows} "
        "WHERE third <> 4"
    )

    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE things (a BIGINT, b BIGINT, c BIGINT, d BIGINT)"
        )
        for given in (nothing, columns):
            put(database, connection, insert, given)
        where = "things WHERE d = ? AND a <> ?"
        found = fetch(database, connection, ["a", "b", "c"], where, (7, 1))
        none = fetch(database, connection, ["a"], where, (8, 1))
        unknown = fetch(database, connection, ["a"], "things WHERE c IS NULL")

    order, rest = (
        np.argsort(found[0]),
        np.flatnonzero(~np.isin(np.arange(size), [1, 4])),
    )
    for got, column in zip(found, columns.values(), strict=True):
        assert got[order].tolist() == column[rest].tolist()
    assert [column.size for column in none] == [0]
    assert sorted(unknown[0].tolist()) == list(range(0, size, 3))
