"""Looks whether what a worker needs is there: Redis, and the programs of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from nexus_actors.core.errors import NexusError

from .connection import translated
from .recovery import Loop


#: How often it is looked whether Redis answers, and whether the programs are there, in
#: seconds.
REDIS_S: Final = 2.0
NEEDS_S: Final = 10.0

#: After how many seconds without an answer Redis is away.
PATIENCE_S: Final = 5.0

#: What is said of what is there, and of what has not been looked for.
OK: Final = "ok"
UNKNOWN: Final = "not looked at yet"

#: Something that must be there; raises a `NexusError` if it is not.
Need = Callable[[], object]


class Checks:
    """The thread that looks, and what it has found.

    Args:
        needs: What must be there, by name; of a broker on Redis, that is looked for
            too.
    """

    def __init__(self, needs: Mapping[str, Need]) -> None:
        self._needs = dict(needs)
        self._found = dict.fromkeys(needs, UNKNOWN)
        self._broker: StockRedisBroker | None = None
        self._next_needs = 0.0
        self._asked_at: float | None = None
        self._redis_since: float | None = None
        # what it waits for may take long: it is told of, and is no hang
        self._loop = Loop("checks", self._look, is_watched=False)

    def start(self, broker: dramatiq.Broker) -> None:
        """Begin to look, also at the Redis of *broker* if it has one."""
        if isinstance(broker, StockRedisBroker):
            self._broker = broker
            self._found["redis"] = UNKNOWN
        else:
            self._redis_since = 0.0
        self._loop.start()

    def stop(self) -> None:
        """Look no more; an answer that does not come is not waited for."""
        self._loop.stop(waits=False)

    def found(self) -> dict[str, str]:
        """Return what is the matter with each need; ``ok`` is nothing."""
        found = dict(self._found)
        if self._is_unanswered:
            found["redis"] = f"Redis has not answered for {PATIENCE_S:.0f} s"
        return found

    @property
    def redis_since(self) -> float | None:
        """Since when Redis has answered, monotonic; ``None`` while it is away."""
        return None if self._is_unanswered else self._redis_since

    @property
    def _is_unanswered(self) -> bool:
        asked_at = self._asked_at
        return asked_at is not None and time.monotonic() - asked_at > PATIENCE_S

    def _look(self) -> float:
        now = time.monotonic()
        if self._broker:
            self._look_at_redis(self._broker)
        if now >= self._next_needs:
            self._next_needs = now + NEEDS_S
            for name, need in self._needs.items():
                self._found[name] = _outcome(need)
        return REDIS_S

    def _look_at_redis(self, broker: StockRedisBroker) -> None:
        self._asked_at = time.monotonic()
        self._found["redis"] = found = _outcome(lambda: _ping(broker))
        self._asked_at = None
        if found != OK:
            self._redis_since = None
        elif self._redis_since is None:
            self._redis_since = time.monotonic()


def _ping(broker: StockRedisBroker) -> None:
    with translated(broker.client):
        broker.client.ping()


def _outcome(need: Need) -> str:
    try:
        need()
    except NexusError as error:
        return error.message
    return OK
