"""Our Redis broker: dramatiq's keys, with what stock dramatiq leaves out.

A stock producer feeds our workers and a stock worker runs what we send: the lists and
hashes are dramatiq's own.  Beside them every job has a record and tells its events,
written by the script that moves its message.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import dramatiq
import redis
from dramatiq import (
    Message,
    MessageProxy,
    Middleware,
    Worker,
)
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from dramatiq.common import q_name
from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    Pipelines,
    ShutdownNotifications,
)

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError, UnsupportedFeatureError
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings

from . import jobs, messages, options
from .connection import check_layout, check_server, close, connect, unavailable
from .consumer import Consumer
from .cron import Entry
from .delivery import DONE, Delivered, Delivery
from .events import MAX_EVENTS
from .instruments import OTHER
from .middleware.jobs import JobsMiddleware
from .middleware.retries import Retries
from .middleware.time_limit import TimeLimit
from .options import DEFAULT_PRIORITY
from .protocol import OwnBroker
from .recovery import Lease, Pulse, Watch
from .schedule import Timer
from .scripts import Scripts
from .slots import HostSlots, default_slots


log = get_logger(__name__)

#: What only this broker knows of, of an actor or of a message.
OWN_OPTIONS: Final = {"cron", "time_zone", *options.SENT_ALONG}

#: Why what no worker can read is dead.
UNREADABLE: Final = InvalidRequestError(
    "what was in the queue is no message that a worker can read", code="unreadable"
)

#: How it is counted.
UNREAD: Final = Delivery(outcome="dead", ended=("failure", "rejected"))

#: How many messages are stored in one step.
BATCH: Final = 500


class RedisBroker(OwnBroker, StockRedisBroker):
    """Dramatiq's Redis broker, with job records, events, a schedule and slots.

    Args:
        settings: Where Redis is, and the defaults of retries and concurrency.
        middleware: Added to the broker's own.
    """

    def __init__(
        self, settings: CoreSettings, *, middleware: Iterable[Middleware] = ()
    ) -> None:
        self.settings = settings
        self.slots: dict[str, HostSlots] = {}
        self.crons: dict[str, Entry] = {}
        self.draining = threading.Event()
        self.alone = threading.Lock()
        self.places = threading.Semaphore(1)
        self.threads = 1
        self.worker: Worker | None = None
        self._heard: dict[str, bool] = {}
        super().__init__(  # type: ignore[no-untyped-call]
            client=connect(settings),
            namespace=settings.redis_namespace,
            middleware=[*_middleware(settings), *middleware],
        )
        self.actor_options |= OWN_OPTIONS
        self.run = Scripts(self.client, self.namespace)
        self.lease = self._new_lease()
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._timer: Timer | None = None
        self._pulse: Pulse | None = None

    def _new_lease(self) -> Lease:
        return Lease(self.client, self.run, self.namespace, self.settings)

    # Consuming

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:  # noqa: ARG002 - dramatiq's signature; we fetch what can be run
        """Return a consumer of one queue, for a worker that has been started."""
        return Consumer(self, queue_name)

    def declare_queue(self, queue_name: str) -> None:
        """Let workers of this broker consume a queue.

        It has no delay queue: what is delayed is in the schedule, not in workers.

        Raises:
            InvalidRequestError: The name is one of the broker's own keys.
        """
        if queue_name not in self.queues:
            options.check_queue(queue_name)
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def declare_actor(self, actor: dramatiq.Actor[..., Any]) -> None:
        """Let workers of this broker run an actor.

        Its ``slots`` limit how many jobs of its queue run at once on this host; its
        ``cron`` and ``time_zone`` send it messages by the clock.

        Raises:
            ConfigurationError: The cron expression or the time zone is none.
            InvalidRequestError: The priority is not one of 0 to 9.
        """
        name, queue, wanted = actor.actor_name, actor.queue_name, actor.options
        options.check_priority(wanted.get("priority", DEFAULT_PRIORITY))
        if wanted.get("cron"):
            zone = wanted.get("time_zone") or "UTC"
            self.crons[name] = Entry(name, queue, wanted["cron"], zone)
        if wanted.get("slots"):
            count = self.settings.worker_concurrency or default_slots()
            folder = self.settings.temp_dir / "slots" / queue
            self.slots[queue] = HostSlots(folder, count)
        super().declare_actor(actor)

    def resume(self, worker: Worker) -> None:
        """Fetch for the threads of *worker* from now on.

        Raises:
            ConfigurationError: The server, or the queue in it, is none that this broker
                can work with.
        """
        check_server(self.client)
        check_layout(self.client, self.namespace)
        self.lease = self._new_lease()  # one made before a fork is its siblings', too
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.worker = worker
        self.threads = self.lease.threads = worker.worker_threads
        self.places = threading.Semaphore(self.threads)
        self.alone = threading.Lock()
        self.draining.clear()
        watch = Watch(self.client, self.run, self.namespace, self.lease)
        self._pulse = Pulse(self.lease, watch)
        self._pulse.start()
        self._timer = Timer(self)
        self._timer.start()

    def drain(self) -> None:
        """Fetch nothing more: this process shuts down."""
        self.draining.set()

    def leave(self) -> None:
        """End this process's lease: it runs nothing any more."""
        if self._timer and self._pulse:
            self._timer.stop()
            self._pulse.stop()
            self._timer = self._pulse = None

    # Sending

    def enqueue(
        self, message: Message[Any], *, delay: int | None = None
    ) -> Message[Any]:
        """Store *message* and record its job; *delay* is in milliseconds.

        Where it is not known whether that has happened, the same message can be sent
        again: a job that is known, and has not failed, is not stored a second time.  A
        job that sends its own message is run again when this run has ended.

        Returns:
            The message as it was stored.  If another job holds its ``dedupe_key``, it
            was not, and has that job's id.

        Raises:
            BrokerUnavailable: Redis does not answer; the message may be stored or not.
            InvalidRequestError: An option is not what it is to be.
        """
        return self.enqueue_many([message], delay=delay)[0]

    def enqueue_many(
        self, messages: Iterable[Message[Any]], *, delay: int | None = None
    ) -> list[Message[Any]]:
        """Store many messages as `enqueue` does, some hundred in a step.

        Raises:
            BrokerUnavailable: Redis does not answer; send the same messages again.
            InvalidRequestError: An option is not what it is to be; nothing is stored.
        """
        prepared = self._prepared(messages)
        due = None
        if delay is not None:
            options.check_delay(delay)
            due = clock.now_ms() + delay
            for message in prepared:
                message.options["eta"] = due
        if self._is_heard("before_enqueue"):
            for message in prepared:
                self.emit_before("enqueue", message, delay)
        strangers = prepared
        if jobs.running():
            strangers = [item for item in prepared if not self._is_again(item, due)]
        holders = self._store(strangers, due)
        sent = [_following(item, holders) for item in prepared] if holders else prepared
        if self._is_heard("after_enqueue"):
            for message in sent:
                self.emit_after("enqueue", message, delay)
        return sent

    def add_middleware(self, middleware: Middleware, **where: Any) -> None:
        """Add *middleware*, at the end or where dramatiq's keywords say."""
        self._heard.clear()
        super().add_middleware(middleware, **where)

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call the hooks of the middleware, if any has one."""
        if self._is_heard(f"before_{signal}"):
            super().emit_before(signal, *args, **kwargs)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call the hooks of the middleware, if any has one."""
        if self._is_heard(f"after_{signal}"):
            super().emit_after(signal, *args, **kwargs)

    def _is_heard(self, hook: str) -> bool:
        """Whether any middleware has *hook*; most have none that is called often."""
        heard = self._heard.get(hook)
        if heard is None:
            silent = getattr(Middleware, hook)
            heard = self._heard[hook] = any(
                getattr(getattr(item, hook), "__func__", None) is not silent
                for item in self.middleware
            )
        return heard

    def _is_again(self, message: Message[Any], due: int | None) -> bool:
        """If it is the running job's own message, note that it is to run again."""
        job = jobs.running()
        if job is None or job.delivery is None or job.id != message.message_id:
            return False
        job.delivery.outcome = "again"
        job.delivery.successor, job.delivery.due = message, due
        return True

    def _store(self, stored: Sequence[Message[Any]], due: int | None) -> dict[str, str]:
        """Store *stored*; return which were not, and whose jobs hold their keys."""
        starts = range(0, len(stored), BATCH)
        steps = (
            messages.stored(stored[at : at + BATCH], due, self.settings.job_ttl_s)
            for at in starts
        )
        try:
            answers = self.run.in_turn("enqueue", steps)
        except redis.RedisError as error:
            raise unavailable(self.client, error) from error
        holders = {}
        for message, answer in zip(stored, chain(*answers), strict=True):
            if isinstance(answer, bytes):
                holders[message.message_id] = holder = answer.decode()
                log.info(
                    "message.deduplicated", message_id=message.message_id, by=holder
                )
            elif not answer:
                log.info("job.already_known", message_id=message.message_id)
        return holders

    def prepare(self, message: Message[Any] | MessageProxy) -> Message[Any]:
        """Return *message* as it will be stored: under its own id, as of now.

        Raises:
            InvalidRequestError: An option is not what it is to be, or the name of the
                queue is one of the broker's own keys.
        """
        return self._prepared([message])[0]

    def _prepared(
        self, sent: Iterable[Message[Any] | MessageProxy]
    ) -> list[Message[Any]]:
        made = messages.prepared(sent, self.actors)
        for queue_name in {message.queue_name for message in made} - self.queues:
            options.check_queue(queue_name)
        return made

    # Ending

    def settle(self, message: Delivered, *, and_take: bool = False) -> list[Any]:
        """End this process's delivery of *message* as was noted.

        Returns:
            What the script returns of the next message, which it takes if told to.
        """
        run = message.delivery
        arguments: list[Any] = [run.outcome, run.queue, run.owner, message.redis_id]
        arguments += [clock.now_ms(), MAX_EVENTS]
        arguments += [int(and_take), self.lease.worker, self.name]
        arguments.append(self._counted(message, run))
        if run.tracked or run.outcome != "ack" or messages.key_of(message):
            arguments += self._end_of(message, run)
        taken: list[Any]
        done, *taken = self.run.together("settle", *arguments)
        if not done:
            log.warning("job.end_not_counted", message_id=message.message_id)
        return taken

    def _counted(self, message: Delivered, run: Delivery) -> str:
        """Return what the script counts."""
        if run.ended is DONE:
            return f"processed:success:{message.actor_name}"
        actor = message.actor_name if message.actor_name in self.actors else OTHER
        return counted_as(run, actor)

    def _end_of(self, message: Delivered, run: Delivery) -> list[Any]:
        """Return what follows the end: another run, a dead letter, the record."""
        following: list[Any] = ["", ""]
        if run.successor:
            now = clock.now_ms()
            run.successor.options["eta"] = now if run.due is None else run.due
            following = [run.successor.message_id, messages.encode(run.successor)]
        following += [messages.key_of(message), "" if run.due is None else run.due]
        following.append(json.dumps(run.why) if run.why else "")
        if run.tracked:
            ttl_s = 0 if run.outcome == "again" else self.settings.job_ttl_s
            body = "\n".join((json.dumps(run.event_body), *self._meaning(message, run)))
            following += [message.message_id, ttl_s, run.event, body]
            following += [part for item in run.job_fields.items() for part in item]
        return following

    def _meaning(self, message: Delivered, run: Delivery) -> tuple[str, ...]:
        """Return the event that a job's end is in its domain, if it is one."""
        actor = self.actors.get(message.actor_name)
        mean = actor.options.get("ends_as") if actor else None
        if mean is None or run.event not in {"job.succeeded", "job.dead"}:
            return ()
        result = json.loads(run.job_fields.get("result", "null"))
        try:
            told = mean(message.kwargs, result=result, error=run.why.get("error"))
        except Exception:
            # the job has ended, whatever there is to say of it
            log.exception("event.not_told", actor=message.actor_name)
            return ()
        return (told[0], json.dumps(told[1])) if told else ()

    def bury(self, queue_name: str, redis_id: str) -> None:
        """Make a dead letter of what this process has fetched and cannot even read."""
        error = jobs.describe_error(UNREADABLE)
        why = json.dumps(
            {"reason": error["code"], "at": clock.now_ms(), "error": error}
        )
        self.run(
            *("settle", "dead", queue_name, self.lease.worker, redis_id),
            *(clock.now_ms(), MAX_EVENTS, 0, "", ""),
            *(counted_as(UNREAD, OTHER), "", "", "", "", why),
        )

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

    def hear_cancels(self) -> None:
        """Note which of the jobs that run here were cancelled."""
        running = [m for m in list(self.lease.held.values()) if m.delivery.tracked]
        if running:
            ids = [message.message_id for message in running]
            key = f"{self.namespace}:__cancels__"
            found: Any = self.client.hmget(key, ids)
            for message, keep in zip(running, found, strict=True):
                message.delivery.cancelled = keep is not None

    # What dramatiq's own methods ask for

    def do_qsize(self, queue_name: str) -> int:
        """Return how many messages wait, run or are scheduled; for tests."""
        pipeline = self.client.pipeline()
        pipeline.hlen(f"{self.namespace}:{queue_name}.msgs")
        pipeline.hlen(f"{self.namespace}:{queue_name}.DQ.msgs")
        pipeline.hvals(f"{self.namespace}:__schedule__.msgs")
        here, delayed, scheduled = pipeline.execute()
        queues = [q_name(Message.decode(data).queue_name) for data in scheduled]
        return int(here) + int(delayed) + queues.count(queue_name)

    def close(self) -> None:
        """Close the connections to Redis."""
        close(self.client)


def counted_as(run: Delivery, actor: str) -> str:
    """Return what the script that ends a run counts: how, and if need be why."""
    how, why = run.ended
    kind = "dead" if run.outcome == "dead" else "retried"
    return f"processed:{how}:{actor}" + (f"\n{kind}:{why}:{actor}" if why else "")


def _following(message: Message[Any], holders: dict[str, str]) -> Message[Any]:
    """Return *message*; if another job holds its key, with that job's id."""
    holder = holders.get(message.message_id)
    if holder is None:
        return message
    copy: Message[Any] = message.copy(
        message_id=holder, options={"redis_message_id": holder}
    )
    return copy


def _middleware(settings: CoreSettings) -> list[Middleware]:
    """Return dramatiq's default stack with our parts in place of `Retries`.

    Hooks that run after an attempt are called in reverse: `Retries` decides first,
    and `JobsMiddleware` records what was decided.  `TimeLimit` is nearest to the actor:
    it interrupts nothing else.
    """
    return [
        JobsMiddleware(),
        AgeLimit(),
        ShutdownNotifications(),
        Callbacks(),
        Pipelines(),
        Retries(max_retries=settings.max_retries, min_backoff=settings.backoff_delay),
        TimeLimit(),
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
