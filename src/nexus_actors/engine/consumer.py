"""The consumer: takes only what may run, and ends each delivery in one step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.common import compute_backoff, dq_name
from dramatiq.errors import ActorNotFound, ConnectionClosed, DecodeError

from nexus_actors.core.errors import ConfigurationError

from .delivery import Delivery
from .middleware.jobs import note_death


if TYPE_CHECKING:
    from .broker import RedisBroker

#: How long a consumer waits for a thread or a slot before it looks again, in seconds.
WAIT_S: Final = 0.2


class Consumer(_RedisConsumer):
    """Fetches the messages of one queue for one worker process.

    What is fetched is as good as started: the rest waits in Redis, where an idle
    process can take it.  Only delayed messages wait here, as dramatiq does it.
    """

    broker: RedisBroker

    def __init__(
        self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int
    ) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        with _closed_on_error():
            broker.reclaim(queue_name)

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or ``None`` if there is none for now."""
        with _closed_on_error():
            self.broker.beat()
            if self.broker.draining.is_set():
                time.sleep(WAIT_S)
                return None
            if self.queue_name == dq_name(self.queue_name):
                return self._next_delayed()
            return self._next_to_run()

    def _next_delayed(self) -> MessageProxy | None:
        message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        if message is not None:
            check(message, self.queue_name)
            self.broker.delivery_of(message).delayed = True
        return message

    def _next_to_run(self) -> MessageProxy | None:
        place = self.broker.places
        if not place.acquire(timeout=WAIT_S):
            return None
        delivery = Delivery(place=place)
        message, wait_s = None, WAIT_S
        try:
            if self._takes_slot(delivery):
                message = self._fetch()
                wait_s = self._backoff(found=message is not None)
        finally:
            if message is None:
                delivery.release()
        if message is None:
            time.sleep(wait_s)
        else:
            self.broker.deliveries[message.options["redis_message_id"]] = delivery
        return message

    def _takes_slot(self, delivery: Delivery) -> bool:
        slots = self.broker.slots.get(self.queue_name)
        if slots is None:
            return True
        delivery.slot = slots.take()
        return delivery.slot is not None

    def _fetch(self) -> MessageProxy | None:
        found = self.broker.do_fetch(self.queue_name, 1)
        if not found:
            return None
        try:
            return decode(found[0] or b"", self.queue_name)
        except DecodeError:
            self.broker.reclaim(self.queue_name)
            return None

    def _backoff(self, *, found: bool) -> float:
        if found:
            self.misses = 0
            return 0
        self.misses, wait_ms = compute_backoff(self.misses, max_backoff=self.timeout)
        return wait_ms / 1000

    def ack(self, message: MessageProxy) -> None:
        """End the delivery as its run says."""
        self._settle(message)

    def nack(self, message: MessageProxy) -> None:
        """End the delivery in the dead letters."""
        delivery = self.broker.delivery_of(message)
        delivery.outcome = "dead"
        error = message._exception  # noqa: SLF001 - dramatiq has no other way
        if isinstance(error, ActorNotFound):
            error = ConfigurationError(
                f"this worker has no actor {message.actor_name!r}; "
                "workers are upgraded before those who send",
                code="unknown_actor",
            )
        if not delivery.job_fields and error:
            note_death(delivery, message, error)
        self._settle(message)

    def _settle(self, message: MessageProxy) -> None:
        self.broker.delivery_of(message).release()
        self.queued_message_ids.discard(message.message_id)
        with _closed_on_error():
            self.broker.settle(self.queue_name, message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages that were fetched but not started to their queue."""
        unstarted = list(messages)
        for message in unstarted:
            self.broker.delivery_of(message).release()
            self.broker.deliveries.pop(message.options["redis_message_id"], None)
        with _closed_on_error():
            super().requeue(unstarted)  # type: ignore[no-untyped-call]


@contextmanager
def _closed_on_error() -> Iterator[None]:
    """Raise the one error that makes dramatiq wait for Redis and try again."""
    try:
        yield
    except redis.RedisError as error:
        raise ConnectionClosed(error) from None


def decode(data: bytes, queue_name: str) -> MessageProxy:
    """Return the message that *data* of this queue stands for.

    Raises:
        DecodeError: It is none that a worker can run, or even acknowledge.
    """
    message = MessageProxy(Message.decode(data))
    check(message, queue_name)
    return message


def check(message: MessageProxy, queue_name: str) -> None:
    """Refuse what would only fail later, in the middle of dramatiq's threads.

    Raises:
        DecodeError: A field is not of the kind that it must be.
    """
    fields = message.asdict()
    kinds = {"actor_name": str, "message_id": str, "kwargs": dict, "options": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(fields[name], kind)]
    if not wrong and not isinstance(message.options.get("redis_message_id"), str):
        wrong = ["redis_message_id"]
    if message.queue_name != queue_name:
        wrong.append("queue_name")
    if wrong:
        text = f"wrong in the message: {', '.join(wrong)}"
        raise DecodeError(text, message.encode(), None)
