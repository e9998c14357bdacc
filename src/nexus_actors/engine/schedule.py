"""The schedule: one sorted set for all that is to run later.

Delays, retries and postponed jobs wait in Redis, not in workers, each until its due
time.  Every worker process has a thread that moves what is due to its queue, some
hundred in a step; that they all do so does no harm.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dramatiq import Message
from dramatiq.common import q_name

from nexus_actors.core import clock

from .connection import translated
from .dead_letters import trim
from .events import MAX_EVENTS
from .recovery import Loop


if TYPE_CHECKING:
    from .broker import RedisBroker

#: The longest time between two looks at what is due, in seconds.
POLL_S: Final = 0.25

#: By how much an idle Redis may be late to end a wait, in seconds: shorter waits are
#: done here, where what is to run before their end is seen only after it.
REDIS_TICK_S: Final = 0.1

#: How often dead letters that are too old or too many are deleted, in seconds.
TRIM_S: Final = 60.0

#: How often it is asked which of the running jobs were cancelled, in seconds.
CANCEL_S: Final = 0.5

#: The latest time that can be told, in ms: another's message may be due even later.
LAST_MS: Final = clock.to_ms(datetime.max.replace(microsecond=0, tzinfo=UTC))

#: How many messages one step moves: it must not hold up Redis.
BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A job that waits for its time; *due* is UTC."""

    job: str
    actor: str
    queue: str
    due: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types, times in ISO 8601."""
        return {
            "job": self.job,
            "actor": self.actor,
            "queue": self.queue,
            "due": self.due.isoformat(),
        }


def upcoming(
    limit: int = 100, *, offset: int = 0, broker: RedisBroker | None = None
) -> list[Scheduled]:
    """Return the next *limit* jobs that wait for their time, the first due first.

    *offset* leaves out the first ones.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use has no schedule.
    """
    broker = broker or _own()
    key = f"{broker.namespace}:__schedule__"
    with translated(broker.client):
        last = offset + limit - 1
        due: Any = broker.client.zrange(key, offset, last, withscores=True)
        ids = [job for job, _ in due]
        bodies: Any = broker.client.hmget(f"{key}.msgs", ids) if ids else []
    pairs = zip(due, bodies, strict=True)
    return [_scheduled(job, at, body) for (job, at), body in pairs if body]


def get(job_id: str, *, broker: RedisBroker | None = None) -> Scheduled | None:
    """Return a job that waits for its time, or ``None`` if it does not.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use has no schedule.
    """
    broker = broker or _own()
    key = f"{broker.namespace}:__schedule__"
    with translated(broker.client):
        due: Any = broker.client.zscore(key, job_id)
        body: Any = broker.client.hget(f"{key}.msgs", job_id)
    return None if due is None or not body else _scheduled(job_id.encode(), due, body)


def _scheduled(job: bytes, due_ms: float, body: bytes) -> Scheduled:
    message: Message[Any] = Message.decode(body)
    return Scheduled(
        job=job.decode(),
        actor=message.actor_name,
        queue=q_name(message.queue_name),
        due=clock.from_ms(min(int(due_ms), LAST_MS)),
    )


def cancel(job_id: str, *, broker: RedisBroker | None = None) -> bool:
    """Cancel a job that waits for its time; tell whether it did.

    Raises:
        BrokerUnavailable: Redis does not answer; cancelling again is safe.
        UnsupportedFeatureError: The broker in use has no schedule.
    """
    return _reschedule(job_id, "", broker or _own())


def move(job_id: str, due: datetime, *, broker: RedisBroker | None = None) -> bool:
    """Give a job that waits for its time another one; tell whether it did.

    Args:
        job_id: The job's id.
        due: When it is to run; with a time zone.  In the past means at once.
        broker: Whose schedule; by default that of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer; moving again is safe.
        UnsupportedFeatureError: The broker in use has no schedule.
        ValueError: *due* has no time zone.
    """
    return _reschedule(job_id, str(clock.to_ms(due)), broker or _own())


def _reschedule(job_id: str, due_ms: str, broker: RedisBroker) -> bool:
    ttl, key = broker.settings.job_ttl_s, f"{broker.namespace}:__schedule__.msgs"
    with translated(broker.client):
        while True:
            body: Any = broker.client.hget(key, job_id) or b""
            moved = _due_at(body, int(due_ms)) if body and due_ms else body
            told = (MAX_EVENTS, due_ms, ttl, body, moved)
            answer = broker.run("reschedule", job_id, clock.now_ms(), *told)
            if answer >= 0:  # else it has run since it was read, and waits again
                return bool(answer)


def _due_at(body: bytes, due_ms: int) -> bytes:
    """Return a message with another time from which on it may run."""
    message: Message[Any] = Message.decode(body)
    message.options["eta"] = due_ms
    return message.encode()


def _own() -> RedisBroker:
    from .actor import attached_broker
    from .broker import own_broker

    return own_broker(attached_broker(), "schedule")


class Timer:
    """The thread that moves what is due, and does what else is due by the clock."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker
        self._wake = f"{broker.namespace}:__schedule__.wake"
        self._next_cancels = self._next_trim = 0.0
        self._loop = Loop("timer", self._tick)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def stop(self) -> None:
        """Look no more."""
        self._loop.stop()

    def _tick(self) -> float:
        moved, next_due = promote(self._broker)
        now = time.monotonic()
        if now >= self._next_cancels:
            self._next_cancels = now + CANCEL_S
            self._broker.hear_cancels()
        if now >= self._next_trim:
            self._next_trim = now + TRIM_S
            trim(self._broker)
        for entry in list(self._broker.crons.values()):
            entry.send_if_due(self._broker)
        if moved >= BATCH:
            return 0
        wait_s = POLL_S
        if next_due is not None:
            wait_s = min(POLL_S, max(0, next_due - clock.now_ms()) / 1000)
        if wait_s <= REDIS_TICK_S:
            return wait_s
        self._broker.client.blpop([self._wake], timeout=wait_s - REDIS_TICK_S)
        return 0


def promote(broker: RedisBroker) -> tuple[int, int | None]:
    """Move what is due to its queue; return how many, and the next due time in ms."""
    queues = sorted(broker.queues)
    moved, first = broker.run("promote", clock.now_ms(), MAX_EVENTS, BATCH, *queues)
    return moved, int(float(first)) if first else None
