"""The schema, on a SQLite file and on a PostgreSQL."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from databases import OpenDatabase, PostgreSQL, url_of
from nexus_actors.cli import main
from nexus_actors.core import tables
from nexus_actors.core.database import SCHEMA, VERSION_TABLE, Database, upgrade
from nexus_actors.core.errors import (
    ConfigurationError,
    RemoteUnavailableError,
    ResourceError,
)
from nexus_actors.core.settings import CoreSettings
from scale import scaled
from swarms import RunSwarm, Witness


#: Every step of the schema, the oldest first.
STEPS = [f"{number:04}" for number in range(1, int(SCHEMA) + 1)]

Said = tuple[int, dict[str, Any], list[str]]
Command = Callable[..., Said]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `nexus-actors db`; return its exit code, its answer and its errors."""

    def run(word: str, **environ: str) -> Said:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["nexus-actors", "db", word])
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, json.loads(out or "{}"), err.splitlines()

    return run


def set_revision(database: Database, found: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num='{found}'"))


def make_old(database: Database) -> None:
    with database.begin() as connection:
        for name in set(tables.metadata.tables) - {"nexus_ledger"}:
            connection.execute(sa.text(f"DROP TABLE {name}"))
    set_revision(database, "0001")


def connect(url: str) -> Database:
    return Database.connect(CoreSettings.load({"database_url": url}))


def test_the_steps_lead_to_the_tables_that_the_code_uses(database: Database) -> None:
    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return kind != "table" or bool(name and name != VERSION_TABLE)

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        found = compare_metadata(context, tables.metadata)

    assert [d for d in found if d[0] != "remove_table"] == []
    assert all(name.startswith("nexus_") for name in tables.metadata.tables)


def test_the_command_upgrades_and_tells_how_the_schema_stands(
    database_url: str, command: Command
) -> None:
    def tell(word: str) -> tuple[int, Any]:
        code, said, _ = command(word, DATABASE_URL=database_url)
        return code, said["state" if word == "status" else "applied"]

    assert tell("status") == (1, "empty")
    assert tell("upgrade") == (0, STEPS)
    assert tell("upgrade") == (0, [])
    assert tell("status") == (0, "current")


def test_asking_how_a_sqlite_file_stands_does_not_make_it(
    tmp_path: Path, command: Command
) -> None:
    assert command("status", DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}")[0] == 1

    assert not list(tmp_path.iterdir())


def test_a_newer_schema_is_refused_in_one_line_and_left_alone(
    database: Database, command: Command
) -> None:
    set_revision(database, "9999")

    with pytest.raises(ConfigurationError, match="upgrade nexus-actors"):
        connect(url_of(database))
    upgraded = command("upgrade", DATABASE_URL=url_of(database))
    asked = command("status", DATABASE_URL=url_of(database))

    assert (upgraded[0], len(upgraded[2])) == (2, 1)
    assert asked[0] == 1
    assert asked[1] == {
        "database": database.name,
        "schema": "9999",
        "needed": SCHEMA,
        "state": "newer",
    }


def test_a_schema_that_is_ahead_is_worked_with_and_left_alone(
    database: Database, command: Command
) -> None:
    ahead = f"{SCHEMA[:2]}99"
    set_revision(database, ahead)

    connect(url_of(database)).close()
    code, told, _ = command("upgrade", DATABASE_URL=url_of(database))
    assert (code, told["applied"]) == (0, [])
    code, told, _ = command("status", DATABASE_URL=url_of(database))

    assert (code, told["schema"], told["state"]) == (0, ahead, "ahead")


def test_a_server_with_an_old_schema_is_refused_until_it_is_upgraded(
    postgresql: PostgreSQL, open_database: OpenDatabase
) -> None:
    database = open_database(postgresql.create())
    with pytest.raises(ConfigurationError, match="nexus-actors db upgrade"):
        connect(url_of(database))
    upgrade(database)
    make_old(database)
    with pytest.raises(ConfigurationError, match="old schema 0001"):
        connect(url_of(database))

    assert upgrade(database) == STEPS[1:]

    connect(url_of(database)).close()


def test_a_sqlite_file_is_made_and_upgraded_by_itself(
    tmp_path: Path, open_database: OpenDatabase
) -> None:
    file = tmp_path / "new" / "nexus.db"
    connect(f"sqlite:///{file}").close()
    database = open_database(f"sqlite:///{file}")
    make_old(database)

    connect(f"sqlite:///{file}").close()

    with database.read() as connection:
        assert sa.inspect(connection).has_table("nexus_accounts")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_who_comes_while_another_upgrades_a_file_waits(
    tmp_path: Path, open_database: OpenDatabase
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'nexus.db'}")
    applied: list[str] = []
    other = threading.Thread(target=lambda: applied.extend(upgrade(database)))

    with (tmp_path / "nexus.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive()
        assert not applied
    other.join(timeout=30)

    assert applied == STEPS


def test_a_failed_upgrade_leaves_nothing_behind(
    database_url: str, open_database: OpenDatabase
) -> None:
    database = open_database(database_url)
    if database.path:
        database.path.touch()
    with database.begin() as connection:  # in the way of the second step
        connection.execute(sa.text("CREATE TABLE nexus_accounts (id INTEGER)"))

    with pytest.raises((ConfigurationError, ResourceError), match="nexus_accounts"):
        upgrade(database)

    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["nexus_accounts"]


def test_a_sqlite_file_is_durable_and_read_while_another_writes(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path / 'nexus.db'}")

    def ask(pragma: str) -> Any:
        with database.read() as connection:
            return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()

    assert ask("journal_mode") == "wal"
    assert ask("synchronous") == 2  # FULL
    assert ask("foreign_keys") == 1
    assert ask("busy_timeout") >= 5_000
    with database.begin():
        assert ask("user_version") == 0
    database.close()


def test_a_second_pool_of_a_process_leaves_the_locks_of_the_first_alone(
    tmp_path: Path,
) -> None:
    """Else another process takes itself for the last, and the log of writes away."""
    path = tmp_path / "nexus.db"
    settings = CoreSettings.load({"database_url": f"sqlite:///{path}"})
    first = Database.connect(settings)
    with first.read() as connection:
        connection.execute(sa.select(sa.func.count()).select_from(tables.ledger))
    Database.connect(settings)

    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    look += "c.execute('SELECT * FROM nexus_ledger').fetchall(); c.close()"
    subprocess.run([sys.executable, "-c", look, str(path)], check=True)

    assert path.with_name("nexus.db-wal").exists()
    assert path.with_name("nexus.db-shm").exists()


def test_the_scheme_that_hosting_services_use_works(
    postgresql: PostgreSQL, open_database: OpenDatabase
) -> None:
    url = postgresql.create().replace("postgresql://", "postgres://")

    upgrade(open_database(url))

    connect(url).close()


def test_a_database_that_was_made_without_an_encoding_keeps_text_as_text(
    postgresql: PostgreSQL, open_database: OpenDatabase
) -> None:
    url = postgresql.create(encoding="SQL_ASCII")  # as where no locale is installed
    database = open_database(url)

    upgrade(database)
    with database.begin() as connection:
        kept = connection.scalar(sa.text("SELECT :word").bindparams(word="Zoë ☃"))

    assert kept == "Zoë ☃"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.1:1/app",
        "postgresql://me:s3cret@no-such-host.invalid/app",
        "postgresql://me:s3cret@/app?host=/nonexistent",
    ],
)
def test_a_server_that_does_not_answer_is_one_line_without_the_password(
    url: str, command: Command
) -> None:
    with pytest.raises(RemoteUnavailableError) as caught:
        connect(url)
    code, said, lines = command("upgrade", DATABASE_URL=url)

    assert "DATABASE_URL" in caught.value.message
    assert "s3cret" not in caught.value.message
    assert (code, said, len(lines)) == (1, {}, 1)
    assert "s3cret" not in lines[0]


