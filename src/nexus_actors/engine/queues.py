"""Queues: how much waits and runs in each, and pausing them.

Nothing more is taken from a paused queue: what runs goes on to its end, what is sent is
stored, what is due moves to the queue and waits there.  Only workers of our broker keep
to it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis import RedisError

from nexus_actors.core import clock

from .connection import unavailable
from .options import check_queue


if TYPE_CHECKING:
    from .broker import RedisBroker


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
