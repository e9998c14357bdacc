"""One delivery of a message to this process: what it holds, and how it ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from dramatiq import Message

from .slots import Slot


#: Done with; kept for a person; to be run again.
Outcome = Literal["ack", "dead", "again"]


@dataclass(slots=True)
class Delivery:
    """Filled by middleware while the job runs, and carried out by the consumer.

    Attributes:
        place: Counts the worker threads of this process; one is taken.
        delayed: Whether it waits here for its due time rather than for its end.
        successor: The message of the next run, where the outcome is ``again``.
        job_fields: What changes in the job's record at the end.
        event: What is told at the end, with *event_body*; nothing if empty.
    """

    slot: Slot | None = None
    place: threading.Semaphore | None = None
    delayed: bool = False
    outcome: Outcome = "ack"
    successor: Message[Any] | None = None
    job_fields: dict[str, str] = field(default_factory=dict)
    event: str = ""
    event_body: dict[str, Any] = field(default_factory=dict)

    def release(self) -> None:
        """Give back what the delivery holds."""
        if self.slot:
            self.slot.release()
            self.slot = None
        if self.place:
            self.place.release()
            self.place = None
