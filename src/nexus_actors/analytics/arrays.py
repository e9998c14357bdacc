"""Arrays of whole numbers, into the database and out of it in one piece.

Row by row, each number becomes an object and is bound or fetched by itself; that takes
several times as long as the database takes for the row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .calendar import Array
from .image import MOST, image


if TYPE_CHECKING:
    from sqlalchemy import Connection

    from nexus_actors.core.database import Database

#: What stands for a figure that is not known: NULL of the database.
NONE: Final = -1

#: The database in memory in which SQLite finds what is handed over, beside its file.
STAGED: Final = "nexus_staged"

#: Whether Python's SQLite takes a database whole; some are built without.
WHOLE: Final = hasattr(sqlite3.Connection, "deserialize")

#: The numbers that PostgreSQL gives to its type bigint, and to arrays of it.
BIGINT: Final = 20
BIGINTS: Final = 1016


def fetch(
    database: Database,
    connection: Connection,
    names: Sequence[str],
    source: str,
    values: Sequence[int] = (),
) -> list[Array]:
    """Return columns of a query, in no order but with their rows in the same one.

    Each column comes as one text.

    Args:
        database: Where *connection* leads.
        connection: One in a transaction.
        names: SQL of the columns.
        source: SQL from FROM on, with a ``?`` for each of *values*.
        values: Whole numbers.
    """
    joined = "group_concat" if database.path else "string_agg"
    kind = "" if database.path else "::text"
    columns = ", ".join(f"{joined}(COALESCE({n}, {NONE}){kind}, ',')" for n in names)
    query = f"SELECT {columns} FROM {source}"  # noqa: S608 - ours
    text = query if database.path else query.replace("?", "%s")
    [row] = connection.exec_driver_sql(text, tuple(values)).all()
    return [np.fromstring(found or "", np.int64, sep=",") for found in row]


def put(
    database: Database,
    connection: Connection,
    statement: str,
    columns: Mapping[str, Array],
) -> None:
    """Run *statement* once, in which ``{rows}`` stands for a table of *columns*."""
    size = len(next(iter(columns.values())))
    if not size:
        return
    driver = connection.connection.driver_connection
    if database.path is None:
        arrays = tuple(columns.values())
        marks = ", ".join(["%s::bigint[]"] * len(arrays))
        rows = f"unnest({marks}) AS staged ({', '.join(columns)})"
        _learn_arrays(driver)
        connection.exec_driver_sql(statement.format(rows=rows), arrays)
        return
    for at in range(0, size, MOST):
        part = {name: column[at : at + MOST] for name, column in columns.items()}
        _stage(driver, part)
        connection.exec_driver_sql(statement.format(rows=f"{STAGED}.staged"))
    _stage(driver, {"given_back": np.zeros(0, np.int64)})


def _stage(driver: Any, columns: Mapping[str, Array]) -> None:
    """Put a database with a table of *columns* beside the file of a connection."""
    attached = driver.execute("PRAGMA database_list").fetchall()
    if all(name != STAGED for _, name, _ in attached):
        driver.execute(f"ATTACH ':memory:' AS {STAGED}").close()
    if WHOLE:
        driver.deserialize(image(columns), name=STAGED)
        return
    driver.execute(f"DROP TABLE IF EXISTS {STAGED}.staged")
    driver.execute(f"CREATE TABLE {STAGED}.staged ({', '.join(columns)})")
    insert = f"INSERT INTO {STAGED}.staged VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - ours
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    driver.executemany(insert, rows)


def _learn_arrays(driver: Any) -> None:
    """Let psycopg hand over arrays as they lie in memory."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        """Spells an array the server's own way."""

        format, oid = Format.BINARY, BIGINTS

        def dump(self, obj: Array) -> bytes:
            items = np.empty(obj.size, [("size", ">i4"), ("value", ">i8")])
            items["size"], items["value"] = 8, obj
            return np.array([1, 0, BIGINT, obj.size, 1], ">i4").tobytes() + bytes(items)

    driver.adapters.register_dumper(np.ndarray, ArrayDumper)
