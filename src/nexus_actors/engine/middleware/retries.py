"""Retries that read our error tree."""

from __future__ import annotations

import traceback
from typing import Any

import dramatiq
from dramatiq import MessageProxy
from dramatiq.common import compute_backoff
from dramatiq.errors import RateLimitExceeded, Retry
from dramatiq.middleware import Retries as StockRetries
from dramatiq.middleware import Shutdown, TimeLimitExceeded
from dramatiq.middleware.retries import DEFAULT_MAX_BACKOFF

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    Cancelled,
    NexusError,
    PermanentError,
    Postponed,
    RemoteUnavailableError,
    TimeLimitError,
    UnknownOutcomeError,
)
from nexus_actors.engine import jobs
from nexus_actors.engine.protocol import OwnBroker, delivery_of


def cause_of(error: BaseException) -> BaseException:
    """Return the error of ours that *error* stands for, else *error* itself."""
    job = jobs.running()
    if job and job.is_cancelled:  # whatever it has made of being asked to end
        return Cancelled("the job was cancelled")
    if isinstance(error, TimeLimitExceeded) and job:
        return job.too_late()
    if isinstance(error, Retry) and isinstance(error.__cause__, NexusError):
        return error.__cause__
    return error


def outcome_of(cause: BaseException) -> str:
    """Return how a run that ended with *cause* is counted."""
    if isinstance(cause, TimeLimitError):
        return "timeout"
    is_shutdown = isinstance(cause, Postponed) and cause.code == "shutdown"
    if is_shutdown or isinstance(cause, Shutdown):
        return "shutdown"
    return "postponed" if isinstance(cause, Postponed) else "failure"


def family_of(cause: BaseException) -> str:
    """Return how a retry because of *cause* is counted."""
    if isinstance(cause, RateLimitExceeded):
        return "rate_limit"
    if isinstance(cause, RemoteUnavailableError) and cause.details.get("status"):
        return "provider_5xx"
    if isinstance(cause, ConnectionError | TimeoutError | RemoteUnavailableError):
        return "network"
    return "validation" if isinstance(cause, ValueError | TypeError) else "other"


def wait_ms(postponed: Postponed) -> int:
    """Return how long a postponed job has to wait from now on, in milliseconds."""
    wait = postponed.until - clock.now()
    return max(0, round(wait.total_seconds() * 1000))


class Retries(StockRetries):
    """Dramatiq's retries and options, but what is permanent ends at once.

    Waiting costs no attempt.  The next run is stored in the step that ends this one,
    so that a crash in between neither loses nor doubles the message.
    """

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002 - dramatiq's signature
        exception: BaseException | None = None,
    ) -> None:
        """Decide what follows a failed attempt."""
        if exception is None or not isinstance(broker, OwnBroker):
            return
        options = broker.get_actor(message.actor_name).options | message.options
        cause = cause_of(exception)
        if isinstance(cause, Cancelled):
            return
        delivery = delivery_of(message)
        if isinstance(cause, Postponed):
            delivery.ended = (outcome_of(cause), "")
            self._again(broker, message, wait_ms(cause))
        elif self._is_permanent(cause, exception, options):
            delivery.ended = (outcome_of(cause), "rejected")
            message.fail()
        else:
            self._retry(broker, message, options, exception)
            why = "retries_exhausted" if message.failed else family_of(cause)
            delivery.ended = (outcome_of(cause), why)

    def _is_permanent(
        self, cause: BaseException, error: BaseException, options: dict[str, Any]
    ) -> bool:
        throws = options.get("throws") or ()
        return isinstance(cause, PermanentError | UnknownOutcomeError) or (
            bool(throws) and (isinstance(cause, throws) or isinstance(error, throws))
        )

    def _retry(
        self,
        broker: OwnBroker,
        message: MessageProxy,
        options: dict[str, Any],
        error: BaseException,
    ) -> None:
        retries = options.get("retries", 0)
        if not self._may_retry(retries, options, error):
            message.fail()
            self._tell_exhausted(broker, message, options, retries)
            return
        message.options["retries"] = retries + 1
        message.options["requeue_timestamp"] = clock.now_ms()
        message.options["traceback"] = "".join(
            traceback.format_exception(error, limit=30)
        )
        delay = getattr(error, "delay", None)
        if delay is None:
            delay = self._backoff(retries, options)
        self._again(broker, message, delay)

    def _may_retry(
        self, retries: int, options: dict[str, Any], error: BaseException
    ) -> bool:
        retry_when = options.get("retry_when", self.retry_when)
        if retry_when is not None:
            return bool(retry_when(retries, error))
        max_retries = options.get("max_retries", self.max_retries)
        return max_retries is None or retries < max_retries

    def _backoff(self, retries: int, options: dict[str, Any]) -> int:
        longest = min(options.get("max_backoff", self.max_backoff), DEFAULT_MAX_BACKOFF)
        factor = options.get("min_backoff", self.min_backoff)
        _, delay = compute_backoff(retries, factor=factor, max_backoff=longest)
        return int(delay)

    def _tell_exhausted(
        self,
        broker: OwnBroker,
        message: MessageProxy,
        options: dict[str, Any],
        retries: int,
    ) -> None:
        name = options.get("on_retry_exhausted")
        if name:
            limits = {
                "retries": retries,
                "max_retries": options.get("max_retries", self.max_retries),
            }
            broker.get_actor(name).send(message.asdict(), limits)

    def _again(
        self, broker: OwnBroker, message: MessageProxy, delay: int | None
    ) -> None:
        delivery = delivery_of(message)
        delivery.outcome = "again"
        delivery.successor = broker.prepare(message)
        delivery.due = clock.now_ms() + delay if delay else None
