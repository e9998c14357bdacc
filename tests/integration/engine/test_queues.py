"""Pausing a queue, and what there is to see of all of them."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import dramatiq
import pytest

from conftest import until
from nexus_actors import (
    InvalidRequestError,
    PermanentError,
    RedisBroker,
    jobs,
    queues,
    schedule,
)
from nexus_actors.core import clock
from nexus_actors.engine.consumer import PAUSED_POLL_S, Consumer
from queues import MakeBroker, ended, held, make_actor, running, settled, working


def work(number: int = 0) -> int:
    return number


def test_nothing_more_starts_in_a_paused_queue_and_all_does_when_it_is_resumed(
    make_broker: MakeBroker,
) -> None:
    broker, restarted = make_broker(), make_broker()
    gate = threading.Event()
    started: list[int] = []

    def hold(number: int = 0) -> int:
        started.append(number)
        gate.wait(20)
        return number

    actor, other = make_actor(hold), make_actor(work, queue="other")
    actor.declare_on(broker)
    other.declare_on(broker)
    with working(broker):
        first = actor.send(number=1)
        until(lambda: running(first, broker))

        assert queues.pause("tests")
        assert not queues.pause("tests")
        waiting = actor.send(number=2)
        later = actor.send_with_options(kwargs={"number": 3}, delay=1)
        gate.set()

        assert ended(first, broker).state == "succeeded"
        until(lambda: broker.client.llen("dramatiq:tests") == 2)
        assert ended(other.send(number=4), broker).state == "succeeded"
    actor.declare_on(restarted)
    with working(restarted) as worker:
        until(lambda: knows_of_the_pause(worker))
        again = [actor.send(number=n) for n in range(4, 6)]
        assert schedule.upcoming() == []
        assert started == [1]
        assert queues.resume("tests")
        assert not queues.resume("tests")
        for message in (waiting, later, *again):
            assert ended(message, restarted).state == "succeeded"
    assert sorted(started) == [1, 2, 3, 4, 5]


def test_a_paused_queue_costs_a_look_a_second_whatever_is_sent_to_it(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    actor.declare_on(broker)
    queues.pause("tests")
    broker.enqueue_many(actor.message(number=n) for n in range(100))
    consumer = Consumer(broker, "tests")

    begun = time.monotonic()
    assert next(consumer) is None  # it has looked
    assert next(consumer) is None

    assert time.monotonic() - begun > PAUSED_POLL_S * 0.8
    queues.resume("tests")
    assert next(consumer) is not None
    consumer.close()


def test_who_waits_for_a_paused_queue_is_woken(broker: RedisBroker) -> None:
    times: list[float] = []

    def note(number: int = 0) -> None:  # noqa: ARG001 - a body has one
        times.append(time.monotonic())

    actor = make_actor(note)
    actor.declare_on(broker)
    waits: list[float] = []
    with working(broker) as worker:
        for _ in range(3):
            queues.pause("tests")
            actor.send(number=1)
            until(lambda: knows_of_the_pause(worker))
            begun = time.monotonic()
            queues.resume("tests")
            settled(broker)
            waits.append(times.pop() - begun)

    assert min(waits) < PAUSED_POLL_S / 2


def knows_of_the_pause(worker: dramatiq.Worker) -> bool:
    consumer: Any = worker.consumers["tests"].consumer
    return isinstance(consumer, Consumer) and consumer._is_paused  # noqa: SLF001 - it tells nobody


def test_a_suspect_that_has_not_begun_goes_back_when_its_queue_is_paused(
    broker: RedisBroker,
) -> None:
    broker.lease.serve("tests")
    what = ("tests", broker.lease.worker, clock.now_ms(), 100, "me")
    job = make_actor(work).send(number=1).message_id
    broker.client.hset("dramatiq:tests.tries", job, 2)
    broker.run("fetch", "some", *what, 1)
    assert broker.run("fetch", "reserve", *what, 1)[1] == job.encode()

    queues.pause("tests")

    assert broker.run("fetch", "begin", *what, job) == [-1]
    assert broker.run("fetch", "reserve", *what, 1) == [-1]
    assert broker.client.lrange("dramatiq:tests.suspects", 0, -1) == [job.encode()]
    assert held(broker) == 0
    queues.resume("tests")
    assert broker.run("fetch", "reserve", *what, 1)[1] == job.encode()


def test_the_state_of_a_queue_counts_every_place(broker: RedisBroker) -> None:
    gate = threading.Event()

    def hold(number: int = 0) -> None:
        if number == 13:
            raise PermanentError("no")
        gate.wait(20)

    actor = make_actor(hold)
    actor.declare_on(broker)
    with working(broker, threads=1):
        dead = actor.send(number=13)
        ended(dead, broker)
        first = actor.send(number=0)
        until(lambda: running(first, broker))
        actor.send(number=1)
        for number, group in enumerate("aab"):
            actor.send_with_options(kwargs={"number": number}, group=group)
        actor.send_with_options(kwargs={"number": 2}, priority=9)
        actor.send_with_options(kwargs={"number": 3}, delay=60_000)
        queues.pause("quiet")
        make_actor(work, queue="else").send_with_options(
            kwargs={}, delay=timedelta(hours=1)
        )

        [elsewhere, quiet, here] = queues.state()
        gate.set()

    assert elsewhere.name == "else"
    assert (elsewhere.waiting, elsewhere.scheduled, elsewhere.workers) == (0, 1, 0)
    assert elsewhere.waiting_since is None
    assert (quiet.name, quiet.paused, quiet.waiting) == ("quiet", True, 0)
    told = here.to_json()
    assert 0 <= told.pop("oldest_s") < 20
    record = jobs.get(first.message_id)
    assert record
    assert here.waiting_since
    assert record.enqueued_at
    assert here.waiting_since >= record.enqueued_at
    told.pop("waiting_since")
    assert told == {
        "name": "tests",
        "waiting": 5,
        "by_priority": {5: 4, 9: 1},
        "groups": 2,
        "suspects": 0,
        "running": 1,
        "scheduled": 1,
        "dead": 1,
        "paused": False,
        "workers": 1,
    }


def test_what_was_delayed_waits_since_it_was_due(broker: RedisBroker) -> None:
    actor = make_actor(work)
    message = actor.message(number=1).copy(message_timestamp=1)
    broker.enqueue(message, delay=60_000)
    schedule.move(message.message_id, clock.now())
    actor.declare_on(broker)
    queues.pause("tests")
    with working(broker):
        until(lambda: broker.client.llen("dramatiq:tests") == 1)

    [state] = queues.state()

    assert state.paused
    assert state.to_json()["oldest_s"] < 20


def test_a_name_that_no_queue_has_is_refused(broker: RedisBroker) -> None:
    with pytest.raises(InvalidRequestError, match="choose another"):
        queues.pause("events", broker=broker)
