"""The database: a SQLite file of our own by default, PostgreSQL by URL.

SQLAlchemy and Alembic are imported on first use: importing this module loads neither.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from .errors import (
    ConfigurationError,
    MissingExtraError,
    RemoteUnavailableError,
    ResourceError,
    SchemaError,
)
from .settings import CoreSettings, default_state_dir
from .together import Call, CallInterruptedError, Together
from .urls import split_authority


if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table
    from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

Operation = Callable[["Connection"], Any]

#: The revision that this release needs, the newest in ``migrations``.  Numbers of four
#: digits, so that older and newer can be told apart without Alembic.  Within a hundred,
#: a step only adds what older releases need not know: they go on with a schema of it.
SCHEMA: Final = "0007"

VERSION_TABLE: Final = "nexus_alembic_version"

#: How long a connection, or another's SQLite transaction, is waited for, in seconds.
CONNECT_S: Final = 5
BUSY_S: Final = 30

#: The number of the PostgreSQL lock that upgrades take; any that is not used elsewhere.
UPGRADE_LOCK: Final = 0x6E65787573

Fit = Literal["empty", "old", "current", "ahead", "newer"]


#: How a schema stands that this release works with.
FITTING: Final[frozenset[Fit]] = frozenset({"current", "ahead"})


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Database:
    """A pool of connections; *name* is what messages call it, without its password.

    Connections that nobody uses are closed with it, or when the process ends, at the
    latest.
    """

    engine: Engine
    name: str
    _commits: Together[Operation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_commits", Together(self._commit))  # it is frozen
        weakref.finalize(self, self.engine.dispose)

    @classmethod
    def connect(cls, settings: CoreSettings) -> Database:
        """Open the database, with the schema that this release works with.

        A SQLite file is made and upgraded here; any other is only checked.

        Raises:
            ConfigurationError: The URL, or the schema, is not one to work with.
            MissingExtraError: A package is not installed.
            RemoteUnavailableError: The server does not answer.
        """
        database = cls.open(settings)
        try:
            refuse_remote_redis(database, settings)
            if database.path:
                upgrade(database)
            else:
                refuse_other_schema(database, revision(database))
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open(cls, settings: CoreSettings) -> Database:
        """Return the database as it is; connects on first use.

        Raises:
            ConfigurationError: The URL is not one to work with.
            MissingExtraError: A package is not installed.
        """
        try:
            import alembic  # noqa: F401 - said here, where there is nothing half done
            import psycopg  # noqa: F401
            from sqlalchemy import create_engine
        except ImportError as error:
            raise MissingExtraError("the database", "database") from error
        url = _parse(settings)
        if _is_sqlite(url):
            engine = create_engine(url, hide_parameters=True)  # errors reach logs
            _set_up_sqlite(engine)
            name = f"the SQLite file {url.database}"
        else:
            engine = create_engine(
                url,
                # of a server that has no encoding, bytes would come, and no text
                connect_args={"connect_timeout": CONNECT_S, "client_encoding": "utf8"},
                hide_parameters=True,
                isolation_level="READ COMMITTED",
                pool_pre_ping=True,
            )
            host = url.host or url.query.get("host") or "localhost"
            name = f"the database {url.database} at {host}:{url.port or 5432}"
        _forget_connections_at_fork(engine)
        return cls(engine, name)

    @property
    def path(self) -> Path | None:
        """The SQLite file, if it is one."""
        file = self.engine.url.database
        return Path(file) if file and _is_sqlite(self.engine.url) else None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that may write; it commits at the end.

        Raises:
            RemoteUnavailableError: The server does not answer.
            ResourceError: The SQLite file is locked for long, or its disk is full.
        """
        with self._translate_errors(), self.engine.begin() as connection:
            yield connection

    def write(self, operation: Callable[[Connection], T]) -> T:
        """Run *operation* in a transaction, and return what it does once it is written.

        On SQLite, what threads write at the same moment is one commit; *operation* may
        then be run twice, the first time without effect.

        Raises:
            RemoteUnavailableError: The server does not answer.
            ResourceError: The SQLite file is locked for long, or its disk is full.
        """
        if not self.path:
            with self.begin() as connection:
                return operation(connection)
        try:
            result: T = self._commits.run(operation)
        except CallInterruptedError:
            raise ResourceError("the thread that was writing was interrupted") from None
        return result

    def _commit(self, calls: Sequence[Call[Operation]]) -> None:
        """Write what several threads want, as if each had a transaction of its own.

        A commit waits for the disk, and SQLite has one writer at a time.  If it fails,
        each is written by itself: none suffers from another.
        """
        try:
            with self.begin() as connection:
                results = [call.wanted(connection) for call in calls]
        except Exception as error:  # noqa: BLE001 - raised by the thread whose it is
            if len(calls) == 1:
                calls[0].error = error
                return
            for call in calls:
                self._commit([call])
            return
        for call, result in zip(calls, results, strict=True):
            call.end(result)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection to read with, which waits for no writer.

        Raises:
            RemoteUnavailableError: The server does not answer.
        """
        with self._translate_errors(), self.engine.connect() as connection:
            connection.execution_options(nexus_reads=True)
            yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an insert that can say what to do on conflict."""
        from sqlalchemy.dialects import postgresql, sqlite

        return sqlite.insert(table) if self.path else postgresql.insert(table)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self.engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        from sqlalchemy import exc

        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            kind = ResourceError if self.path else RemoteUnavailableError
            raise kind(
                f"{self.name} cannot be used: {self.reason(error)} "
                "(see to it, or set DATABASE_URL to another)"
            ) from error
        except exc.DatabaseError as error:
            if type(error) is not exc.DatabaseError:
                raise  # a statement of ours is wrong
            raise ConfigurationError(
                f"{self.name} cannot be read: {self.reason(error)}; "
                "set DATABASE_URL to another"
            ) from error

    def reason(self, error: Exception) -> str:
        """Return the driver's own words, on one line and without the password."""
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        password = self.engine.url.password
        return text.replace(password, "***") if password else text


