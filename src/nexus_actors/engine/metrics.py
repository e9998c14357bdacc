"""What an operator sees: the queue's figures from Redis, and the workers' from files.

The figures of the queue are read from Redis when somebody asks: they are true with no
worker alive, and the same from every process.  What only a worker process knows, it
writes to files of a folder that it shares with the others of its group, in the
multiprocess format of prometheus_client; whoever answers for the group adds them up.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis

from nexus_actors.core import clock
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings, default_temp_dir

from . import instruments
from .connection import connect
from .instruments import OPEN, Instrument
from .scripts import Scripts


if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


log = get_logger(__name__)

#: Where prometheus_client looks for the folder, once, when it is first imported.
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

#: What is locked by every process of a group, for as long as it lives.
LOCK: Final = ".lock"

#: The files of a process: of a kind, and for gauges of how these add up.
FILE: Final = re.compile(r"(?P<kind>(?:gauge_)?[a-z]+)_(?P<pid>\d+)\.db")

#: Files of dead processes become one of each kind, which keeps what these functions
#: say of two values; gauges of other kinds are true of nobody any more.
KEPT: Final = {
    "counter": float.__add__,
    "histogram": float.__add__,
    "gauge_max": max,
    "gauge_min": min,
    "gauge_sum": float.__add__,
    "summary": float.__add__,
}

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

    Raises:
        ConfigurationError: Another user has made the folder that this user's are in.
        OSError: It cannot be made.
    """
    global _joined  # noqa: PLW0603 - a process is of one group, and for ever
    given = os.environ.get(VARIABLE)
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    base = default_temp_dir() / "metrics"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.parent.lstat().st_uid != os.getuid():  # its owner could lead us anywhere
        raise ConfigurationError(
            f"{base.parent} belongs to another user: set TMPDIR to a folder of your own"
        )
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


# What Redis knows

OUTCOMES: Final = (
    *("success", "failure", "skipped", "cancelled", "timeout", "shutdown"),
    "postponed",
)
RETRY_REASONS: Final = ("rate_limit", "network", "provider_5xx", "validation", "other")
DEATH_REASONS: Final = ("retries_exhausted", "rejected", "expired", "poison")


def _gauge(name: str, meaning: str, **labels: Any) -> Instrument:
    return instruments.gauge(name, meaning, source="redis", **labels)


def _counter(name: str, meaning: str, **labels: Any) -> Instrument:
    return instruments.counter(name, meaning, source="redis", **labels)


MESSAGES: Final = _gauge(
    "nexus_queue_messages",
    "Messages by where they are; the states add up to all that there are",
    queue=OPEN,
    state=("ready", "in_flight", "delayed", "dead"),
)
OLDEST_MESSAGE: Final = _gauge(
    "nexus_queue_oldest_message_age_seconds",
    "How long the first message in line could have run already; 0 if none waits",
    queue=OPEN,
)
NEXT_DUE: Final = _gauge(
    "nexus_queue_next_delayed_due_seconds",
    "When the next message in the schedule is due, from now on; negative if it is late",
    queue=OPEN,
)
OLDEST_LETTER: Final = _gauge(
    "nexus_dead_letter_oldest_age_seconds",
    "How long the oldest dead letter has been one",
    queue=OPEN,
)
PAUSED: Final = _gauge(
    "nexus_queue_paused",
    "1 if nothing more is taken from the queue, else 0",
    queue=OPEN,
)
WORKERS: Final = _gauge(
    "nexus_workers", "Worker processes that live and take from the queue", queue=OPEN
)
THREADS: Final = _gauge(
    "nexus_worker_threads",
    "Threads of these: busy with a message of the queue, or free for one",
    queue=OPEN,
    state=("busy", "idle"),
)
HEARTBEAT: Final = _gauge(
    "nexus_worker_oldest_heartbeat_age_seconds",
    "How old the oldest sign of life is, of all workers that have not stopped properly",
)
UP: Final = _gauge("nexus_broker_up", "1 if Redis has answered just now, else 0")
MEMORY_USED: Final = _gauge("nexus_broker_memory_used_bytes", "Memory that Redis uses")
MEMORY_LIMIT: Final = _gauge(
    "nexus_broker_memory_limit_bytes",
    "Its maxmemory; where it has none, the memory of its machine",
)
EVICTED: Final = _counter(
    "nexus_broker_evicted_keys_total",
    "Keys that Redis has thrown away for want of memory: each may have been a message",
)
ENQUEUED: Final = _counter(
    "nexus_messages_enqueued_total",
    "Messages that were stored, dead letters that were let run again among them",
    queue=OPEN,
    actor=OPEN,
)
PROCESSED: Final = _counter(
    "nexus_messages_processed_total",
    "Runs that have ended, and messages that were cancelled before they ran",
    queue=OPEN,
    actor=OPEN,
    outcome=OUTCOMES,
)
RETRIED: Final = _counter(
    "nexus_messages_retried_total",
    "Runs that failed and are to be repeated",
    queue=OPEN,
    actor=OPEN,
    reason=RETRY_REASONS,
)
DEAD: Final = _counter(
    "nexus_messages_dead_lettered_total",
    "Messages that have become dead letters",
    queue=OPEN,
    actor=OPEN,
    reason=DEATH_REASONS,
)
SCRAPE_TIME: Final = instruments.gauge(
    "nexus_exporter_scrape_duration_seconds",
    "How long Redis was asked for this answer",
    source="answer",
)
SCRAPE_ERRORS: Final = instruments.counter(
    "nexus_exporter_scrape_errors_total",
    "Answers of this process without what Redis knows",
    source="answer",
)
BUILD: Final = instruments.gauge(
    "nexus_build_info",
    "1; what runs here, and the Redis that was last heard of",
    source="answer",
    version=OPEN,
    python_version=OPEN,
    dramatiq_version=OPEN,
    redis_version=OPEN,
)

