"""What middleware needs of our broker: breaks the circle between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import dramatiq
from dramatiq import Message, MessageProxy, Worker

from .delivery import Delivered, Delivery


class OwnBroker(dramatiq.Broker, ABC):
    """A broker that keeps job records and ends deliveries in one step."""

    @abstractmethod
    def prepare(self, message: Message[Any] | MessageProxy) -> Message[Any]:
        """Return *message* as it will be stored: under its own id, as of now."""

    @abstractmethod
    def tell(
        self,
        message: Message[Any] | MessageProxy,
        fields: dict[str, str],
        event: str,
        body: dict[str, Any],
    ) -> None:
        """Write *fields* to the record of a running job and publish *event*."""

    @abstractmethod
    def resume(self, worker: Worker) -> None:
        """Fetch for the threads of *worker* from now on."""

    @abstractmethod
    def drain(self) -> None:
        """Fetch nothing more: this process shuts down."""

    @abstractmethod
    def leave(self) -> None:
        """End this process's lease: it runs nothing any more."""


def delivery_of(message: MessageProxy) -> Delivery:
    """Return what this process holds for *message*; on a foreign broker, nothing."""
    return message.delivery if isinstance(message, Delivered) else Delivery()
