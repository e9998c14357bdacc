"""Jobs: what became of a message, and what a running one may ask and tell.

A *job* is a message through all of its attempts; its id is the ``message_id``.  Its
record is a Redis hash, written in the same step as the queue, kept for a while after
the end.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, cast

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    Cancelled,
    NexusError,
    Postponed,
    TimeLimitError,
    UnsupportedFeatureError,
)


if TYPE_CHECKING:
    import redis

    from .broker import RedisBroker
    from .delivery import Delivery
    from .excerpts import Stored


State = Literal[
    "scheduled", "queued", "running", "retrying", "succeeded", "dead", "cancelled"
]

#: What came of `cancel`: the job had not begun, and never will; it runs, and was asked
#: to end; it had ended before.
CancelAnswer = Literal["cancelled", "asked", "ended"]

#: States that a job does not leave by itself.
FINAL: frozenset[State] = frozenset({"succeeded", "dead", "cancelled"})

#: Progress is published on each whole percent, but no more often than this.
MIN_INTERVAL_S = 0.25

#: How often `wait` looks, in seconds.
POLL_S = 0.15

#: For how long `find` finds a job, from when it may begin, unless its record is kept
#: for longer; in seconds.
FOUND_S = 30 * 86_400

#: Set when the worker of this process begins to shut down.
stopping = threading.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a running job is.

    *fraction* is from 0 to 1, or ``None`` where the length is not known; *eta_s* is
    the expected rest in seconds.
    """

    stage: str
    fraction: float | None = None
    eta_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types."""
        return {"stage": self.stage, "fraction": self.fraction, "eta_s": self.eta_s}


@dataclass(slots=True, kw_only=True)
class Job:
    """The running job, as its actor sees it.

    An actor that works for long calls `check` at least once a second and `progress`
    as often as it likes.

    Attributes:
        publish: Where progress goes.
        actor: Whose message a worker runs; empty where it runs for its caller.
        told: The newest progress, whether published or not.
        hand_on: Whether dramatiq has a use for the result: a pipeline, or `Results`.
        result: What the actor has returned.
        delivery: What this process holds for it, where a worker runs it.
        release: Of whom the message is, if it says so.
        limit_s: How long this attempt may take; known to who runs it for a worker.
        began: When the attempt has begun; monotonic, in seconds.
        checked_at: When it has last asked whether it may go on; monotonic, in seconds.
        heard_at: When it first heard that it may not.
    """

    id: str
    publish: Callable[[Progress], None] = lambda _: None
    actor: str = ""
    told: Progress | None = None
    hand_on: bool = False
    result: Any = None
    delivery: Delivery | None = None
    release: Any = None
    limit_s: float = math.inf
    checked_at: float = field(default=-math.inf, init=False)
    heard_at: float | None = field(default=None, init=False)
    began: float = field(default_factory=time.monotonic, init=False)
    _last: Progress | None = field(default=None, init=False)
    _last_at: float = field(default=0.0, init=False)

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            Cancelled: Somebody does not want it any more.
            TimeLimitError: It has taken as long as it may.
            Postponed: The worker shuts down; the job goes back to its queue.  Or it
                was out of touch, and another worker has the job: what this run comes
                to is not told.
        """
        self.checked_at = time.monotonic()
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Do as `check` does, for one that may not ask again."""
        reason = self._reason()
        if reason:
            self.heard_at = self.heard_at or time.monotonic()
            raise reason

    def _reason(self) -> NexusError | None:
        if self.delivery and self.delivery.lost:
            return Postponed(
                "another worker has the job", code="lease_lost", until=clock.now()
            )
        if self.is_cancelled:
            return Cancelled("the job was cancelled")
        if self.is_late:
            return self.too_late()
        if self.actor and stopping.is_set():
            text = "the worker shuts down"
            return Postponed(text, code="shutdown", until=clock.now())
        return None

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody does not want the job any more."""
        return self.delivery is not None and self.delivery.cancelled

    @property
    def is_late(self) -> bool:
        """Whether this attempt has taken as long as it may."""
        return self.age_s >= self.limit_s

    @property
    def age_s(self) -> float:
        """How long this attempt has run, in seconds."""
        return time.monotonic() - self.began

    def too_late(self) -> TimeLimitError:
        """Return the error of an attempt that took too long."""
        return TimeLimitError(
            f"the job did not end within its time limit of {self.limit_s:g} s"
        )

    def progress(
        self, fraction: float | None, *, stage: str, eta_s: float | None = None
    ) -> None:
        """Tell how far the job is; what adds nothing new is not published."""
        progress = Progress(
            stage=stage,
            fraction=None if fraction is None else round(min(max(fraction, 0), 1), 4),
            eta_s=None if eta_s is None else round(eta_s, 1),
        )
        self.told = progress
        if self._is_news(progress):
            self._last, self._last_at = progress, time.monotonic()
            self.publish(progress)

    def _is_news(self, progress: Progress) -> bool:
        last = self._last
        if last is None or last.stage != progress.stage:
            return True
        if time.monotonic() - self._last_at < MIN_INTERVAL_S:
            return False
        percent = [int((p.fraction or 0) * 100) for p in (last, progress)]
        return percent[1] > percent[0] or progress.fraction is None


