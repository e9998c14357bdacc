"""Queues: how much waits and runs in each, and pausing them.

Nothing more is taken from a paused queue: what runs goes on to its end, what is sent is
stored, what is due moves to the queue and waits there.  Only workers of our broker keep
to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import RedisError

from nexus_actors.core import clock

from .connection import translated, unavailable
from .excerpts import Stored, instant
from .options import DEFAULT_PRIORITY, check_queue


if TYPE_CHECKING:
    from .broker import RedisBroker

#: Of so many groups of a priority, those whose turn is next, `waiting` tells.
MOST_GROUPS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What is in a queue at one moment.

    Attributes:
        waiting: How many messages may begin at once.
        by_priority: How many of them there are of each priority that has some.
        groups: How many groups they belong to.
        suspects: How many more wait to be run alone, since their workers died.
        running: How many were taken by workers.
        scheduled: How many wait for their time, retries among them.
        dead: How many dead letters there are.
        paused: Whether nothing more is taken.
        waiting_since: Since when the first in line waits, UTC; ``None`` if none does.
        workers: How many worker processes of ours take from it.
    """

    name: str
    waiting: int
    by_priority: dict[int, int]
    groups: int
    suspects: int
    running: int
    scheduled: int
    dead: int
    paused: bool
    waiting_since: datetime | None
    workers: int

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types; ``oldest_s`` is how long one waits."""
        since, values = self.waiting_since, asdict(self)
        age_s = None if since is None else (clock.now() - since).total_seconds()
        values["waiting_since"] = None if since is None else since.isoformat()
        values["oldest_s"] = None if age_s is None else round(max(0, age_s), 3)
        return values


def state(*, broker: RedisBroker | None = None) -> list[Queue]:
    """Return all queues that are used, or paused, by name.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or _own()
    try:
        workers = _workers(broker)
        sets = [f"{broker.namespace}:{key}" for key in ("__queues__", "__paused__")]
        known: Any = broker.client.sunion(sets)
        names = {name.decode() for name in known} | broker.queues
        counted = {name: broker.run("count", name) for name in sorted(names)}
    except RedisError as error:
        raise unavailable(broker.client, error) from error
    return [
        _queue(name, json.loads(count), workers[name])
        for name, count in counted.items()
    ]


def _queue(name: str, counted: dict[str, Any], workers: int) -> Queue:
    since = counted.pop("since", None)
    waiting = {int(band): count for band, count in counted.pop("waiting").items()}
    return Queue(
        name=name,
        waiting=sum(waiting.values()),
        by_priority=waiting,
        waiting_since=None
        if since is None
        else datetime.fromtimestamp(since / 1000, UTC),
        workers=workers,
        **counted,
    )


def _workers(broker: RedisBroker) -> Counter[str]:
    found: Any = broker.client.hvals(f"{broker.namespace}:__workers__")
    return Counter(q for about in found for q in json.loads(about).get("queues", ()))


class Count(NamedTuple):
    """What is counted since Redis has its data: what happened to an actor's messages.

    Attributes:
        kind: ``enqueued``, ``processed``, ``retried`` or ``dead``.
        how: The outcome or the reason; of what was enqueued nothing.
    """

    kind: str
    how: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a queue is like at one instant; times are UTC, ``None`` if there is none.

    The four states add up to its messages.

    Attributes:
        waiting: How many may begin at once, of whatever priority or group.
        running: How many were taken by workers, plain dramatiq's too.
        scheduled: How many wait for their time, retries among them.
        dead: How many dead letters there are.
        waiting_since: Since when the first in line could have run.
        next_due: When the next message in the schedule is due.
        oldest_death: When the oldest dead letter died.
        workers: How many worker processes of ours live and take from it.
        busy: How many of their threads run a message of it.
        idle: How many of their threads are free for one.
        counts: What has happened, and how often.
    """

    name: str
    waiting: int
    running: int
    scheduled: int
    dead: int
    paused: bool
    waiting_since: datetime | None
    next_due: datetime | None
    oldest_death: datetime | None
    workers: int
    busy: int
    idle: int
    counts: dict[Count, int] = field(repr=False)


def overview(*, broker: RedisBroker | None = None) -> list[Load]:
    """Return what all queues are like, by name; as quick with a million messages.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or _own()
    with translated(broker.client):
        measured = json.loads(broker.run("measure", clock.now_ms()))
    counts = measured["counts"] or {}  # an empty table of Lua may be a list
    return [
        _load(name, told, counts.get(name) or [])
        for name, told in sorted((measured["queues"] or {}).items())
    ]


