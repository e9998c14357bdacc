"""Records what is told in a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import dramatiq
from dramatiq import Middleware, Worker

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import metrics

from .time_limit import TimeLimit


if TYPE_CHECKING:
    from nexus_actors.engine.recorder import Recorder


log = get_logger(__name__)


class MetricsMiddleware(Middleware):
    """Records as long as the worker works; `JobsMiddleware` measures the runs.

    Args:
        group: Returns what the processes have in common that are answered for together;
            see `metrics.prepare`.
    """

    def __init__(self, group: Callable[[], str]) -> None:
        self._group = group
        self._recorder: Recorder | None = None
        self._stopping_since = 0.0

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin to record."""
        try:
            folder = metrics.prepare(self._group())
            from nexus_actors.engine.recorder import Recorder

            self._recorder = Recorder(folder, partial(_running, broker))
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


def _running(broker: dramatiq.Broker) -> list[tuple[str, str]]:
    """Return the queue and the actor of each run under way; only our broker knows."""
    limits = [item for item in broker.middleware if isinstance(item, TimeLimit)]
    return [run for limit in limits for run in limit.running()]