_running: ContextVar[Job | None] = ContextVar("nexus_running_job", default=None)


def running() -> Job | None:
    """Return the job that this thread runs for a worker, or ``None``."""
    return _running.get()


def current() -> Job:
    """Return the running job; outside of a worker, one that reports to nobody."""
    return _running.get() or Job(id="inline")


def begin(job: Job | None) -> None:
    """Make *job* the one that this thread runs."""
    _running.set(job)


@contextmanager
def inline(job: Job) -> Iterator[Job]:
    """Run the body as *job*, without a worker."""
    token = _running.set(job)
    try:
        yield job
    finally:
        _running.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What is known of a job.  Times are UTC; ``None`` means not yet.

    Attributes:
        attempt: Which attempt runs or ran last, from 1.
        error: Of the last failed attempt: ``type``, ``code``, ``message``,
            ``retryable``.
        result: What the actor returned.
    """

    id: str
    state: State
    actor: str
    queue: str
    attempt: int
    progress: dict[str, Any] | None
    enqueued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: dict[str, Any] | None
    result: Any

    @classmethod
    def from_hash(cls, job_id: str, raw: Mapping[Any, Any]) -> Self:
        """Read what the scripts wrote."""
        text = {name.decode(): value.decode() for name, value in raw.items()}
        return cls(
            id=job_id,
            state=text["state"],
            actor=text.get("actor", ""),
            queue=text.get("queue", ""),
            attempt=int(text.get("attempt", 0)),
            progress=json.loads(text.get("progress", "null")),
            enqueued_at=_time(text.get("enqueued_at")),
            started_at=_time(text.get("started_at")),
            finished_at=_time(text.get("finished_at")),
            worker=text.get("worker"),
            error=json.loads(text.get("error", "null")),
            result=json.loads(text.get("result", "null")),
        )

    @property
    def is_final(self) -> bool:
        """Whether the job has ended for good."""
        return self.state in FINAL

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types, times in ISO 8601."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


def _time(ms: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(ms) / 1000, UTC) if ms else None


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return what a job record and an event tell of *error*: no traceback."""
    if isinstance(error, NexusError):
        return {
            "type": type(error).__name__,
            "code": error.code,
            "message": error.message,
            "retryable": error.retryable,
        }
    return {
        "type": type(error).__name__,
        "code": "unexpected",
        "message": str(error) or type(error).__name__,
        "retryable": True,
    }


class KeepsJobs(Protocol):
    """A broker that keeps job records: ours."""

    client: redis.Redis
    namespace: str


def get(job_id: str, *, broker: KeepsJobs | None = None) -> JobRecord | None:
    """Return the record of a job, or ``None`` if there is none (any more).

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use keeps no job records.
    """
    from .connection import translated

    broker = broker or keeper()
    with translated(broker.client):
        raw = broker.client.hgetall(f"{broker.namespace}:job:{job_id}")
    return JobRecord.from_hash(job_id, raw) if raw else None


def stored(job_id: str, *, broker: RedisBroker | None = None) -> Stored | None:
    """Return what the message of a job says, as long as it waits, runs or is dead.

    Messages that plain dramatiq has sent are found where their names in the queue are
    those of their jobs.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use keeps no job records.
    """
    from .connection import translated
    from .excerpts import Stored

    broker = broker or keeper()
    base = broker.namespace
    with translated(broker.client):
        known: Any = broker.client.sunion([f"{base}:__queues__", f"{base}:__dead__"])
        queues = {name.decode() for name in known} | broker.queues
        keys = [f"{q}{kind}" for q in sorted(queues) for kind in (".msgs", ".XQ.msgs")]
        pipeline = broker.client.pipeline(transaction=False)
        for key in ("__schedule__.msgs", *keys):
            pipeline.hget(f"{base}:{key}", job_id)
        found = [body for body in pipeline.execute() if body is not None]
    return Stored.read(found[0]) if found else None


