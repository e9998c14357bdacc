"""What follows a failed attempt, on our broker."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from nexus_actors import (
    InvalidRequestError,
    PermanentError,
    Postponed,
    RedisBroker,
    TransientError,
    UnknownOutcomeError,
    events,
)
from nexus_actors.core import clock
from queues import MakeBroker, ended, make_actor, settled, working


class Attempts:
    """An actor's body that fails as told, and remembers when it was run."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    def __call__(self, number: int = 0) -> int:
        self.times.append(time.monotonic())
        if self.errors:
            raise self.errors.pop(0)
        return number

    __module__ = "tests"
    __name__ = "attempts"


@pytest.mark.parametrize("error", [PermanentError("no"), UnknownOutcomeError("hm")])
def test_what_cannot_be_mended_is_dead_at_once_with_its_reason(
    broker: RedisBroker, error: Exception
) -> None:
    body = Attempts(error)
    actor = make_actor(body)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert record.state == "dead"
    assert record.error is not None
    assert record.error["type"] == type(error).__name__
    assert record.error["retryable"] is False
    assert len(body.times) == 1
    assert broker.client.zcard("dramatiq:tests.XQ") == 1


@pytest.mark.parametrize("error", [TransientError("later"), KeyError("any")])
def test_what_may_pass_is_tried_again_until_it_does(
    broker: RedisBroker, error: Exception
) -> None:
    actor = make_actor(Attempts(error, error))
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=7), broker)

    assert (record.state, record.attempt, record.result) == ("succeeded", 3, 7)
    assert record.error is None


def test_the_wait_doubles_from_the_setting_in_milliseconds_and_has_jitter(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(backoff_delay=400, max_retries=2)
    actor = make_actor(Attempts(*[TransientError("later")] * 9))
    actor.declare_on(broker)

    with working(broker):
        sent = [actor.send(number=number) for number in range(4)]
        assert all(ended(message, broker).attempt == 3 for message in sent)

    waits = due_in(broker, "job.retrying")
    first, second = waits[:4], waits[4:]
    assert all(390 <= wait <= 810 for wait in first), first
    assert all(790 <= wait <= 1610 for wait in second), second
    assert len({round(wait) for wait in waits}) > 2


def due_in(broker: RedisBroker, name: str) -> list[float]:
    """Return the waits that the events called *name* tell, in ms, shortest first."""
    told = events.listen(since="0", wait=False, broker=broker)
    found = [event for event in told if event.name == name]
    return sorted(e.body["due_ms"] - e.at.timestamp() * 1000 for e in found)


def test_after_max_retries_the_job_is_dead(make_broker: MakeBroker) -> None:
    broker = make_broker(max_retries=1)
    body = Attempts(*[TransientError("later")] * 5)
    actor = make_actor(body)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert (record.state, record.attempt, len(body.times)) == ("dead", 2, 2)


def test_postponing_costs_no_attempt_and_waits_until_its_time(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(max_retries=0)
    start, later = time.monotonic(), clock.now() + timedelta(seconds=0.5)
    body = Attempts(Postponed("busy", until=later), Postponed("busy", until=later))
    actor = make_actor(body)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert (record.state, record.attempt) == ("succeeded", 1)
    assert body.times[1] - start >= 0.49


def test_a_host_actor_that_postpones_waits_as_ours_do(broker: RedisBroker) -> None:
    start, later = time.monotonic(), clock.now() + timedelta(seconds=0.5)
    body = Attempts(Postponed("busy", until=later))
    actor = dramatiq.actor(broker=broker, actor_name="host.actor")(body)

    with working(broker):
        record = ended(actor.send(1), broker)

    assert (record.state, record.attempt) == ("succeeded", 1)
    assert body.times[1] - start >= 0.49


def test_retry_when_decides_in_place_of_max_retries(broker: RedisBroker) -> None:
    body = Attempts(*[ValueError("x")] * 9)
    actor = make_actor(body, retry_when=lambda retries, _: retries < 1)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert (record.state, len(body.times)) == ("dead", 2)


def test_the_actor_for_exhausted_retries_hears_of_it(broker: RedisBroker) -> None:
    heard: list[Any] = []
    done = threading.Event()

    def exhausted(message: dict[str, Any], limits: dict[str, Any]) -> None:
        heard.append((message["actor_name"], limits))
        done.set()

    dramatiq.actor(broker=broker)(exhausted)
    actor = make_actor(
        Attempts(*[ValueError("x")] * 9), max_retries=1, on_retry_exhausted="exhausted"
    )
    actor.declare_on(broker)

    with working(broker):
        actor.send(number=1)
        assert done.wait(10)

    assert heard == [("tests.attempts", {"retries": 1, "max_retries": 1})]


def test_results_are_handed_to_whom_they_were_promised(broker: RedisBroker) -> None:
    broker.add_middleware(Results(backend=StubBackend(), store_results=True))
    actor = make_actor(Attempts())
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=5)

        assert message.get_result(block=True, timeout=10_000) == 5
    assert ended(message, broker).result == 5


def test_a_pipeline_hands_the_result_on(broker: RedisBroker) -> None:
    taken: list[int] = []
    actor = make_actor(Attempts())
    actor.declare_on(broker)
    last: dramatiq.Actor[..., None] = dramatiq.actor(
        broker=broker, actor_name="host.take"
    )(taken.append)

    with working(broker):
        (actor.message(number=6) | last.message()).run()
        settled(broker)
        settled(broker, "default")

    assert taken == [6]


def test_a_callback_is_given_the_result(broker: RedisBroker) -> None:
    taken: list[Any] = []
    actor = make_actor(Attempts())
    actor.declare_on(broker)

    def keep(_message: dict[str, Any], result: int) -> None:
        taken.append(result)

    callback = dramatiq.actor(broker=broker)(keep)

    with working(broker):
        actor.send_with_options(kwargs={"number": 3}, on_success=callback)
        settled(broker)
        settled(broker, "default")

    assert taken == [3]


def test_the_worker_checks_what_a_sender_did_not(broker: RedisBroker) -> None:
    actor = make_actor(Attempts())
    actor.declare_on(broker)
    message: dramatiq.Message[Any] = dramatiq.Message(
        queue_name="tests",
        actor_name=actor.actor_name,
        args=(),
        kwargs={"number": "many"},
        options={},
    )

    with working(broker):
        record = ended(broker.enqueue(message), broker)

    assert record.state == "dead"
    assert record.error is not None
    assert record.error["type"] == InvalidRequestError.__name__
    assert "number" in record.error["message"]


def test_a_message_that_is_too_old_is_dead_with_the_reason(broker: RedisBroker) -> None:
    body = Attempts()
    actor = make_actor(body, max_age=1)
    actor.declare_on(broker)
    message = actor.send(number=1)
    time.sleep(0.01)

    with working(broker):
        record = ended(message, broker)

    assert record.state == "dead"
    assert record.error is not None
    assert record.error["code"] == "skipped"
    assert "age" in record.error["message"]
    assert not body.times


class SkipAll(dramatiq.Middleware):
    def before_process_message(self, *_: Any) -> None:
        raise dramatiq.middleware.SkipMessage("not today")


def test_a_message_that_the_hosts_middleware_skips_is_told_as_cancelled(
    broker: RedisBroker,
) -> None:
    body = Attempts()
    actor = make_actor(body)
    actor.declare_on(broker)
    broker.add_middleware(SkipAll())

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert record.state == "cancelled"
    assert not body.times