def test_a_database_that_is_not_there_is_one_line(
    postgresql: PostgreSQL, command: Command
) -> None:
    code, _, lines = command("status", DATABASE_URL=postgresql.url("absent"))

    assert (code, len(lines)) == (1, 1)
    assert "absent" in lines[0]
    assert "pa55word" not in lines[0]


def test_a_role_that_may_not_make_tables_is_one_line(
    postgresql: PostgreSQL, open_database: OpenDatabase, command: Command
) -> None:
    url = postgresql.create()
    with open_database(url).begin() as connection:
        role = f"guest_{os.getpid()}"
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))

    code, _, lines = command("upgrade", DATABASE_URL=url.replace("nexus:", f"{role}:"))

    assert (code, len(lines)) == (2, 1)
    assert "permission denied" in lines[0]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda file: file.write_bytes(b"this is a video" * 100), "cannot be read"),
        (lambda file: file.mkdir(), "is a directory"),
        (lambda file: file.parent.joinpath("file").touch(), "file exists"),
    ],
)
def test_a_file_that_cannot_be_a_database_is_one_line(
    tmp_path: Path, command: Command, make: Callable[[Path], Any], told: str
) -> None:
    make(tmp_path / "nexus.db")
    inside = "file/nexus.db" if told == "file exists" else "nexus.db"

    code, _, lines = command("upgrade", DATABASE_URL=f"sqlite:///{tmp_path / inside}")

    assert (code, len(lines)) == (2, 1), lines
    assert told in lines[0]