#: How the script that counts calls the counters.
COUNTERS: Final = {
    "enqueued": ENQUEUED,
    "processed": PROCESSED,
    "retried": RETRIED,
    "dead": DEAD,
}

#: What is told of an actor before it has happened: a rise from nothing is seen by
#: Prometheus only where there was a 0.
FROM_ZERO: Final = (
    *(f"processed:{outcome}" for outcome in ("success", "failure", "timeout")),
    *(f"dead:{reason}" for reason in DEATH_REASONS),
)


class _Answer:
    """Values under the names of their metrics, as prometheus_client wants them."""

    def __init__(self) -> None:
        self._families: dict[str, Any] = {}

    def add(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Add one series; *labels* are in the order of its metric's."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        family = self._families.get(instrument.name)
        if family is None:
            counts = isinstance(instrument, instruments.Counter)
            kind = CounterMetricFamily if counts else GaugeMetricFamily
            family = self._families[instrument.name] = kind(
                instrument.name, instrument.meaning, labels=tuple(instrument.labels)
            )
        family.add_metric(labels, value)

    def families(self) -> Iterable[Metric]:
        """Return all metrics that have a value."""
        return self._families.values()


class _OfRedis:
    """Asks Redis, and tells how that went."""

    def __init__(self, settings: CoreSettings) -> None:
        self._client = connect(settings)
        self._run = Scripts(self._client, settings.redis_namespace)
        self._errors = 0
        self._redis_version = "unknown"

    def describe(self) -> Iterable[Metric]:
        """Name nothing: what is read depends on what there is."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield what Redis knows, and whether it answers."""
        since, answer, is_up = time.perf_counter(), _Answer(), True
        try:
            now = clock.now_ms()
            info: Any = self._client.info()
            measured = json.loads(self._run("measure", now))
        except redis.RedisError as error:
            log.warning("broker.unreachable", part="metrics", error=str(error))
            self._errors, is_up = self._errors + 1, False
        else:
            self._redis_version = str(info.get("redis_version", "unknown"))
            _add_server(answer, info)
            _add_queues(answer, measured["queues"], now)
            _add_counts(answer, measured["counts"])
            answer.add(HEARTBEAT, measured.get("oldest", 0) / 1000)
        answer.add(UP, is_up)
        answer.add(SCRAPE_TIME, time.perf_counter() - since)
        answer.add(SCRAPE_ERRORS, self._errors)
        answer.add(BUILD, 1, *_versions(), self._redis_version)
        yield from answer.families()


def _versions() -> tuple[str, str, str]:
    return version("nexus-actors"), platform.python_version(), version("dramatiq")


def _add_server(answer: _Answer, info: Mapping[str, Any]) -> None:
    answer.add(MEMORY_USED, info["used_memory"])
    limit = info.get("maxmemory") or info.get("total_system_memory")
    if limit:
        answer.add(MEMORY_LIMIT, limit)
    answer.add(EVICTED, info.get("evicted_keys", 0))


def _add_queues(answer: _Answer, queues: Mapping[str, Any], now: int) -> None:
    for queue, told in sorted(queues.items()):
        for state in ("ready", "in_flight", "delayed", "dead"):
            answer.add(MESSAGES, told[state], queue, state)
        for state in ("busy", "idle"):
            answer.add(THREADS, told[state], queue, state)
        answer.add(PAUSED, told["paused"], queue)
        answer.add(WORKERS, told["workers"], queue)
        for metric, key in ((OLDEST_MESSAGE, "since"), (OLDEST_LETTER, "died")):
            age_ms = now - told.get(key, now)
            answer.add(metric, max(0, age_ms) / 1000, queue)
        if "due" in told:
            answer.add(NEXT_DUE, (told["due"] - now) / 1000, queue)


def _add_counts(answer: _Answer, counts: Mapping[str, Any]) -> None:
    for queue, flat in sorted(counts.items()):
        told = dict(zip(flat[::2], map(int, flat[1::2]), strict=True))
        for actor in {what.split(":", 2)[2] for what in told}:
            for first in FROM_ZERO:
                told.setdefault(f"{first}:{actor}", 0)
        for what, count in sorted(told.items()):
            kind, how, actor = what.split(":", 2)
            labels = (queue, actor, how) if how else (queue, actor)
            answer.add(COUNTERS[kind], count, *labels)


# What the workers know


class _OfWorkers:
    """Adds up the files of the worker processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Name nothing: what is read depends on what there is."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the sums; of gauges of dead processes, nothing."""
        from prometheus_client.multiprocess import MultiProcessCollector

        with self._busy:
            try:
                bury(self._folder)
            except OSError as error:  # the disk is full: they are added up as they are
                log.warning("metrics.not_merged", error=str(error))
            files = [
                str(file)
                for file in self._folder.glob("*.db")
                if file.stat().st_size  # else it is being made
            ]
            metrics = MultiProcessCollector.merge(files)
        yield from metrics


def bury(folder: Path) -> None:
    """Make one file of each kind of what dead processes have left in *folder*."""
    left: dict[str, list[Path]] = defaultdict(list)
    for file in folder.glob("*.db"):
        found = FILE.fullmatch(file.name)
        if found and not _lives(int(found["pid"])):
            left[found["kind"]].append(file)
    for kind, files in left.items():
        if kind in KEPT:
            _merge(folder / f"{kind}_dead.db", files, KEPT[kind])
        for file in files:
            file.unlink(missing_ok=True)


def _merge(kept: Path, files: Iterable[Path], join: Any) -> None:
    """Add *files* to *kept*: in a copy, so that nobody sees it half done."""
    from prometheus_client.mmap_dict import MmapedDict

    found: dict[str, float] = {}
    for file in (kept, *files):
        if file.exists() and file.stat().st_size:
            for key, value, *_ in MmapedDict.read_all_values_from_file(file):
                found[key] = join(found[key], value) if key in found else value
    copy = kept.with_suffix(".new")
    reserve(copy, sum(file.stat().st_size for file in (kept, *files) if file.exists()))
    merged = MmapedDict(copy)
    for key, value in found.items():
        merged.write_value(key, value, 0.0)
    merged.close()
    copy.replace(kept)


def reserve(file: Path, size: int) -> None:
    """Make a file that the disk has room for: to write where it has none would kill.

    A process that writes to memory mapped from a file without blocks, on a disk that is
    full, gets SIGBUS; prometheus_client makes its files so unless they are there.

    Raises:
        OSError: The disk is full, or the file cannot be made.
    """
    try:
        file.write_bytes(bytes(size))
    except OSError:
        file.unlink(missing_ok=True)
        raise


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
        self.registry.register(_OfRedis(settings))
        if folder is not None:
            self.registry.register(_OfWorkers(folder))

    def render(self, accept: str | None = None) -> tuple[bytes, str]:
        """Return the answer and its content type; without Redis, what is left of it.

        Args:
            accept: The request's header: OpenMetrics is given to who asks for it.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type
