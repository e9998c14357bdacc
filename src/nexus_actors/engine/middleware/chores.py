"""What a worker process does now and then, beside its jobs."""

from __future__ import annotations

from importlib import import_module

import dramatiq
from dramatiq import Middleware, Worker

from nexus_actors.core.errors import BrokerUnavailable
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs
from nexus_actors.engine.broker import RedisBroker
from nexus_actors.engine.recovery import Loop


log = get_logger(__name__)


class Chore(Middleware):
    """Does a chore of a domain as long as a worker runs, some times in a lease.

    Args:
        path: ``module:function`` of what does it.  It takes the settings, and what
            tells by a job's id whether that job is done with.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._loop: Loop | None = None

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin."""
        module, _, name = self.path.partition(":")
        chore, settings = getattr(import_module(module), name), CoreSettings.load()

        def tick() -> float:
            try:
                chore(settings, lambda job_id: is_done_with(job_id, broker))
            except BrokerUnavailable as error:
                log.warning("broker.unreachable", part=name, error=error.message)
            return settings.heartbeat_timeout_s / 4

        self._loop = Loop(name, tick)
        self._loop.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """End after the step that it is at."""
        if self._loop:
            self._loop.stop()


def is_done_with(job_id: str, broker: dramatiq.Broker) -> bool:
    """Tell whether a job has ended and will not be run again.

    A dead one may be sent again, unless it has killed its workers.  Of a job without a
    record, and on a broker that keeps none, nothing is known.
    """
    record = (
        jobs.get(job_id, broker=broker) if isinstance(broker, RedisBroker) else None
    )
    if record is None:
        return False
    code = (record.error or {}).get("code")
    return record.is_final and (record.state != "dead" or code == "poison")
