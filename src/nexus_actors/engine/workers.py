"""Worker processes: where they are, whether they live, and what they run just now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from nexus_actors.core import clock

from .connection import translated
from .excerpts import Stored, instant
from .jobs import JobRecord, keeper
from .recovery import workers_of


if TYPE_CHECKING:
    from .broker import RedisBroker


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process of ours that has not stopped properly yet.

    Attributes:
        id: Its name among the heartbeats; another one after a lost lease.
        release: Of this library; ``None`` if it does not say.
        threads: How many messages it may run at once.
        seen_at: Its last sign of life, by its own clock, UTC; ``None`` without one.
        timeout_s: After how long without one others take over what it runs.
        holds: What it runs: names in the queue, by queue.
    """

    id: str
    host: str
    pid: int | None
    release: str | None
    queues: tuple[str, ...]
    threads: int
    seen_at: datetime | None
    timeout_s: float
    holds: dict[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        """What job records call it."""
        return f"{self.host}:{self.pid}"

    @property
    def busy(self) -> int:
        """How many messages it runs."""
        return sum(map(len, self.holds.values()))

    @property
    def is_alive(self) -> bool:
        """Whether it has given a sign of life in time."""
        patience = timedelta(seconds=self.timeout_s)
        return self.seen_at is not None and clock.now() - self.seen_at < patience


def state(*, broker: RedisBroker | None = None) -> list[Worker]:
    """Return the worker processes of ours, by host and process id.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or keeper()
    with translated(broker.client):
        known = workers_of(broker.client, broker.namespace)
        pipeline = broker.client.pipeline(transaction=False)
        for name, about in known.items():
            pipeline.zscore(f"{broker.namespace}:__heartbeats__", name)
            for queue in about["queues"]:
                pipeline.smembers(f"{broker.namespace}:__acks__.{name}.{queue}")
        answers = iter(pipeline.execute())
    found = [_worker(name, about, answers) for name, about in known.items()]
    return sorted(found, key=lambda worker: (worker.host, worker.pid or 0))


def _worker(name: str, about: dict[str, Any], answers: Iterator[Any]) -> Worker:
    seen = next(answers)
    held = {queue: next(answers) for queue in about["queues"]}
    return Worker(
        id=name,
        host=about.get("host", ""),
        pid=about.get("pid"),
        release=about.get("release"),
        queues=tuple(about["queues"]),
        threads=about.get("threads", 0),
        seen_at=None if seen is None else instant(seen),
        timeout_s=about["timeout_s"],
        holds={
            queue: tuple(sorted(key.decode(errors="replace") for key in ids))
            for queue, ids in held.items()
            if ids
        },
    )


def running(limit: int = 200, *, broker: RedisBroker | None = None) -> list[JobRecord]:
    """Return the jobs that workers of ours run, the longest running first.

    Of a job without a record is told what its message says.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or keeper()
    held = [
        (worker, queue, key)
        for worker in state(broker=broker)
        for queue, keys in worker.holds.items()
        for key in keys
    ]
    with translated(broker.client):
        bodies = broker.client.pipeline(transaction=False)
        for _, queue, key in held:
            bodies.hget(f"{broker.namespace}:{queue}.msgs", key)
        taken = list(islice(zip(held, bodies.execute(), strict=True), limit))
        found = [
            (worker, queue, key, Stored.read(body or b""))
            for (worker, queue, key), body in taken
        ]
        records = broker.client.pipeline(transaction=False)
        for _, _, key, message in found:
            records.hgetall(f"{broker.namespace}:job:{message.job or key}")
        raw = records.execute()
    told = [
        JobRecord.from_hash(message.job or key, known)
        if known
        else _untracked(worker, queue, key, message)
        for (worker, queue, key, message), known in zip(found, raw, strict=True)
    ]
    return sorted(told, key=lambda job: (job.started_at or clock.now(), job.id))


def _untracked(worker: Worker, queue: str, key: str, message: Stored) -> JobRecord:
    return JobRecord(
        id=message.job or key,
        state="running",
        actor=message.actor or "",
        queue=queue,
        attempt=(message.attempts or 0) + 1,
        progress=None,
        enqueued_at=message.sent_at,
        started_at=None,
        finished_at=None,
        worker=worker.name,
        error=None,
        result=None,
    )