def _load(name: str, told: dict[str, Any], flat: list[str]) -> Load:
    counted = zip(flat[::2], flat[1::2], strict=True)
    return Load(
        name=name,
        waiting=told["ready"],
        running=told["in_flight"],
        scheduled=told["delayed"],
        dead=told["dead"],
        paused=bool(told["paused"]),
        waiting_since=instant(told.get("since")),
        next_due=instant(told.get("due")),
        oldest_death=instant(told.get("died")),
        workers=told["workers"],
        busy=told["busy"],
        idle=told["idle"],
        counts={Count(*what.split(":", 2)): int(number) for what, number in counted},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits for a worker; ``None`` means not known.

    Attributes:
        id: Its name in the queue; for our messages the job's id.
        attempts: How often it was tried.
        suspect: Whether it is to be run alone, since its workers died.
    """

    id: str
    job: str | None
    actor: str | None
    priority: int
    group: str | None
    attempts: int | None
    sent_at: datetime | None
    suspect: bool


def waiting(
    name: str, *, limit: int = 50, offset: int = 0, broker: RedisBroker | None = None
) -> list[Waiting]:
    """Return some of the messages that wait in a queue: only these are read.

    The most urgent come first; of one priority those without a group, then the groups
    by turn, each as a whole: of many groups, the next hundred.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or _own()
    with translated(broker.client):
        places = list(_waiting_at(broker, name, offset, limit))
        ids = [message_id for _, found in places for message_id in found]
        key = f"{broker.namespace}:{name}.msgs"
        bodies: Any = iter(broker.client.hmget(key, ids) if ids else ())
    return [
        _waiting(message_id, line, next(bodies))
        for line, found in places
        for message_id in found
    ]


class _Line(NamedTuple):
    """One of the lists in which messages of a queue wait."""

    key: bytes
    priority: int
    suspect: bool = False


def _waiting_at(
    broker: RedisBroker, name: str, offset: int, limit: int
) -> Iterator[tuple[_Line, list[bytes]]]:
    """Yield the ids from *offset* on, by the lists that they are in."""
    lines = _lines(broker, name)
    lengths = broker.client.pipeline(transaction=False)
    for line in lines:
        lengths.llen(line.key)
    for line, length in zip(lines, lengths.execute(), strict=True):
        if offset < length and limit > 0:
            found: Any = broker.client.lrange(line.key, offset, offset + limit - 1)
            yield line, found
            limit -= len(found)
        offset = max(0, offset - length)


def _lines(broker: RedisBroker, name: str) -> list[_Line]:
    """Return the lists of a queue in the order in which they are told of."""
    base = f"{broker.namespace}:{name}".encode()
    known: Any = broker.client.smembers(f"{broker.namespace}:{name}.bands")
    bands = sorted({DEFAULT_PRIORITY, *map(int, known)})
    rings = broker.client.pipeline(transaction=False)
    for band in bands:
        rings.zrange(base + b".ring%d" % band, 0, MOST_GROUPS)
    lines = [_Line(base + b".suspects", DEFAULT_PRIORITY, suspect=True)]
    for band, groups in zip(bands, rings.execute(), strict=True):
        plain = base if band == DEFAULT_PRIORITY else base + b".p%d" % band
        grouped = [base + b".g%d:%b" % (band, group) for group in groups if group]
        lines += [_Line(key, band) for key in (plain, *grouped)]
    return lines


def _waiting(message_id: bytes, line: _Line, body: bytes | None) -> Waiting:
    stored = Stored.read(body or b"")
    priority = stored.priority if line.suspect else line.priority
    return Waiting(
        id=message_id.decode(errors="replace"),
        job=stored.job,
        actor=stored.actor,
        priority=DEFAULT_PRIORITY if priority is None else priority,
        group=stored.group,
        attempts=stored.attempts,
        sent_at=stored.sent_at,
        suspect=line.suspect,
    )


def is_paused(name: str, *, broker: RedisBroker | None = None) -> bool:
    """Tell whether nothing more is taken from a queue.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    broker = broker or _own()
    try:
        return bool(broker.client.sismember(f"{broker.namespace}:__paused__", name))
    except RedisError as error:
        raise unavailable(broker.client, error) from error


def pause(name: str, *, broker: RedisBroker | None = None) -> bool:
    """Let no worker take more from a queue; tell whether any might until now.

    Raises:
        BrokerUnavailable: Redis does not answer; pausing again is safe.
        InvalidRequestError: No queue can have this name.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    return _set_paused(name, broker or _own(), pauses=True)


def resume(name: str, *, broker: RedisBroker | None = None) -> bool:
    """Let workers take from a queue again, at once; tell whether it was paused.

    Raises:
        BrokerUnavailable: Redis does not answer; resuming again is safe.
        InvalidRequestError: No queue can have this name.
        UnsupportedFeatureError: The broker in use is not ours.
    """
    return _set_paused(name, broker or _own(), pauses=False)


def _set_paused(name: str, broker: RedisBroker, *, pauses: bool) -> bool:
    check_queue(name)
    try:
        return bool(broker.run("pause", name, int(pauses)))
    except RedisError as error:
        raise unavailable(broker.client, error) from error


def _own() -> RedisBroker:
    from .actor import attached_broker
    from .broker import own_broker

    return own_broker(attached_broker(), "queues to look into")
