"""Both kinds of database: a SQLite file, and a private PostgreSQL on a unix socket."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.settings import CoreSettings


#: Where the packages of Debian and Homebrew have the programs.
PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A running server; its role `nexus` may do everything."""

    folder: Path

    def url(self, name: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://nexus:pa55word@/{name}?host={self.folder}"

    def create(self, encoding: str = "UTF8") -> str:
        """Make an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        how = f"TEMPLATE template0 ENCODING '{encoding}'"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" {how}')
        return self.url(name)

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """Refuse all connections to a database, and end those there are."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            allow = f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS'
            connection.execute(f"{allow} false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s",
                [name],
            )
            yield
            connection.execute(f"{allow} true")

    def files(self) -> Iterator[Path]:
        """Everything that the server has written, once it has written it."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        yield from (p for p in self.folder.rglob("*") if p.is_file())


def find(program: str) -> str | None:
    found = [p for place in PLACES for p in Path("/").glob(f"{place[1:]}/{program}")]
    return shutil.which(program) or (str(max(found)) if found else None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    initdb, server = find("initdb"), find("postgres")
    if not initdb or not server:
        if os.environ.get("CI") == "true":
            pytest.fail("no PostgreSQL on this machine")
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    # A socket's path must be short, and the server refuses to be root.
    with tempfile.TemporaryDirectory(
        prefix="nexus-pg-", ignore_cleanup_errors=True
    ) as f:
        folder, user = Path(f), None
        if os.getuid() == 0:
            user = "nobody"
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        options = ["--auth=trust", "--username=nexus", "--no-sync", "--locale=C"]
        subprocess.run(
            [initdb, *options, "--encoding=UTF8", "--pgdata", str(folder / "data")],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "fsync": "off",  # only a crash of the machine would show the difference
            "max_connections": "300",
            "shared_buffers": "16MB",
            "timezone": "Pacific/Auckland",  # ours must not depend on the server's
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [server, "-D", str(folder / "data"), *flags],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            found = PostgreSQL(folder)
            wait_for(found, process)
            yield found
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def wait_for(server: PostgreSQL, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError:
            log = (server.folder / "log").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)
        else:
            return


#: The kinds, for the parameters of a fixture.
KINDS = ("sqlite", "postgresql")

OpenDatabase = Callable[[str], Database]


@pytest.fixture
def open_database() -> Iterator[OpenDatabase]:
    """Open a database as it is; it is closed when the test ends."""
    opened: list[Database] = []

    def open_url(url: str) -> Database:
        opened.append(Database.open(CoreSettings.load({"database_url": url})))
        return opened[-1]

    yield open_url
    for database in opened:
        database.close()


def make_url(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return f"sqlite:///{folder / 'nexus.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    return make_url(request.param, request)


@pytest.fixture
def database(database_url: str, open_database: OpenDatabase) -> Database:
    """A database of each kind, with our schema."""
    opened = open_database(database_url)
    upgrade(opened)
    return opened


def make_key() -> str:
    """Return a new key for `Keyring`."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)
