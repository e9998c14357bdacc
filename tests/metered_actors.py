"""Actors whose runs end in each way, for workers that keep metrics.

Which way is in the message, and so is whether it was gone before: what a killed process
ran ends the same way in another one.  ``NOTES`` tells which process has begun which.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta

import dramatiq
from dramatiq.middleware import CurrentMessage

from engine_actors import note
from nexus_actors import (
    CoreSettings,
    PermanentError,
    Postponed,
    RedisBroker,
    RemoteUnavailableError,
    TransientError,
)
from nexus_actors.core import clock
from nexus_actors.engine.middleware.metrics import MetricsMiddleware


broker = RedisBroker(CoreSettings.load(), middleware=[CurrentMessage()])
broker.add_middleware(MetricsMiddleware(lambda: os.environ["GROUP"]))
dramatiq.set_broker(broker)


def options() -> dict[str, object]:
    message = CurrentMessage.get_current_message()
    assert message
    return message.options


@dramatiq.actor(max_retries=1, min_backoff=20, queue_name="mixed")
def end(number: int, how: str) -> None:
    """End as told."""
    note("run", number)
    is_first = not options().get("retries")
    match how:
        case "retried" if is_first:
            raise TransientError(f"of {number}")
        case "exhausted":
            raise RemoteUnavailableError(f"of {number}", status=503)
        case "rejected":
            raise PermanentError(f"of {number}")
        case "postponed" if not options().get("was_postponed"):
            options()["was_postponed"] = True
            raise Postponed(f"{number}", until=clock.now() + timedelta(milliseconds=50))


@dramatiq.actor(queue_name="mixed", max_age=1)
def expire(number: int, how: str) -> None:
    """Be too old."""


@dramatiq.actor(queue_name="slow", max_retries=0)
def wait(seconds: float) -> None:
    """Take a while."""
    time.sleep(seconds)
