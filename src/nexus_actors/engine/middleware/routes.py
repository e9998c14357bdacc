"""Routes: what happens in one domain leads to something in another, by events alone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import dramatiq
from dramatiq import Middleware, Worker

from nexus_actors.core.errors import BrokerUnavailable, NexusError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import events
from nexus_actors.engine.broker import RedisBroker
from nexus_actors.engine.recovery import Loop


log = get_logger(__name__)

#: The name under which all workers share the events.
GROUP: Final = "nexus-routes"

#: How long to wait after what may pass, in seconds.
REST_S: Final = 1.0

#: How often in a row a process takes an event that a host's function fails for: those
#: after it wait meanwhile.
MOST_TRIES: Final = 5

#: Does what follows from an event; done again for the same event, it changes nothing.
Take = Callable[[events.Event], None]


class RoutesMiddleware(Middleware):
    """Lets one thread of each worker process take the events of the domains.

    Every event is taken at least once, by whichever process hears it: if that dies
    before it has acknowledged it, another one takes it after
    ``NEXUS_HEARTBEAT_TIMEOUT_S``.  Where Redis has a place for the workers already,
    they also hear what happened while none ran.
    """

    def __init__(self, routes: Mapping[str, Take]) -> None:
        self._routes = routes
        self._tries: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._loop: Loop | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin to hear."""
        if not isinstance(broker, RedisBroker):
            return
        self._stopping.clear()
        self._loop = Loop("routes", lambda: self._hear(broker))
        self._loop.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Hear no more."""
        self._stopping.set()
        if self._loop:
            self._loop.stop()

    def _hear(self, broker: RedisBroker) -> float:
        """Take events until the worker stops, or something has to be waited for."""
        try:
            for event in events.listen(
                group=GROUP,
                domains=True,
                wait=lambda: not self._stopping.is_set(),
                take_over_s=broker.settings.heartbeat_timeout_s,
                broker=broker,
            ):
                self.take(event)
                if self._stopping.is_set():
                    break
        except BrokerUnavailable as error:
            log.warning("routes.waiting", reason=error.message)
        return REST_S

    def take(self, event: events.Event) -> None:
        """Do what follows from *event*, or raise what may pass."""
        if event.name == events.TRIMMED:
            log.error("routes.events_missed", count=event.body["count"])
            return
        take = self._routes.get(event.name)
        if take is None:
            return
        try:
            take(event)
        except BrokerUnavailable:
            raise
        except Exception as error:
            self._tries[event.id] += 1
            if _may_pass(error) and self._tries[event.id] < MOST_TRIES:
                raise
            log.exception("routes.failed", event_name=event.name, event_id=event.id)
        del self._tries[event.id]


def _may_pass(error: Exception) -> bool:
    """Return whether an event may do better the next time."""
    return error.retryable if isinstance(error, NexusError) else True
