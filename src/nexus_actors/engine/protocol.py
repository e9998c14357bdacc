"""What middleware needs of our broker: breaks the circle between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import dramatiq
from dramatiq import Message, MessageProxy

from .delivery import Delivery


class OwnBroker(dramatiq.Broker, ABC):
    """A broker that keeps job records and ends deliveries in one step."""

    @abstractmethod
    def delivery_of(self, message: MessageProxy) -> Delivery:
        """Return what this process holds for *message*, made on first use."""

    @abstractmethod
    def prepare(
        self, message: Message[Any] | MessageProxy, *, delay: int | None
    ) -> Message[Any]:
        """Return *message* as it will be stored: own id, queue and due time."""

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
    def limit(self, queue_name: str) -> None:
        """Run only so many of this queue's jobs at once on this host."""

    @abstractmethod
    def resume(self, threads: int) -> None:
        """Fetch for *threads* worker threads from now on."""

    @abstractmethod
    def drain(self) -> None:
        """Fetch nothing more: this process shuts down."""
