"""One delivery of a message to this process: what it holds, and how it ends."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from dramatiq import Message, MessageProxy

from .slots import Slot


#: Done with; kept for a person; to be run again.
Outcome = Literal["ack", "dead", "again"]


#: How a run is counted that nothing else is noted of.
DONE: Final = ("success", "")


@dataclass(slots=True, eq=False)
class Delivery:
    """Filled by middleware while the job runs, and carried out by the consumer.

    Attributes:
        owner: The worker that fetched it, as Redis knows it: a lease that was lost is
            followed by another name.
        queue: Where it was fetched from.
        number: How many deliveries without an end there are, with this one.
        lost: Another worker may run the message: what it comes to here is not told.
        tracked: Whether the job has a record and tells events.
        cancelled: Somebody does not want the job any more.
        places: How many of the worker threads, which *place* counts, are taken.
        since: When the thread was taken; monotonic, in seconds.
        successor: The message of the next run, where the outcome is ``again``.
        due: When that is to be, in ms since the epoch; ``None`` is now.
        job_fields: What changes in the job's record at the end.
        event: What is told at the end, with *event_body*; nothing if empty.
        why: Of a dead letter: the reason and the error.
        ready_at: Since when the message could run, in ms since the epoch.
        ended: How the run is counted: its outcome, and of a retry or a dead letter why.
    """

    owner: str = ""
    queue: str = ""
    number: int = 1
    lost: bool = False
    tracked: bool = True
    cancelled: bool = False
    slot: Slot | None = None
    place: threading.Semaphore | None = None
    places: int = 1
    since: float = field(default_factory=time.monotonic)
    outcome: Outcome = "ack"
    successor: Message[Any] | None = None
    due: int | None = None
    job_fields: dict[str, str] = field(default_factory=dict)
    event: str = ""
    event_body: dict[str, Any] = field(default_factory=dict)
    why: dict[str, Any] = field(default_factory=dict)
    ready_at: int = 0
    ended: tuple[str, str] = DONE

    def next(self) -> Delivery:
        """Return one that holds the same thread and slot, for another message."""
        return Delivery(slot=self.slot, place=self.place, since=self.since)

    def release(self) -> None:
        """Give back what the delivery holds; doing so twice is harmless."""
        if self.slot:
            self.slot.release()
            self.slot = None
        if self.place:
            self.place.release(self.places)
            self.place = None


class Delivered(MessageProxy):
    """A message that was delivered to this process."""

    def __init__(self, message: Message[Any], delivery: Delivery) -> None:
        super().__init__(message)
        self.delivery = delivery
        #: The id under which Redis keeps the message.
        self.redis_id: str = message.options["redis_message_id"]
        # middleware asks for these again and again, and a proxy's way is long
        self.message_id = message.message_id
        self.actor_name = message.actor_name
        self.queue_name = message.queue_name
        self.options = message.options