def find(*, broker: KeepsJobs | None = None, **found_by: str | int) -> list[JobRecord]:
    """Return the jobs that a host calls so, the newest first, as ``video_id="v"``.

    Jobs are found by what the ``find_by`` of their actor or message names, as long as
    they have a record and for 30 days at most: the last 100.

    Raises:
        BrokerUnavailable: Redis does not answer.
        TypeError: Not exactly one name was given.
        UnsupportedFeatureError: The broker in use keeps no job records.
    """
    from redis import RedisError

    from .connection import unavailable

    if len(found_by) != 1:
        raise TypeError("jobs.find takes one name, such as video_id='video-123'")
    broker = broker or keeper()
    [(name, value)] = found_by.items()
    key = f"{broker.namespace}:__find__:{name}:{value}"
    try:
        found: Any = broker.client.zrevrange(key, 0, -1)
        ids = [job_id.decode() for job_id in found]
        pipeline = broker.client.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(f"{broker.namespace}:job:{job_id}")
        records = zip(ids, pipeline.execute(), strict=True)
    except RedisError as error:
        raise unavailable(broker.client, error) from error
    return [JobRecord.from_hash(job_id, raw) for job_id, raw in records if raw]


def encode_index(found_by: Mapping[str, str], kept_s: int) -> str:
    """Return what the script that stores a message needs, so that `find` finds it."""
    names = [f"{name}:{value}" for name, value in found_by.items()]
    return json.dumps([max(FOUND_S, kept_s) * 1000, *names])


def keeper() -> RedisBroker:
    """Return the broker in use, if it keeps job records."""
    from .actor import attached_broker
    from .broker import own_broker

    return own_broker(attached_broker(), "job records")


def cancel(job_id: str, *, broker: RedisBroker | None = None) -> CancelAnswer:
    """Let a job not run, or not run on; cancelling again is safe.

    One that waits, for a worker or for its time, is taken away at once.  One that runs
    is asked to end, whoever runs it, now or after the death of its worker; `wait` tells
    what it came to: it may still succeed, if it is faster.

    Returns:
        ``cancelled``, ``asked``, or ``ended`` if it had ended before.

    Raises:
        BrokerUnavailable: Redis does not answer.
        LookupError: There is no such job.
        UnsupportedFeatureError: The job has no record, or the broker in use keeps none.
    """
    from .actor import attached_broker
    from .broker import own_broker
    from .connection import translated
    from .events import MAX_EVENTS
    from .recovery import served_queues

    broker = broker or own_broker(attached_broker(), "cancelling")
    arguments = (clock.now_ms(), MAX_EVENTS, broker.settings.job_ttl_s)
    with translated(broker.client):
        queues = served_queues(broker.client, broker.namespace) | broker.queues
        answer = broker.run("cancel", job_id, *arguments, *queues).decode()
    if answer == "untracked":
        raise UnsupportedFeatureError(
            f"job {job_id} has no record, since it was sent with track=False; "
            "only jobs with one can be cancelled"
        )
    if answer == "unknown":
        raise LookupError(f"no job {job_id!r} is known")
    return cast("CancelAnswer", answer)


def wait(
    job_id: str,
    *,
    on_change: Callable[[JobRecord], None] = lambda _: None,
    timeout_s: float | None = None,
    broker: KeepsJobs | None = None,
) -> JobRecord:
    """Return the record of a job once it has ended; *on_change* hears of each change.

    Raises:
        BrokerUnavailable: Redis does not answer.
        LookupError: There is no such job.
        TimeoutError: It has not ended within *timeout_s*.
    """
    broker = broker or keeper()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    seen: JobRecord | None = None
    while True:
        record = get(job_id, broker=broker)
        if record is None:
            raise LookupError(f"no job {job_id!r} is known")
        if record != seen:
            seen = record
            on_change(record)
        if record.is_final:
            return record
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(f"job {job_id} is still {record.state}")
        time.sleep(POLL_S)
