"""Our Redis broker: dramatiq's keys, with what stock dramatiq leaves out.

A stock producer feeds our workers and a stock worker runs what we send: the lists and
hashes are dramatiq's own.  Beside them every job has a record and tells its events,
written by the script that moves its message.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final
from uuid import uuid4

import dramatiq
import redis
from dramatiq import Message, MessageProxy, Middleware
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from dramatiq.common import dq_name, q_name
from dramatiq.errors import DecodeError
from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    Pipelines,
    ShutdownNotifications,
    TimeLimit,
)

from nexus_actors.core import clock
from nexus_actors.core.errors import UnsupportedFeatureError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings

from .connection import connect, unavailable
from .consumer import Consumer, decode
from .delivery import Delivery
from .events import MAX_EVENTS
from .middleware.jobs import JobsMiddleware
from .middleware.retries import Retries
from .protocol import OwnBroker
from .slots import HostSlots, default_slots


log = get_logger(__name__)

#: How often a process says that it lives, in seconds; the others wait for a minute.
BEAT_S: Final = 5.0

#: Where the Lua scripts lie.
SCRIPTS: Final = files("nexus_actors.engine") / "lua"


class RedisBroker(OwnBroker, StockRedisBroker):
    """Dramatiq's Redis broker, with job records, events and slots.

    Args:
        settings: Where Redis is, and the defaults of retries and concurrency.
        middleware: Added to the broker's own.
    """

    def __init__(
        self, settings: CoreSettings, *, middleware: Iterable[Middleware] = ()
    ) -> None:
        self.settings = settings
        self.deliveries: dict[str, Delivery] = {}
        self.slots: dict[str, HostSlots] = {}
        self.places = threading.Semaphore(1)
        self.draining = threading.Event()
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(settings),
            namespace=settings.redis_namespace,
            middleware=[*_middleware(settings), *middleware],
        )
        self._enqueue = self._script("enqueue")
        self._settle = self._script("settle")
        self._pid = os.getpid()
        self._beat_at = 0.0

    @property
    def consumer_class(self) -> type[Consumer]:
        """The consumer that respects slots and settles in one step."""
        return Consumer

    def delivery_of(self, message: MessageProxy) -> Delivery:
        """Return what this process holds for *message*, made on first use."""
        key: str = message.options["redis_message_id"]
        return self.deliveries.setdefault(key, Delivery())

    def resume(self, threads: int) -> None:
        """Fetch for *threads* worker threads from now on."""
        if self._pid != os.getpid():  # made before a fork: siblings have the same id
            self._pid, self.broker_id = os.getpid(), str(uuid4())
        self.places = threading.Semaphore(threads)
        self.draining.clear()

    def drain(self) -> None:
        """Fetch nothing more: this process shuts down."""
        self.draining.set()

    def _script(self, name: str) -> Any:
        return self.client.register_script((SCRIPTS / f"{name}.lua").read_text())

    def limit(self, queue_name: str) -> None:
        """Let at most the configured number of this queue's jobs run on this host."""
        count = self.settings.worker_concurrency or default_slots()
        folder = self.settings.temp_dir / "slots" / queue_name
        self.slots[queue_name] = HostSlots(folder, count)

    def enqueue(
        self, message: Message[Any], *, delay: int | None = None
    ) -> Message[Any]:
        """Store *message* and record its job; *delay* is in milliseconds.

        Where it is not known whether that has happened, the same message can be sent
        again: a job that is known, and has not failed, is not stored a second time.

        Raises:
            BrokerUnavailable: Redis does not answer; the message may be stored or not.
        """
        held = self.deliveries.get(message.options.get("redis_message_id", ""))
        if held and held.delayed:
            return self._move(held, message)
        first = "redis_message_id" not in message.options
        queued = self.prepare(message, delay=delay)
        self.emit_before("enqueue", queued, delay)
        now = clock.now_ms()
        fields = {
            "state": "queued" if delay is None else "scheduled",
            "actor": queued.actor_name,
            "queue": q_name(queued.queue_name),
        }
        if first:
            fields["enqueued_at"] = str(queued.message_timestamp)
        try:
            stored = self._enqueue(
                keys=[self.namespace],
                args=[
                    queued.queue_name,
                    queued.options["redis_message_id"],
                    queued.encode(),
                    queued.message_id,
                    json.dumps(fields),
                    "job.enqueued" if first else "",
                    json.dumps({"actor": queued.actor_name, "queue": fields["queue"]}),
                    now,
                    MAX_EVENTS,
                ],
            )
        except redis.RedisError as error:
            raise unavailable(self.client, error) from error
        if not stored:
            log.info("job.already_known", message_id=message.message_id)
        self.emit_after("enqueue", queued, delay)
        return queued

    def _move(self, held: Delivery, message: Message[Any]) -> Message[Any]:
        """Note that a delayed message is due: it moves in the step that ends its delay.

        Stored now and acknowledged later, it would run twice after a crash in between.
        """
        queued = self.prepare(message, delay=None)
        self.emit_before("enqueue", queued, None)
        held.outcome, held.successor = "again", queued
        held.job_fields = {"state": "queued"}
        self.emit_after("enqueue", queued, None)
        return queued

    def prepare(
        self, message: Message[Any] | MessageProxy, *, delay: int | None
    ) -> Message[Any]:
        """Return *message* as it is stored: with an id of its own and a due time."""
        options: dict[str, Any] = {"redis_message_id": str(uuid4())}
        queue_name = q_name(message.queue_name)
        if delay is not None:
            queue_name = dq_name(queue_name)
            options["eta"] = clock.now_ms() + delay
        copy: Message[Any] = message.copy(queue_name=queue_name, options=options)
        if delay is None:
            copy.options.pop("eta", None)
        return copy

    def settle(self, queue_name: str, message: MessageProxy) -> None:
        """End this process's delivery of *message* as was noted."""
        run = self.delivery_of(message)
        successor = run.successor
        ttl = 0 if run.outcome == "again" else self.settings.job_ttl_s
        self._settle(
            keys=[self.namespace],
            args=[
                queue_name,
                self.broker_id,
                message.options["redis_message_id"],
                run.outcome,
                clock.now_ms(),
                successor.queue_name if successor else "",
                successor.options["redis_message_id"] if successor else "",
                successor.encode() if successor else b"",
                message.message_id if run.job_fields else "",
                json.dumps(run.job_fields),
                ttl,
                run.event,
                json.dumps(run.event_body),
                MAX_EVENTS,
            ],
        )
        self.deliveries.pop(message.options["redis_message_id"], None)

    def reclaim(self, queue_name: str) -> None:
        """Return to the queue what Redis takes to be here, and is not.

        A lost connection leaves such messages: fetched, but the answer never came; or
        delayed, and dropped by dramatiq.  What cannot be read is dead-lettered.
        """
        acks = f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"
        ids: Any = self.client.smembers(acks)
        for key in ids:
            redis_id = key.decode()
            held = self.deliveries.get(redis_id)
            if held and not held.delayed:
                continue
            self.deliveries.pop(redis_id, None)
            data: Any = self.client.hget(f"{self.namespace}:{queue_name}.msgs", key)
            try:
                if data is not None:
                    decode(data, queue_name)
                self.do_requeue(queue_name, redis_id)
            except DecodeError:
                self.do_nack(queue_name, redis_id)
                log.exception("message.unreadable", queue=queue_name, redis_id=redis_id)

    def beat(self) -> None:
        """Say that this process lives, also while it fetches nothing.

        Otherwise a process that is busy for a minute is taken for dead, and what it
        runs is run by another one, too.
        """
        if time.monotonic() - self._beat_at >= BEAT_S:
            self._beat_at = time.monotonic()
            sign = {self.broker_id: clock.now_ms()}
            self.client.zadd(f"{self.namespace}:__heartbeats__", sign)

    def tell(
        self,
        message: Message[Any] | MessageProxy,
        fields: dict[str, str],
        event: str,
        body: dict[str, Any],
    ) -> None:
        """Write *fields* to the record of a running job and publish *event*."""
        record: dict[Any, Any] = dict(fields)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hset(f"{self.namespace}:job:{message.message_id}", mapping=record)
        pipeline.xadd(
            f"{self.namespace}:events",
            {
                "event": event,
                "job": message.message_id,
                "at": clock.now_ms(),
                "body": json.dumps(body),
            },
            maxlen=MAX_EVENTS,
            approximate=True,
        )
        pipeline.execute()

    def close(self) -> None:
        """Close the connections to Redis."""
        self.client.close()


def _middleware(settings: CoreSettings) -> list[Middleware]:
    """Return dramatiq's default stack with our parts in place of `Retries`.

    Hooks that run after an attempt are called in reverse: `Retries` decides first,
    and `JobsMiddleware` records what was decided.
    """
    return [
        JobsMiddleware(),
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        Callbacks(),
        Pipelines(),
        Retries(max_retries=settings.max_retries, min_backoff=settings.backoff_delay),
    ]


def own_broker(broker: dramatiq.Broker, feature: str) -> RedisBroker:
    """Return *broker* if it is ours.

    Raises:
        UnsupportedFeatureError: It is another one, which has no *feature*.
    """
    if isinstance(broker, RedisBroker):
        return broker
    raise UnsupportedFeatureError(
        f"{type(broker).__module__}.{type(broker).__name__} has no {feature}; "
        "use nexus_actors.RedisBroker"
    )
