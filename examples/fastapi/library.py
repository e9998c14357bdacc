"""What the platform itself knows, in a SQLite file; and where its users are reached."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any


TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, title TEXT NOT NULL, job TEXT,
    state TEXT NOT NULL DEFAULT 'processing', url TEXT, post_url TEXT
);
CREATE TABLE IF NOT EXISTS accounts (
    user TEXT, platform TEXT, account TEXT NOT NULL, PRIMARY KEY (user, platform)
);
CREATE TABLE IF NOT EXISTS logins (
    state TEXT PRIMARY KEY, user TEXT NOT NULL, platform TEXT NOT NULL,
    begun TEXT NOT NULL
);
"""

USERS = {"ann": {"to": "ann@example.com", "name": "Ann"}}


@contextmanager
def library() -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction."""
    with closing(sqlite3.connect("tube.db")) as rows:
        rows.row_factory = sqlite3.Row
        rows.executescript(TABLES)
        with rows:
            yield rows


def reach(user_id: str) -> dict[str, Any] | None:
    """Return where a user gets mail: workers ask, by NEXUS_RESOLVE_RECIPIENT."""
    address = USERS.get(user_id)
    return address and {"email": address}