def test_a_host_that_uses_our_variables_for_itself_is_not_disturbed(
    tmp_path: Path,
    postgresql: PostgreSQL,
    open_database: OpenDatabase,
    command: Command,
) -> None:
    hosts = postgresql.create()
    ours = f"sqlite:///{tmp_path / 'ours.db'}"

    code, _, lines = command(
        "upgrade",
        DATABASE_URL=hosts,
        NEXUS_DATABASE_URL=ours,
        LOG_LEVEL="verbose",
        NEXUS_LOG_LEVEL="INFO",
        MAX_RETRIES="many",
        NEXUS_MAX_RETRIES="1",
    )

    assert (code, lines) == (0, [])
    assert (tmp_path / "ours.db").exists()
    with open_database(hosts).read() as connection:
        assert sa.inspect(connection).get_table_names() == []


FORK = """
import os, sys
from sqlalchemy import text
from nexus_actors.core.database import Database
from nexus_actors.core.settings import CoreSettings

database = Database.connect(CoreSettings.load())

def ask():
    with database.read() as connection:
        return connection.scalar(text("SELECT pg_backend_pid()"))

mine = ask()
assert ask() == mine
if os.fork() == 0:
    os._exit(ask() == mine)
status = os.waitstatus_to_exitcode(os.wait()[1])
assert ask() == mine
sys.exit(status)
"""


def test_connections_are_closed_with_a_database_that_nobody_uses_any_more(
    tmp_path: Path,
) -> None:
    database = connect(f"sqlite:///{tmp_path / 'nexus.db'}")
    closed: list[object] = []
    sa.event.listen(database.engine, "close", lambda *told: closed.append(told))
    with database.read():
        pass
    assert not closed

    del database
    gc.collect()

    assert len(closed) == 1


def test_a_forked_child_does_not_use_its_parents_connections(
    postgresql: PostgreSQL, open_database: OpenDatabase
) -> None:
    url = postgresql.create()
    upgrade(open_database(url))

    done = subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", "-c", FORK],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [0, scaled(12, full=200)])
def test_of_many_that_start_at_once_one_upgrades_and_the_others_wait(
    run_swarm: RunSwarm,
    database_url: str,
    open_database: OpenDatabase,
    tmp_path: Path,
    kills: int,
) -> None:
    witness = Witness(str(tmp_path / "witness"))
    many = scaled(12, full=200)

    ended, said = run_swarm(
        *("upgrades", database_url, witness.path),
        processes=many,
        kills=kills,
        pause_s=0.02,
    )

    assert set(ended) <= {0, -9}, said
    assert ended[0] >= many
    applied = [told["steps"] for told in witness.told()]
    # Who is killed after the commit cannot tell.
    assert applied == [STEPS] or (kills and not applied)
    database = open_database(database_url)
    assert upgrade(database) == []
    if database.path:
        with database.read() as connection:
            check = connection.exec_driver_sql("PRAGMA integrity_check")
            assert check.scalar() == "ok"