def _parse(settings: CoreSettings) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if settings.database_url is None:
        return make_url(f"sqlite:///{default_state_dir() / 'nexus.db'}")
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "DATABASE_URL is no URL, such as postgresql://user:password@host/name or "
            "sqlite:////path/to/file.db"
        ) from None
    # A host may name its own driver (postgresql+asyncpg); the server is the same.
    match url.drivername.partition("+")[0]:
        case "postgres" | "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case "sqlite" if url.database in {None, "", ":memory:"}:
            raise ConfigurationError(
                "DATABASE_URL: SQLite in memory cannot be shared by processes; "
                "name a file: sqlite:////path/to/file.db"
            )
        case "sqlite":
            return url.set(drivername="sqlite")
        case other:
            raise ConfigurationError(
                f"DATABASE_URL: {other}:// is not supported; set NEXUS_DATABASE_URL to "
                "a postgresql:// or sqlite:/// URL"
            )


def _is_sqlite(url: URL) -> bool:
    return url.drivername == "sqlite"


def _set_up_sqlite(engine: Engine) -> None:
    from sqlalchemy import event

    def connected(connection: Any, _: object) -> None:
        # The driver begins nothing by itself: DDL belongs into transactions, too.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_S * 1000}",
            "foreign_keys = ON",
            "journal_mode = WAL",
            "synchronous = FULL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    def begins(connection: Connection) -> None:
        # A transaction that reads first and writes later could not wait for its turn.
        reads = connection.get_execution_options().get("nexus_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begins)


def _forget_connections_at_fork(engine: Engine) -> None:
    """Let a forked child open connections of its own."""
    reference = weakref.ref(engine)

    def forget() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)


def revision(database: Database) -> str | None:
    """Return the revision of the schema, or ``None`` where there is none yet."""
    if database.path and not database.path.exists():
        return None
    with database.read() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
    return found.scalar()


def fit(found: str | None) -> Fit:
    """Tell how the revision *found* stands to the one that this release needs.

    One that is ``ahead`` is a newer release's, and fits this one, too.
    """
    if found is None:
        return "empty"
    if found <= SCHEMA:
        return "current" if found == SCHEMA else "old"
    return "ahead" if found[:2] == SCHEMA[:2] else "newer"


