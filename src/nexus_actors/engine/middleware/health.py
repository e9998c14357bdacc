"""Tells the health of a worker process from its boot to its end."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq
from dramatiq import Middleware, Worker

from nexus_actors.engine.health import Health
from nexus_actors.engine.rounds import WorkQueue


class HealthMiddleware(Middleware):
    """Serves ``/health``, ``/livez`` and ``/readyz`` for the worker, on any broker.

    Args:
        make: Makes what is told, once the process has booted; ``None`` is nothing.
    """

    def __init__(self, make: Callable[[], Health | None]) -> None:
        self._make = make
        self._health: Health | None = None

    def after_process_boot(self, broker: dramatiq.Broker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin to tell."""
        self._begin()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Watch the worker's threads, which are about to start."""
        self._begin()
        if self._health:
            worker.work_queue = WorkQueue()
            self._health.watch(broker, worker)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Tell that it takes jobs."""
        if self._health:
            self._health.turn("ready")

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Tell that it takes none any more."""
        if self._health:
            self._health.turn("draining")

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Tell nothing more."""
        if self._health:
            self._health.stop()
            self._health = None

    def _begin(self) -> None:
        """Begin to tell, unless that is done already.

        The hooks of a process that boots have been called when this is imported after
        the host's broker.
        """
        if self._health is None:
            self._health = self._make()
            if self._health:
                self._health.start()
