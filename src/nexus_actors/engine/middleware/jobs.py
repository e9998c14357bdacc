"""Keeps the record of every job, and hands the running one to its actor."""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import dramatiq
import redis
import structlog
from dramatiq import MessageProxy, Middleware, Worker
from dramatiq.common import q_name
from dramatiq.middleware import TimeLimit
from dramatiq.worker import has_results_middleware

from nexus_actors.core import clock, releases
from nexus_actors.core.errors import ConfigurationError, Postponed, RejectedError
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import jobs
from nexus_actors.engine.delivery import DONE, Delivery
from nexus_actors.engine.instruments import recording, runs
from nexus_actors.engine.protocol import OwnBroker, delivery_of

from .retries import cause_of


log = get_logger(__name__)
_stdlib_log = logging.getLogger(__name__)

#: What dramatiq's `AgeLimit` says of a message that it refuses.
TOO_OLD: Final = "Message age limit exceeded"

#: How much of a traceback is kept with a dead letter.
MOST_CAUSES: Final = 5
MOST_FRAMES: Final = 15


#: What to do with a worker that has nothing to run.
CURE: Final = (
    "call nexus_actors.setup() at the end of the module that dramatiq loads, or start "
    "`dramatiq nexus_actors.worker`"
)


class JobsMiddleware(Middleware):
    """On our broker keeps records and events; on any other only runs the job.

    Must be the first in the list: hooks after an attempt run in reverse, and by then
    `Retries` has decided.
    """

    @property
    def actor_options(self) -> set[str]:
        """``slots``: limit how many of the actor's queue run at once on a host.

        ``ends_as``: a function that returns the domain's event, a name and a body, of
        the arguments of a job that has ended, its *result* or its *error*.
        """
        return {"ends_as", "slots"}

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Begin to fetch for the worker's threads."""
        jobs.stopping.clear()
        if not isinstance(broker, OwnBroker):
            return
        try:
            broker.resume(worker)
        except ConfigurationError as error:  # dramatiq would log it and go on
            sys.exit(f"error: {error.message}")

    def after_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Say so where there is nothing to run: the worker would wait for ever."""
        if not broker.actors:
            log.error("worker.has_no_actors", cure=CURE)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Ask the running jobs to stop, and fetch no more."""
        jobs.stopping.set()
        if isinstance(broker, OwnBroker):
            broker.drain()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Leave: what still runs after dramatiq's patience is another worker's."""
        if isinstance(broker, OwnBroker):
            broker.leave()

    def before_process_message(
        self, broker: dramatiq.Broker, message: MessageProxy
    ) -> None:
        """Make the job the one that this thread runs; that it started is told."""
        structlog.contextvars.bind_contextvars(**_about(message))
        job = jobs.Job(
            id=message.message_id,
            actor=message.actor_name,
            hand_on=_is_result_wanted(broker, message),
            release=message.options.get(releases.NAME),
            limit_s=_limit_s(broker, message),
        )
        if isinstance(broker, OwnBroker):
            job.delivery = delivery_of(message)
            job.publish = lambda progress: _publish(broker, message, progress)
        else:  # on our broker, `TimeLimit` tells it of jobs that last
            log.info("job.started")
        jobs.begin(job)

    def after_process_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Note how the attempt ended; the consumer writes it with the settlement."""
        job = jobs.running()
        delivery = delivery_of(message)
        if exception is None and delivery.outcome == "again":
            _note_again(delivery, message)
        elif exception is None:
            kept = job.result if job and job.result is not None else result
            _note_success(delivery, message, kept, job.age_s if job else 0.0)
        elif job and job.is_cancelled:
            _note_cancelled(delivery, message)
        elif message.failed:
            note_death(delivery, message, exception)
        else:
            note_retry(delivery, message, exception)
        if job and job.told:
            delivery.job_fields["progress"] = json.dumps(job.told.to_json())
        if job and recording.is_set():
            _note_run(job, delivery, message, exception is None)
        _forget()

    def after_skip_message(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        message: MessageProxy,
    ) -> None:
        """Note that other middleware has refused the message before it ran."""
        delivery = delivery_of(message)
        if message.failed:
            reason = str(message._exception or "skipped")  # noqa: SLF001 - no other way
            is_old = reason == TOO_OLD
            delivery.ended = ("skipped", "expired" if is_old else "rejected")
            note_death(delivery, message, RejectedError(reason, code="skipped"))
        else:
            _note_cancelled(delivery, message)
            delivery.ended = ("skipped", "")
        _forget()


def _note_run(
    job: jobs.Job, delivery: Delivery, message: MessageProxy, returned: bool
) -> None:
    """Note how long the run took, for the metrics: of every job, so in little time."""
    ready_at = delivery.ready_at or message.message_timestamp
    is_done = returned and delivery.ended is DONE
    run = (message.queue_name, job.actor, ready_at, job.began, monotonic(), is_done)
    runs.append(run)


def _forget() -> None:
    jobs.begin(None)
    structlog.contextvars.clear_contextvars()


