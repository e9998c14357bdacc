"""A SQLite database with one table, made of arrays: rows that need no binding.

Row by row, Python's SQLite takes 1.5 times the processor's time for snapshots and their
rollups; JSON that SQLite takes apart, or several rows in a statement, are no quicker,
and to work out days in SQL takes twice the time.  Where Python's SQLite takes no
database whole, rows are bound one by one (`arrays`); all comes out the same.

It is written as SQLite's file format, which is documented and kept stable, has it, and
SQLite is asked for nothing but to read it: the file that is kept is its own work.  A
table is a tree of pages; here one page, the root, leads to all leaves with the rows.
All numbers take eight bytes, so all rows are of one length and all leaves look alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .calendar import Array


#: The size of a page: the largest that there is.
PAGE: Final = 65_536

#: Rows, at most; the root has place for the leaves of many more.
MOST: Final = 500_000

#: A row's size and header have a byte each, up to so many columns.
MOST_COLUMNS: Final = 13

#: The numbers of rows begin here: four bytes, seven bits in each, spell any of them.
FIRST: Final = 1 << 21
SEVEN: Final = 127
MARKS: Final = 0x80808000

#: What the format calls leaves, inner pages, and numbers of eight bytes.
LEAF: Final = 13
INNER: Final = 5
EIGHT_BYTES: Final = 6

#: Where a file says how many pages it has.
PAGE_COUNT: Final = slice(28, 32)


def image(columns: Mapping[str, Array]) -> memoryview:
    """Return a database whose one table, ``staged``, has these columns."""
    size, width = len(next(iter(columns.values()))), len(columns)
    assert size <= MOST, size  # noqa: S101 - callers see to it
    assert width <= MOST_COLUMNS, width  # noqa: S101 - likewise
    empty = np.frombuffer(_empty(tuple(columns)), np.uint8)
    if not size:
        return empty.data
    form = _leaf(width)
    each = form["rows"].shape[0]
    count = -(-size // each)
    inner = int(count > 1)  # one leaf needs no other page
    found = np.zeros((1 + inner + count) * PAGE, np.uint8)
    found[:PAGE] = empty[:PAGE]
    found[PAGE_COUNT] = np.array([1 + inner + count], ">u4").view(np.uint8)
    numbers = FIRST + np.arange(count * each).reshape(-1, each)
    if inner:
        found[PAGE : 2 * PAGE] = np.frombuffer(_root(numbers[:, -1]), np.uint8)
    leaves = found[(1 + inner) * PAGE :].view(form)
    _fill(leaves, numbers, list(columns.values()))
    return found.data


def _leaf(width: int) -> np.dtype[Any]:
    """Return how a leaf lies on its page: where its rows are, and then the rows."""
    row = np.dtype(
        [
            ("size", "u1"),
            ("number", ">u4"),
            ("head", "u1", width + 1),
            ("values", ">i8", width),
        ]
    )
    each = (PAGE - 8) // (row.itemsize + 2)
    gap = PAGE - 8 - each * (row.itemsize + 2)
    return np.dtype(
        [
            ("kind", "u1"),
            ("free", ">u2"),
            ("count", ">u2"),
            ("begin", ">u2"),
            ("fragments", "u1"),
            ("places", ">u2", each),
            ("gap", "V", gap),
            ("rows", row, each),
        ]
    )


def _fill(leaves: npt.NDArray[Any], numbers: Array, columns: list[Array]) -> None:
    rows, size = leaves["rows"][:, ::-1], len(columns[0])  # the first is at the end
    each, row = rows.shape[1], rows.dtype
    counts = np.full(leaves.size, each)
    counts[-1] = size - (leaves.size - 1) * each
    leaves["kind"], leaves["count"] = LEAF, counts
    leaves["begin"] = PAGE - counts * row.itemsize
    leaves["places"] = PAGE - (np.arange(each) + 1) * row.itemsize
    rows["size"] = row["head"].itemsize + row["values"].itemsize
    rows["number"] = _spelt(numbers)
    rows["head"] = EIGHT_BYTES
    rows["head"][..., 0] = row["head"].itemsize
    for place, column in enumerate(columns):
        padded = np.zeros(numbers.size, np.int64)
        padded[:size] = column
        rows["values"][..., place] = padded.reshape(numbers.shape)


def _root(last: Array) -> bytes:
    """Return the page that leads to the leaves, of which *last* are the last rows."""
    nodes = np.zeros(last.size - 1, [("leaf", ">u4"), ("number", ">u4")])
    nodes["leaf"], nodes["number"] = np.arange(nodes.size) + 3, _spelt(last[:-1])
    begin = PAGE - nodes.nbytes
    head = np.zeros(
        1,
        [
            ("kind", "u1"),
            ("free", ">u2"),
            ("count", ">u2"),
            ("begin", ">u2"),
            ("fragments", "u1"),
            ("last", ">u4"),
            ("places", ">u2", nodes.size),
        ],
    )
    head["kind"], head["count"] = INNER, nodes.size
    head["begin"] = begin % PAGE  # 0 stands for the end of the page
    head["last"] = nodes.size + 3
    head["places"] = begin + np.arange(nodes.size) * nodes.itemsize
    return bytes(head).ljust(begin, b"\0") + bytes(nodes)


def _spelt(numbers: Array) -> Array:
    """Return the four bytes that spell each number: all but the last have a mark."""
    found = numbers & SEVEN | MARKS
    for byte in range(1, 4):
        found |= (numbers >> 7 * byte & SEVEN) << 8 * byte
    return found


@lru_cache(maxsize=32)
def _empty(names: tuple[str, ...]) -> bytes:
    """Return a database with an empty table of these columns: two pages."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute(f"CREATE TABLE staged ({', '.join(names)})")
        return connection.serialize()
    finally:
        connection.close()
