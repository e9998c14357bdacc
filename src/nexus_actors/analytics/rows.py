"""Readings as rows of the database, and the statements that take many of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nexus_actors.core import clock

from .metrics import COLUMNS, METRICS, Reading, State, pack
from .readings import DayReading, PostReading
from .schedule import has_moved, next_ms


if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from nexus_actors.core.database import Database

    from .calendar import Array

#: What is kept of a post beside its figures: the last that was told.
ABOUT: Final = ("duration_ms", "format", "title", "url", "picture_url")

#: Of a text as long as a caption, so much is kept; an address is kept whole, or not.
LONGEST: Final = 500
LONGEST_URL: Final = 4000

#: How many posts one statement names.
MANY: Final = 500

#: The values of a statement.
Row = tuple[Any, ...]


def insert_sql(database: Database, table: Table, names: Iterable[str]) -> str:
    """Return a plain insert: SQLAlchemy's own costs more than the database does."""
    columns = list(names)
    marks = ", ".join(["?" if database.path else "%s"] * len(columns))
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - ours


def run_many(
    database: Database, connection: Connection, statement: str, rows: list[Row]
) -> None:
    """Run a statement, with marks as SQLite has them, for each row if there is any."""
    if rows:
        text = statement if database.path else statement.replace("?", "%s")
        connection.exec_driver_sql(text, rows)


def columns_of(
    posts: Sequence[tuple[int, PostReading]], at_ms: int
) -> dict[str, Array]:
    """Return the columns of the snapshots of posts, with their numbers."""
    import numpy as np

    figures = [[figure_of(post.values.get(n)) for n in COLUMNS] for _, post in posts]
    known = [[-1 if value is None else value for value in row] for row in figures]
    table = np.array(known, np.int64).reshape(len(posts), len(COLUMNS))
    return {
        "post_id": np.array([number for number, _ in posts], np.int64),
        "collected_ms": np.full(len(posts), at_ms),
        "states": np.array([_states(post) for _, post in posts], np.int64),
        **dict(zip(COLUMNS, table.T, strict=True)),
    }


def _states(post: PostReading) -> int:
    states = {n: v for n, v in post.values.items() if isinstance(v, State)}
    given = {n: State.VALUE for n in post.values if n not in states}
    return pack(states | given)


def day_rows(
    account: int, post: int, reading: DayReading, at_ms: int
) -> list[dict[str, int | None]]:
    """Return the rows of what a platform says of a day; post 0 is the account."""
    from .calendar import to_day

    return [
        {
            "account_id": account,
            "post_id": post,
            "day": to_day(reading.day),
            "metric": METRICS[name].code,
            "value": figure_of(value),
            "state": int(value if isinstance(value, State) else State.VALUE),
            "collected_ms": at_ms,
        }
        for name, value in sorted(reading.values.items())
    ]


def due_ms(
    post: PostReading, before: tuple[int | None, int | None] | None, at_ms: int
) -> int | None:
    """Return when a post is read next, after a reading at *at_ms*."""
    published, views = before or (None, None)
    moved = has_moved(views, figure_of(post.values.get("views")))
    return next_ms(ms_of(post.published_at) or published, at_ms, moved=moved)


def figure_of(value: Reading | None) -> int | None:
    """Return a figure; None where there is none."""
    return None if value is None or isinstance(value, State) else value


def extra_of(values: Any, columns: Sequence[str]) -> dict[str, int | str] | None:
    """Return what has no column: numbers, or the word of a state; None if nothing."""
    found = {
        METRICS[name].name: value.name.lower() if isinstance(value, State) else value
        for name, value in values.items()
        if name not in columns
    }
    return found or None


def about(post: PostReading) -> dict[str, int | str | None]:
    """Return what is kept of a post beside its figures."""
    urls = {name: getattr(post, name) for name in ("url", "picture_url")}
    return {
        "duration_ms": post.duration_ms,
        "format": post.format,
        "title": _clean(post.title)[:LONGEST] or None,
        **{n: u if u and len(u) <= LONGEST_URL else None for n, u in urls.items()},
    }


def _clean(text: str | None) -> str:
    """Return what every database takes: no NUL, and no half of a character."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode()


def ms_of(instant: datetime | None) -> int | None:
    """Return an instant in milliseconds, if there is one."""
    return None if instant is None else clock.to_ms(instant)


def parts(values: Sequence[Any]) -> list[list[Any]]:
    """Return values in parts that one statement can name."""
    return [list(values[at : at + MANY]) for at in range(0, len(values), MANY)]