def refuse_other_schema(database: Database, found: str | None) -> None:
    """Refuse a schema that this release does not work with.

    Raises:
        SchemaError: Saying what to do.
    """
    match fit(found):
        case "newer":
            raise SchemaError(
                f"{database.name} has schema {found}, which is newer than this "
                f"release's {SCHEMA}: upgrade nexus-actors"
            )
        case "old" | "empty":
            has = f"the old schema {found}" if found else "no schema yet"
            raise SchemaError(
                f"{database.name} has {has}, and this release needs {SCHEMA}: "
                "run: nexus-actors db upgrade"
            )


def refuse_unfit(settings: CoreSettings) -> None:
    """Refuse, before anything runs, a schema that this release does not work with.

    A SQLite file is made and upgraded when it is needed; a server that is away may be
    back by then.

    Raises:
        ConfigurationError: Saying what to do.
    """
    try:
        database = Database.open(settings)
    except MissingExtraError:  # said by what needs it
        return
    try:
        found = revision(database)
    except (RemoteUnavailableError, ResourceError):
        return
    finally:
        database.close()
    if not database.path or fit(found) == "newer":
        refuse_other_schema(database, found)


def upgrade(database: Database) -> list[str]:
    """Bring the schema to what this release needs; return the steps that were run.

    All steps are one transaction, and of many processes one runs them.

    Raises:
        ConfigurationError: The schema is a newer release's, or may not be changed.
        RemoteUnavailableError: The server does not answer.
    """
    from sqlalchemy import exc

    try:
        if database.path is None:
            return _upgrade(database)
        with _locked_file(database.path):
            return _upgrade(database)
    except exc.DBAPIError as error:
        raise ConfigurationError(
            f"the schema of {database.name} cannot be upgraded: "
            f"{database.reason(error)}"
        ) from error


def _upgrade(database: Database) -> list[str]:
    from sqlalchemy import func, select

    with database.begin() as connection:
        if not database.path:
            connection.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        found = _revision(connection)
        if fit(found) == "newer":
            refuse_other_schema(database, found)
        if fit(found) in FITTING:
            return []
        _run_steps(connection)
        return [f"{n:04}" for n in range(int(found or 0) + 1, int(SCHEMA) + 1)]


def _run_steps(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "nexus_actors.core:migrations")
    command.upgrade(config, SCHEMA)


@contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    """Make the file, for this user alone, and be the one who works on its schema.

    A file that is there is not opened: to close it would end the locks that other
    connections of this process have on it, and another process, which then finds none,
    would take the log of what is being written away.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _check_access(path)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ConfigurationError(
            f"cannot keep the database in {path}: {reason}; "
            "set DATABASE_URL to a file that this user may write, or to a server"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _check_access(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def refuse_remote_redis(database: Database, settings: CoreSettings) -> None:
    """Refuse SQLite where the queue, and so perhaps a worker, is on another host.

    Two hosts with a file each would keep two truths, and post twice.

    Raises:
        ConfigurationError: It is, and it is not forced.
    """
    if settings.sqlite_forced or not database.path:
        return
    host = next((host for host in _redis_hosts(settings) if not _is_here(host)), None)
    if host is None:
        return
    raise ConfigurationError(
        f"Redis is on another host ({host}) and the database is a file on this one: "
        "set DATABASE_URL to a PostgreSQL that all workers reach, or, if only this "
        "host has workers, NEXUS_SQLITE_FORCED=true"
    )


def _redis_hosts(settings: CoreSettings) -> list[str]:
    """Return the hosts that the settings name: several are those of sentinels."""
    if settings.redis_url is None:
        return [settings.redis_host]
    authority, _ = split_authority(settings.redis_url.get_secret_value())
    hosts = authority.rpartition("@")[2]
    return [urlsplit(f"//{part}").hostname or "localhost" for part in hosts.split(",")]


def _is_here(host: str) -> bool:
    """Tell whether *host* is this machine: only its own addresses can be bound."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    for family, kind, _, _, address in found:
        with socket.socket(family, kind) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
            return True
    return False
