"""Which database is meant, and what is refused, before anything is connected to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from nexus_actors.core import database
from nexus_actors.core.database import SCHEMA, Database, refuse_other_schema
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.settings import CoreSettings


STEPS = Path(database.__file__).parent / "migrations" / "versions"


def opened(url: str | None = None, **more: str) -> Database:
    return Database.open(CoreSettings.load({"database_url": url, **more}))


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"]
)
def test_a_postgresql_url_is_understood_whatever_driver_its_owner_uses(
    scheme: str,
) -> None:
    found = opened(f"{scheme}://me:secret@db.example:6432/app")

    assert found.engine.url.drivername == "postgresql+psycopg"
    assert found.path is None
    assert found.name == "the database app at db.example:6432"


def test_a_sqlite_url_names_a_file() -> None:
    assert opened("sqlite:////var/lib/nexus.db").path == Path("/var/lib/nexus.db")


def test_by_default_the_database_is_a_file_in_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert opened().path == tmp_path / "nexus-actors" / "nexus.db"
    assert not (tmp_path / "nexus-actors").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:s3cret@host/app", "mysql:// is not supported"),
        ("just words s3cret", "is no URL"),
        ("postgresql://me:s3cret@host:port/app", "is no URL"),
        ("sqlite://", "cannot be shared"),
        ("sqlite:///:memory:", "cannot be shared"),
    ],
)
def test_any_other_url_is_refused_in_one_line_without_its_password(
    url: str, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        opened(url)

    assert "s3cret" not in caught.value.message
    assert "\n" not in caught.value.message
    assert "DATABASE_URL" in caught.value.message


def test_the_newest_step_is_the_schema_that_this_release_names() -> None:
    steps = sorted(path.name[1:5] for path in STEPS.glob("v*.py"))

    assert steps == [f"{n:04}" for n in range(1, len(steps) + 1)]
    assert steps[-1] == database.SCHEMA


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "has no schema yet, and this release needs .*run: nexus-actors db upgr"),
        ("0001", "has the old schema 0001, .*run: nexus-actors db upgrade"),
        ("9999", "has schema 9999, which is newer .*: upgrade nexus-actors"),
        ("0100", "has schema 0100, which is newer .*: upgrade nexus-actors"),
    ],
)
def test_another_schema_is_refused_in_one_line_that_says_what_to_do(
    found: str | None, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        refuse_other_schema(opened("postgresql://host/app"), found)

    assert "\n" not in caught.value.message


def test_a_schema_that_is_ahead_by_what_we_need_not_know_is_worked_with() -> None:
    ahead = f"{SCHEMA[:2]}99"

    refuse_other_schema(opened("postgresql://host/app"), ahead)

    assert database.fit(ahead) == "ahead"


@pytest.mark.parametrize(
    "step", sorted(STEPS.glob("v*.py")), ids=lambda step: step.stem
)
def test_a_step_leaves_what_the_last_release_reads_and_writes_as_it_is(
    step: Path,
) -> None:
    text = StringIO()
    options = {"as_sql": True, "output_buffer": text}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    module = import_module(f"{database.__package__}.migrations.versions.{step.stem}")

    with Operations.context(context):
        module.upgrade()

    done = [
        " ".join(each.split()) for each in text.getvalue().split(";") if each.strip()
    ]
    made = re.findall(r"CREATE TABLE (\w+)", " ".join(done))
    if step.stem[1:3] == SCHEMA[:2]:
        assert [each for each in done if not only_adds(each, made)] == []


def only_adds(statement: str, made: list[str]) -> bool:
    """Tell whether who knows nothing of a statement can go on as before.

    Args:
        statement: What a step does.
        made: The tables that it makes.
    """
    if "ADD COLUMN" in statement:
        return "NOT NULL" not in statement or "DEFAULT" in statement
    found = re.match(r"CREATE (UNIQUE )?(TABLE|INDEX \w+ ON) (\w+)", statement)
    return found is not None and (not found[1] or found[3] in made)


def test_what_changes_an_old_table_is_told_from_what_only_adds() -> None:
    assert only_adds("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT '0' NOT NULL", [])
    assert not only_adds("ALTER TABLE t ADD COLUMN c INTEGER NOT NULL", [])
    assert not only_adds("ALTER TABLE t DROP COLUMN c", [])
    assert not only_adds("CREATE UNIQUE INDEX i ON t (c)", ["u"])


@pytest.mark.parametrize(
    ("redis", "refused"),
    [
        ("redis://localhost:6379", False),
        ("redis://127.0.0.2", False),
        ("unix:///run/redis.sock", False),
        ("redis://192.0.2.1:6379", True),
        ("rediss://no-such-host.invalid", True),
        ("redis+sentinel://:word@localhost,127.0.0.2:1/mymaster", False),
        ("redis+sentinel://:word@localhost:1,192.0.2.1:1/mymaster", True),
    ],
)
def test_a_sqlite_file_is_refused_where_redis_is_on_another_host(
    redis: str, *, refused: bool
) -> None:
    def check(**more: str) -> bool:
        settings = CoreSettings.load({"redis_url": redis, **more})
        try:
            database.refuse_remote_redis(Database.open(settings), settings)
        except ConfigurationError as error:
            return "NEXUS_SQLITE_FORCED" in error.message
        return False

    assert check() == refused
    assert not check(sqlite_forced="true")
    assert not check(database_url="postgresql://elsewhere/app")


def test_the_variables_that_are_ours_win_over_those_that_a_host_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("DATABASE_URL", "mysql://the/hosts/own"),
        ("LOG_LEVEL", "verbose"),
        ("MAX_RETRIES", "many"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEXUS_DATABASE_URL", "sqlite:////ours.db")
    monkeypatch.setenv("NEXUS_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("NEXUS_MAX_RETRIES", "7")

    settings = CoreSettings.load()

    assert Database.open(settings).path == Path("/ours.db")
    assert (settings.log_level, settings.max_retries) == ("ERROR", 7)


def test_importing_what_stands_on_the_database_loads_no_package_of_it() -> None:
    heavy = {"sqlalchemy", "alembic", "psycopg", "cryptography"}
    code = (
        "import json, sys, nexus_actors, nexus_actors.video, nexus_actors.cli\n"
        "from nexus_actors.core import credentials, database, keyring, ledger\n"
        "print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    )

    done = run(code)

    assert not heavy & set(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["sqlalchemy", "alembic", "psycopg"])
def test_a_missing_package_is_told_with_the_command_that_installs_it(
    package: str,
) -> None:
    done = run(
        f"import sys; sys.modules[{package!r}] = None\n"
        "from nexus_actors.cli import main\n"
        "sys.argv = ['nexus-actors', 'db', 'status']\n"
        "main()"
    )

    assert done.returncode == 2
    assert 'pip install "nexus-actors[database]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1
