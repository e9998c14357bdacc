"""What threads write at the same moment is one commit; none suffers for another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dramatiq.threading import raise_thread_exception
from sqlalchemy import Connection, event, text

from conftest import until
from nexus_actors.core.database import Database
from nexus_actors.core.errors import RejectedError
from nexus_actors.core.ledger import Claim, Ledger, State
from nexus_actors.core.settings import CoreSettings


THREADS = 8


class Interrupted(BaseException):
    """As dramatiq ends a thread."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'nexus.db'}"
    database = Database.connect(CoreSettings.load({"database_url": url}))
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE seen (name TEXT)"))
    yield database
    database.close()


@pytest.fixture
def commits(database: Database) -> list[Connection]:
    made: list[Connection] = []
    event.listen(database.engine, "commit", made.append)
    return made


def note(name: str) -> Callable[[Connection], str]:
    def write(connection: Connection) -> str:
        connection.execute(text("INSERT INTO seen VALUES (:name)"), {"name": name})
        if name.startswith("bad"):
            raise RejectedError(name)
        return name

    return write


def noted(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(text("SELECT name FROM seen")))


class Busy:
    """Somebody else writes: whoever comes has to wait, and gathers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        assert self._database.path
        self._other = sqlite3.connect(self._database.path, isolation_level=None)
        self._other.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        with closing(self._other):
            self._other.execute("COMMIT")


def gathered(database: Database, count: int) -> bool:
    """Whether one thread writes, and all others wait for it."""
    group = database._commits  # noqa: SLF001 - no public name
    return len(group._waiting) == count  # noqa: SLF001 - likewise


def test_what_gathers_is_written_by_one_commit_and_a_failure_is_its_owners_alone(
    database: Database, commits: list[Connection]
) -> None:
    names = [*(f"good-{n}" for n in range(THREADS - 1)), "bad"]
    with ThreadPoolExecutor(THREADS) as pool:
        with Busy(database):
            first = pool.submit(database.write, note("first"))
            until(lambda: group_is_led(database))
            ends: list[Future[Any]] = [
                pool.submit(database.write, note(name)) for name in names[:-1]
            ]
            until(lambda: gathered(database, THREADS - 1))
        assert first.result() == "first"
        assert [each.result() for each in ends] == names[:-1]
        assert len(commits) == 2

        with Busy(database):
            pool.submit(database.write, note("second"))
            until(lambda: group_is_led(database))
            ends = [pool.submit(database.write, note(f"{name}-2")) for name in names]
            until(lambda: gathered(database, THREADS - 1))
        good, bad = ends[:-1], ends[-1]
        assert [each.result() for each in good] == [f"{n}-2" for n in names[:-1]]
        with pytest.raises(RejectedError, match="bad-2"):
            bad.result()

    assert "bad-2" not in noted(database)
    assert noted(database) >= {"first", "second", *names[:-1]}


def group_is_led(database: Database) -> bool:
    group = database._commits  # noqa: SLF001 - no public name
    return group._is_led and not group._waiting  # noqa: SLF001 - likewise


def test_a_thread_that_is_interrupted_holds_up_nobody(database: Database) -> None:
    ended = threading.Event()

    def interrupted() -> None:
        try:
            database.write(note("interrupted"))
        except Interrupted:
            ended.set()

    with ThreadPoolExecutor(THREADS) as pool:
        with Busy(database):
            pool.submit(database.write, note("first"))
            until(lambda: group_is_led(database))
            victim = threading.Thread(target=interrupted)
            victim.start()
            until(lambda: gathered(database, 1))
            assert victim.ident
            raise_thread_exception(victim.ident, Interrupted)
            later = [pool.submit(database.write, note(f"{n}")) for n in range(3)]
            until(lambda: gathered(database, 4))
        assert [each.result(timeout=30) for each in later] == ["0", "1", "2"]
        victim.join()

    assert ended.is_set()
    assert database.write(note("last")) == "last"


def test_a_call_that_begins_with_its_claim_costs_two_commits(
    database: Database, commits: list[Connection]
) -> None:
    ledger = Ledger(database, "tests")

    claim = ledger.claim("key", lease_s=60, calling={"n": 1})
    assert isinstance(claim, Claim)
    with claim:
        assert claim.entry.state is State.CALLING
        claim.settle("done", {"m": 2})

    found = ledger.get("key")
    assert found
    assert (found.state, found.evidence) == (State.SETTLED, {"n": 1, "m": 2})
    assert len(commits) == 2
