"""The consumer: takes only what may run, and ends each delivery in one step."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.common import compute_backoff
from dramatiq.errors import ConnectionClosed

from .middleware.jobs import note_death


if TYPE_CHECKING:
    from .broker import RedisBroker

#: How long a consumer without a slot waits before it looks again, in seconds.
SLOT_WAIT_S: Final = 0.2


class Consumer(_RedisConsumer):
    """Fetches the messages of one queue for one worker process."""

    broker: RedisBroker

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or ``None`` if there is none for now."""
        if self.broker.draining.is_set():
            time.sleep(SLOT_WAIT_S)
            return None
        try:
            if self.queue_name in self.broker.slots:
                return self._next_with_slot()
            message: MessageProxy | None = super().__next__()  # type: ignore[no-untyped-call]
        except redis.TimeoutError as error:
            raise ConnectionClosed(error) from None
        return message

    def _next_with_slot(self) -> MessageProxy | None:
        if len(self.queued_message_ids) >= self.broker.worker_threads:
            time.sleep(SLOT_WAIT_S)
            return None
        slot = self.broker.slots[self.queue_name].take()
        if slot is None:
            time.sleep(SLOT_WAIT_S)
            return None
        message = None
        try:
            message = self._fetch_one()
        finally:
            if message is None:
                slot.release()
        if message is None:
            self.misses, wait_ms = compute_backoff(
                self.misses, max_backoff=self.timeout
            )
            time.sleep(wait_ms / 1000)
            return None
        self.misses = 0
        self.broker.delivery_of(message).slot = slot
        self.queued_message_ids.add(message.message_id)
        return message

    def _fetch_one(self) -> MessageProxy | None:
        try:
            found = self.broker.do_fetch(self.queue_name, 1)
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None
        return MessageProxy(Message.decode(found[0])) if found and found[0] else None

    def ack(self, message: MessageProxy) -> None:
        """End the delivery as its run says."""
        self._settle(message)

    def nack(self, message: MessageProxy) -> None:
        """End the delivery in the dead letters."""
        delivery = self.broker.delivery_of(message)
        delivery.outcome = "dead"
        error = message._exception  # noqa: SLF001 - dramatiq has no other way
        if not delivery.job_fields and error:
            note_death(delivery, message, error)
        self._settle(message)

    def _settle(self, message: MessageProxy) -> None:
        self.broker.delivery_of(message).release()
        self.queued_message_ids.discard(message.message_id)
        try:
            self.broker.settle(self.queue_name, message)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages that were fetched but not started to their queue."""
        unstarted = list(messages)
        for message in unstarted:
            self.broker.delivery_of(message).release()
            self.broker.deliveries.pop(message.options["redis_message_id"], None)
        super().requeue(unstarted)  # type: ignore[no-untyped-call]
