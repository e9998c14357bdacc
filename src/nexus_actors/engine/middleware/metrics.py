"""Measures the runs of a worker process, and records what is told in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq import MessageProxy, Middleware, Worker

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import metrics
from nexus_actors.engine.instruments import Runs
from nexus_actors.engine.protocol import delivery_of


if TYPE_CHECKING:
    from nexus_actors.engine.recorder import Recorder


log = get_logger(__name__)


class MetricsMiddleware(Middleware):
    """Must be before all others, whose time counts, and who have decided by its end.

    Args:
        group: Returns what the processes have in common that are answered for together;
            see `metrics.prepare`.
    """

    def __init__(self, group: Callable[[], str]) -> None:
        self._group = group
        self._runs = Runs()
        self._recorder: Recorder | None = None
        self._stopping_since = 0.0

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin to record."""
        try:
            folder = metrics.prepare(self._group())
            from nexus_actors.engine.recorder import Recorder

            self._recorder = Recorder(folder, self._runs)
        except (ConfigurationError, OSError) as error:  # jobs are worth more
            log.warning("metrics.unavailable", error=str(error))
            return
        self._recorder.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Note when the worker was asked to stop."""
        self._stopping_since = time.monotonic()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Record how long that took, and no more."""
        from nexus_actors.engine.recorder import SHUTDOWN

        if self._recorder:
            SHUTDOWN.observe(time.monotonic() - self._stopping_since)
            self._recorder.stop()

    def before_process_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        message: MessageProxy,
    ) -> None:
        """Note when the run begins."""
        if self._recorder:
            self._runs.begin(message.queue_name, message.actor_name)

    def after_process_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002 - dramatiq's signature
        exception: BaseException | None = None,
    ) -> None:
        """Note how long it took."""
        delivery = delivery_of(message)
        ready_at = delivery.ready_at or message.message_timestamp
        is_done = exception is None and delivery.outcome == "ack"
        self._runs.end(ready_at, is_done=is_done)

    def after_skip_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        message: MessageProxy,  # noqa: ARG002 - dramatiq's signature
    ) -> None:
        """Note that there was no run."""
        self._runs.drop()
