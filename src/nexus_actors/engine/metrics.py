"""What an operator sees: the queue's figures from Redis, and the workers' from files.

The figures of the queue are read from Redis when somebody asks: they are true with no
worker alive, and the same from every process.  What only a worker process knows, it
writes to files of a folder that it shares with the others of its group, in the
multiprocess format of prometheus_client; whoever answers for the group adds them up.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis

from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings, default_temp_dir

from .connection import connect


if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


log = get_logger(__name__)

#: Where prometheus_client looks for the folder, once, when it is first imported.
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

#: What is locked by every process of a group, for as long as it lives.
LOCK: Final = ".lock"

#: The files of a process: of a kind, and for gauges of how these add up.
FILE: Final = re.compile(r"(?P<kind>(?:gauge_)?[a-z]+)_(?P<pid>\d+)\.db")

#: The lock of this process's group; never closed, so that the system lets go of it.
_joined: int | None = None


# The folder


def prepare(group: str) -> Path:
    """Make the folder that the worker processes of *group* share, and join them.

    To be called before prometheus_client is imported.  Nothing of an earlier life of
    the group is left in it; folders of groups that have died are deleted.  A folder
    that ``PROMETHEUS_MULTIPROC_DIR`` names is used as it is.

    Args:
        group: What one answer to ``/metrics`` is for: its port.
    """
    global _joined  # noqa: PLW0603 - a process is of one group, and for ever
    given = os.environ.get(VARIABLE)
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    base = default_temp_dir() / "metrics"
    folder = base / f"{socket.gethostname()}-{group}"
    _joined = _join(folder)
    os.environ[VARIABLE] = str(folder)
    for other in base.iterdir():
        if other != folder:
            _delete_if_dead(other)
    return folder


def _join(folder: Path) -> int:
    """Return a lock that is shared with those who live; who finds none clears up."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in folder.glob("*.db"):
                file.unlink()
        fcntl.flock(lock, fcntl.LOCK_SH)
        if _is_there(folder / LOCK, lock):
            return lock
        os.close(lock)  # another process has deleted the folder in the meantime


def _is_there(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _delete_if_dead(folder: Path) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:  # another process was faster
        return
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # one that nobody has waited for is dead, too
        state = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] not in {"Z", "X"}


# What is told


class Exporter:
    """Answers who asks for the metrics.

    Args:
        settings: Where Redis is.
        folder: What `prepare` has returned, if the figures of the worker processes are
            wanted, too.
    """

    def __init__(self, settings: CoreSettings, folder: Path | None = None) -> None:
        from prometheus_client import CollectorRegistry

        self.registry: CollectorRegistry = CollectorRegistry()
        self.registry.register(_OfQueues(settings))
        if folder is not None:
            self.registry.register(_OfWorkers(folder))

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the answer and its content type; never raises for Redis.

        Args:
            accept: The request's header: OpenMetrics is given to who asks for it.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type


class _OfQueues:
    """Reads Redis."""

    def __init__(self, settings: CoreSettings) -> None:
        self._client = connect(settings)

    def describe(self) -> Iterable[Metric]:
        """Name nothing: what is read depends on what there is."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield what Redis knows, and whether it answers."""
        from prometheus_client.core import GaugeMetricFamily

        try:
            up = bool(self._client.ping())
        except redis.RedisError as error:
            log.warning("broker.unreachable", part="metrics", error=str(error))
            up = False
        yield GaugeMetricFamily(
            "nexus_broker_up", "Whether Redis answers: 0 or 1", value=int(up)
        )


class _OfWorkers:
    """Adds up the files of the worker processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Name nothing: what is read depends on what there is."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the sums; of what was true of a dead process, nothing."""
        from prometheus_client.multiprocess import MultiProcessCollector

        with self._busy:
            self._reap()
            files = [
                str(file)
                for file in self._folder.glob("*.db")
                if file.stat().st_size  # else it is being made
            ]
            yield from MultiProcessCollector.merge(files)

    def _reap(self) -> None:
        for file in self._folder.glob("gauge_live*.db"):
            found = FILE.fullmatch(file.name)
            if found and not _lives(int(found["pid"])):
                file.unlink(missing_ok=True)
