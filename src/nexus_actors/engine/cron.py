"""Cron entries: an actor's ``cron`` and ``time_zone``.

Each worker that has the actor works out when the entry is due, and sends its message
in a script that first looks whether that due time was sent already: it runs once,
however many workers there are.  Of the due times that were missed while no worker ran,
only the last is made up for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from dramatiq import Message

from nexus_actors.core import clock, releases
from nexus_actors.core.errors import ConfigurationError

from . import messages
from .events import MAX_EVENTS


if TYPE_CHECKING:
    from .broker import RedisBroker


@dataclass(slots=True)
class Entry:
    """When an actor is sent a message, by the clocks of *time_zone*.

    A time that a daylight-saving change skips is made up for right after; one that it
    repeats runs once.  Entries for every hour, or minute, run by the real time.
    """

    actor: str
    queue: str
    cron: str
    time_zone: str
    _next_ms: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.following(clock.now())

    def following(self, instant: datetime) -> datetime:
        """Return the first due time after *instant*, in UTC.

        Raises:
            ConfigurationError: The expression or the time zone is none.
        """
        try:
            local = instant.astimezone(ZoneInfo(self.time_zone))
            return next(CronSim(self.cron, local)).astimezone(instant.tzinfo)
        except (CronSimError, StopIteration):
            reason = f"{self.cron!r} is no cron expression that ever comes"
        except (ZoneInfoNotFoundError, ValueError, OSError):
            reason = f"{self.time_zone!r} is no time zone"
        raise ConfigurationError(f"{self.actor}: {reason}")

    def send_if_due(self, broker: RedisBroker) -> None:
        """Send the message of the last due time that has passed, if nobody has.

        Raises:
            redis.RedisError: Redis does not answer; the next look makes up for it.
        """
        now = clock.now_ms()
        if self._next_ms is None:
            self._next_ms = self._first(broker, now)
        due, following = None, self._next_ms
        while following <= now:
            due, following = following, self._after(following)
        if due is not None:
            self._send(broker, due)
            self._next_ms = following

    def _after(self, ms: int) -> int:
        return clock.to_ms(self.following(clock.from_ms(ms)))

    def _first(self, broker: RedisBroker, now: int) -> int:
        """Return what is due next: after the last that was sent, if any was."""
        key = f"{broker.namespace}:__cron__"
        broker.client.hsetnx(key, self.actor, now)
        last: Any = broker.client.hget(key, self.actor)
        return self._after(int(last or now))

    def _send(self, broker: RedisBroker, due: int) -> None:
        message: Message[Any] = Message(
            queue_name=self.queue,
            actor_name=self.actor,
            args=(),
            kwargs={},
            options={releases.NAME: releases.release()},
            message_id=f"{self.actor}@{due}",
            message_timestamp=due,
        )
        message = broker.prepare(message)
        common = messages.common_to(broker.settings.job_ttl_s, message)
        stored = (*common, *messages.own_to(message))
        now = clock.now_ms()
        broker.run("cron", self.actor, due, now, MAX_EVENTS, *stored)
