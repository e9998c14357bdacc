"""One delivery of a message to this process: what it holds, and how it ends."""

from __future__ import annotations

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
        successor: The message of the next run, where the outcome is ``again``.
        job_fields: What changes in the job's record at the end.
        event: What is told at the end, with *event_body*; nothing if empty.
    """

    slot: Slot | None = None
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
