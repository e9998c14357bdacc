"""What is urgent goes first, nothing starves, and a message is taken at once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from conftest import until
from nexus_actors import InvalidRequestError, RedisBroker, events, jobs, schedule
from nexus_actors.core import clock
from queues import MakeBroker, ended, make_actor, settled, working
from scale import scaled


def work(number: int = 0) -> int:
    return number


def take(broker: RedisBroker, count: int) -> list[int]:
    """Fetch *count* messages one by one; return their priorities in that order."""
    lease = broker.lease
    lease.serve("tests")
    found = []
    for _ in range(count):
        answer = broker.run(
            *("fetch", "some", "tests", lease.worker, clock.now_ms(), 100, "me", 1)
        )
        assert len(answer) == 4
        found.append(int(answer[1].decode().split("-")[0]))
    return found


def fill(broker: RedisBroker, *, counts: dict[int, int]) -> None:
    """Store messages whose ids begin with their priority."""
    actor = make_actor(work, track=False)
    for priority, count in counts.items():
        messages = [
            actor.message_with_options(priority=priority).copy(
                message_id=f"{priority}-{number}"
            )
            for number in range(count)
        ]
        broker.enqueue_many(messages)


def test_an_urgent_message_overtakes_a_backlog(broker: RedisBroker) -> None:
    started: list[int] = []
    lock = threading.Lock()

    def note(number: int = 0) -> None:
        with lock:
            started.append(number)
        time.sleep(0.02)

    actor = make_actor(note)
    actor.declare_on(broker)
    low = [
        actor.message_with_options(kwargs={"number": n}, priority=9)
        for n in range(1, scaled(201, full=1_001))
    ]
    broker.enqueue_many(low)

    with working(broker, threads=4):
        until(lambda: len(started) >= 20)
        urgent = actor.send_with_options(kwargs={"number": 0}, priority=0)
        before = len(started)
        ended(urgent, broker)
        after = started.index(0)
        settled(broker)

    assert after - before <= 4
    assert sorted(started) == list(range(len(low) + 1))


def test_the_least_urgent_are_at_least_four_of_any_hundred(broker: RedisBroker) -> None:
    fill(broker, counts={0: 300, 9: 100})

    taken = take(broker, 300)

    windows = [taken[at : at + 100] for at in range(201)]
    assert min(window.count(9) for window in windows) >= 4
    assert max(window.count(9) for window in windows) <= 10


def test_nor_do_those_in_between_starve(broker: RedisBroker) -> None:
    fill(broker, counts={0: 300, 5: 50, 7: 50, 9: 50})

    taken = take(broker, 240)

    assert {priority: taken.count(priority) >= 3 for priority in (5, 7)} == {
        5: True,
        7: True,
    }


def test_of_one_priority_the_first_sent_is_the_first_taken(broker: RedisBroker) -> None:
    fill(broker, counts={3: 20, 2: 20})

    taken = take(broker, 40)

    assert taken.count(2) == taken.count(3) == 20
    assert taken[:15].count(2) >= 13


def test_a_message_goes_back_to_its_priority_and_before_the_others(
    broker: RedisBroker,
) -> None:
    fill(broker, counts={2: 3})
    lease = broker.lease
    take(broker, 1)

    broker.run("requeue", "tests", lease.worker, 1, 100, 1, "2-0")

    assert broker.client.lrange("dramatiq:tests.p2", 0, -1) == [
        b"2-0",
        b"2-1",
        b"2-2",
    ]
    assert broker.client.llen("dramatiq:tests") == 0
    assert broker.client.hlen("dramatiq:tests.tries") == 0


def test_a_retry_and_a_delay_keep_the_priority(broker: RedisBroker) -> None:
    actor = make_actor(work, priority=1)
    message = actor.send_with_options(kwargs={}, delay=60_000)
    assert message.options["priority"] == 1  # of the actor, which nobody has declared

    schedule.move(message.message_id, clock.now())
    actor.declare_on(broker)
    with working(broker):
        assert ended(message, broker).state == "succeeded"

    assert broker.client.get("dramatiq:tests.turn") is not None  # came by its band


@pytest.mark.parametrize("priority", [-1, 10, True, 2.5, "high"])
def test_what_is_no_priority_is_refused(broker: RedisBroker, priority: Any) -> None:
    actor = make_actor(work)
    actor.broker = broker

    with pytest.raises(InvalidRequestError, match="0, the most urgent, to 9"):
        actor.send_with_options(kwargs={}, priority=priority)

    assert not broker.client.keys("*")


@pytest.mark.parametrize("queue", ["events", "job:1", "__schedule__"])
def test_a_queue_that_would_be_another_key_is_refused(
    broker: RedisBroker, queue: str
) -> None:
    actor = make_actor(work, queue=queue)

    with pytest.raises(InvalidRequestError, match="choose another"):
        actor.send(number=1)
    with pytest.raises(InvalidRequestError, match="choose another"):
        actor.declare_on(broker)


def test_many_messages_are_stored_in_a_few_steps_and_only_once(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    messages = [actor.message(number=number) for number in range(1_201)]

    broker.enqueue_many(messages)
    sent = broker.enqueue_many(messages)

    ids: Any = broker.client.lrange("dramatiq:tests", 0, -1)
    assert [i.decode() for i in ids] == [message.message_id for message in sent]
    told = list(events.listen(since="0", wait=False))
    assert len(told) == 1_201
    assert broker.client.llen("dramatiq:tests.wake") == 64


def test_an_untracked_job_leaves_nothing_behind(broker: RedisBroker) -> None:
    runs: list[int] = []

    def fail_once(number: int = 0) -> None:
        runs.append(number)
        jobs.current().progress(0.5, stage="half")
        if len(runs) == 1:
            raise ValueError("once")

    actor = make_actor(fail_once, track=False)
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=1)
        until(lambda: len(runs) == 2)
        settled(broker)

    assert jobs.get(message.message_id) is None
    keys: Any = broker.client.keys("*")
    left = {key.decode().removeprefix("dramatiq:") for key in keys}
    ours = {"__queues__", "__layout__", "__schedule__.wake", "__counts__:tests"}
    assert left <= ours


def test_an_idle_worker_is_woken(make_broker: MakeBroker) -> None:
    sender, broker = make_broker(), make_broker()
    taken: list[float] = []

    def note(number: int = 0) -> None:  # noqa: ARG001 - the body of the message
        taken.append(time.monotonic())

    actor = make_actor(note)
    actor.declare_on(broker)
    actor.broker = sender
    waits: list[float] = []

    with working(broker):
        for number in range(9):
            settled(sender)
            time.sleep(0.1)  # the worker is idle
            sent = time.monotonic()
            actor.send(number=number)
            until(lambda: len(taken) == len(waits) + 1)
            waits.append(taken[-1] - sent)

    # without the hint it is half of 250 ms on average
    assert sorted(waits)[4] < 0.06
