"""Keeps the record of every job, and hands the running one to its actor."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import Any

import dramatiq
import redis
import structlog
from dramatiq import MessageProxy, Middleware, Worker
from dramatiq.common import q_name
from dramatiq.worker import has_results_middleware

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import jobs
from nexus_actors.engine.delivery import Delivery
from nexus_actors.engine.protocol import OwnBroker

from .retries import cause_of


log = get_logger(__name__)


class JobsMiddleware(Middleware):
    """On our broker keeps records and events; on any other only runs the job.

    Must be the first in the list: hooks after an attempt run in reverse, and by then
    `Retries` has decided.
    """

    @property
    def actor_options(self) -> set[str]:
        """``slots``: limit how many of the actor's queue run at once on a host."""
        return {"slots"}

    def after_declare_actor(
        self, broker: dramatiq.Broker, actor: dramatiq.Actor[..., Any]
    ) -> None:
        """Limit the actor's queue if the actor asks for it."""
        if isinstance(broker, OwnBroker) and actor.options.get("slots"):
            broker.limit(actor.queue_name)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Learn how many threads there are to feed."""
        jobs.stopping.clear()
        if isinstance(broker, OwnBroker):
            broker.resume(worker.worker_threads)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Ask the running jobs to stop, and fetch no more."""
        jobs.stopping.set()
        if isinstance(broker, OwnBroker):
            broker.drain()

    def before_process_message(
        self, broker: dramatiq.Broker, message: MessageProxy
    ) -> None:
        """Make the job the one that this thread runs, and tell that it started."""
        attempt = message.options.get("retries", 0) + 1
        structlog.contextvars.bind_contextvars(
            message_id=message.message_id,
            actor=message.actor_name,
            queue=q_name(message.queue_name),
            attempt=attempt,
        )
        job = jobs.Job(
            id=message.message_id,
            in_worker=True,
            hand_on=bool(message.options.get("pipe_target"))
            or has_results_middleware(broker),
        )
        if isinstance(broker, OwnBroker):
            job.publish = lambda progress: _publish(broker, message, progress)
            _tell_started(broker, message, attempt)
        jobs.begin(job)
        log.info("job.started")

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Note how the attempt ended; the consumer writes it with the settlement."""
        job = jobs.running()
        jobs.begin(None)
        delivery = (
            broker.delivery_of(message) if isinstance(broker, OwnBroker) else Delivery()
        )
        if exception is None:
            kept = job.result if job and job.result is not None else result
            _note_success(delivery, message, kept)
        elif message.failed:
            note_death(delivery, message, exception)
        else:
            _note_retry(delivery, message, exception)
        structlog.contextvars.clear_contextvars()

    def after_skip_message(
        self, broker: dramatiq.Broker, message: MessageProxy
    ) -> None:
        """Note that the message was refused before it ran."""
        self.after_process_message(
            broker, message, exception=dramatiq.middleware.SkipMessage("skipped")
        )


def _tell_started(broker: OwnBroker, message: MessageProxy, attempt: int) -> None:
    fields = {
        "state": "running",
        "actor": message.actor_name,
        "queue": q_name(message.queue_name),
        "attempt": str(attempt),
        "started_at": str(clock.now_ms()),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
    }
    with suppress(redis.RedisError):  # the job can run without its record
        broker.tell(message, fields, "job.started", _body(message, attempt=attempt))


def _publish(broker: OwnBroker, message: MessageProxy, progress: jobs.Progress) -> None:
    value = progress.to_json()
    fields = {"progress": json.dumps(value)}
    with suppress(redis.RedisError):  # the next progress will tell
        broker.tell(message, fields, "job.progress", _body(message, **value))


def _note_success(delivery: Delivery, message: MessageProxy, result: Any) -> None:
    delivery.job_fields = {
        "state": "succeeded",
        "finished_at": str(clock.now_ms()),
        "result": _encode(result),
        "error": "null",
    }
    delivery.event = "job.succeeded"
    delivery.event_body = _body(message)
    log.info("job.succeeded")


def note_death(delivery: Delivery, message: MessageProxy, error: BaseException) -> None:
    """Note in *delivery* that the job has failed for good."""
    told = jobs.describe_error(cause_of(error))
    delivery.job_fields = {
        "state": "dead",
        "finished_at": str(clock.now_ms()),
        "error": json.dumps(told),
    }
    delivery.event = "job.dead"
    delivery.event_body = _body(message, error=told)
    log.error("job.dead", error=told)


def _note_retry(
    delivery: Delivery, message: MessageProxy, error: BaseException
) -> None:
    cause = cause_of(error)
    told = jobs.describe_error(cause)
    due = delivery.successor.options.get("eta") if delivery.successor else None
    postponed = isinstance(cause, Postponed)
    state = "queued" if due is None else "scheduled" if postponed else "retrying"
    delivery.job_fields = {"state": state, "error": json.dumps(told)}
    delivery.event = "job.postponed" if postponed else "job.retrying"
    delivery.event_body = _body(message, error=told, due_ms=due)
    log.warning(delivery.event, error=told, due_ms=due)


def _body(message: MessageProxy, **more: Any) -> dict[str, Any]:
    return {"actor": message.actor_name, "queue": q_name(message.queue_name), **more}


def _encode(result: Any) -> str:
    try:
        return json.dumps(result)
    except (TypeError, ValueError):
        return json.dumps(repr(result))