def _is_result_wanted(broker: dramatiq.Broker, message: MessageProxy) -> bool:
    if has_results_middleware(broker):
        return True
    actor = broker.actors.get(message.actor_name)
    options = (message.options, actor.options if actor else {})
    takers = ("pipe_target", "on_success")
    return any(chosen.get(name) for name in takers for chosen in options)


def _limit_s(broker: dramatiq.Broker, message: MessageProxy) -> float:
    """Return how long the attempt may take, as dramatiq's `TimeLimit` decides it."""
    for item in broker.middleware:
        if isinstance(item, TimeLimit):
            actor = broker.actors.get(message.actor_name)
            usual = (actor.options if actor else {}).get("time_limit", item.time_limit)
            wanted = message.options.get("time_limit")
            return (
                wanted if wanted and isinstance(wanted, int | float) else usual
            ) / 1000
    return math.inf


def _publish(broker: OwnBroker, message: MessageProxy, progress: jobs.Progress) -> None:
    delivery = delivery_of(message)
    if delivery.lost or not delivery.tracked:
        return
    value = progress.to_json()
    fields = {"progress": json.dumps(value)}
    with suppress(redis.RedisError):  # the next progress will tell
        broker.tell(message, fields, "job.progress", _body(message, **value))


def log_start(message: MessageProxy) -> None:
    """Log that the job of *message* has begun, from another thread than its own."""
    _log(delivery_of(message), "job.started", **_about(message))


def _about(message: MessageProxy) -> dict[str, Any]:
    """Return what stands on each line of the log that a job writes."""
    return {
        "message_id": message.message_id,
        "actor": message.actor_name,
        "queue": q_name(message.queue_name),
        "attempt": message.options.get("retries", 0) + 1,
    }


def _log(delivery: Delivery, event: str, **more: Any) -> None:
    if delivery.tracked:
        log.info(event, **more)
    elif _stdlib_log.isEnabledFor(logging.DEBUG):
        log.debug(event, **more)


def _note_success(
    delivery: Delivery, message: MessageProxy, result: Any, took_s: float
) -> None:
    if delivery.tracked:
        delivery.job_fields = {
            "state": "succeeded",
            "finished_at": str(clock.now_ms()),
            "result": encode_result(result),
            "error": "null",
        }
        delivery.event = "job.succeeded"
        delivery.event_body = _body(message)
    _log(delivery, "job.succeeded", duration_s=round(took_s, 3))


def _note_cancelled(delivery: Delivery, message: MessageProxy) -> None:
    now = str(clock.now_ms())
    delivery.ended = ("cancelled", "")
    delivery.job_fields = {"state": "cancelled", "finished_at": now}
    delivery.event = "job.cancelled"
    delivery.event_body = _body(message)
    log.info("job.cancelled")


def note_death(delivery: Delivery, message: MessageProxy, error: BaseException) -> None:
    """Note in *delivery* that the job has failed for good."""
    told = jobs.describe_error(cause_of(error))
    delivery.job_fields = {
        "state": "dead",
        "finished_at": str(clock.now_ms()),
        "error": json.dumps(told),
    }
    delivery.why = {"reason": told["code"], "at": clock.now_ms(), "error": told}
    if error.__traceback__:
        delivery.why["traceback"] = _trace(error)
    delivery.event = "job.dead"
    delivery.event_body = _body(message, error=told)
    log.error("job.dead", error=told)


def _trace(error: BaseException | None) -> str:
    """Return where *error* was raised, and what led to it, without their words."""
    parts: list[str] = []
    while error and len(parts) < MOST_CAUSES:
        frames = "".join(traceback.format_tb(error.__traceback__, limit=-MOST_FRAMES))
        parts.insert(0, f"{frames}{type(error).__name__}")
        hidden = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or hidden
    return "\n\nwhich led to:\n".join(parts)


def note_retry(delivery: Delivery, message: MessageProxy, error: BaseException) -> None:
    """Note in *delivery* that the job runs again, and why."""
    cause = cause_of(error)
    told = jobs.describe_error(cause)
    postponed = isinstance(cause, Postponed)
    waits = "scheduled" if postponed else "retrying"
    delivery.job_fields = {
        "state": "queued" if delivery.due is None else waits,
        "error": json.dumps(told),
    }
    delivery.event = "job.postponed" if postponed else "job.retrying"
    delivery.event_body = _body(message, error=told, due_ms=delivery.due)
    log.warning(delivery.event, error=told, due_ms=delivery.due)


def _note_again(delivery: Delivery, message: MessageProxy) -> None:
    """Note that the job has sent its own message: it runs again."""
    state = "queued" if delivery.due is None else "scheduled"
    delivery.ended = ("postponed", "")
    delivery.job_fields = {"state": state}
    delivery.event = "job.postponed"
    delivery.event_body = _body(message, error=None, due_ms=delivery.due)
    log.info("job.postponed", due_ms=delivery.due)


def _body(message: MessageProxy, **more: Any) -> dict[str, Any]:
    return {"actor": message.actor_name, "queue": q_name(message.queue_name), **more}


_strict = json.JSONEncoder(allow_nan=False)


def encode_result(result: Any) -> str:
    """Return *result* as JSON; what is none, as its text."""
    try:
        return _strict.encode(result)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(repr(result))
