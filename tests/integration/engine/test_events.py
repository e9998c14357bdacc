"""The stream of what happened, and the record of each job."""

from __future__ import annotations

import time
from typing import Any

import pytest

from nexus_actors import InvalidRequestError, RedisBroker, events, jobs
from queues import MakeBroker, ended, make_actor, working


def work(number: int = 0) -> int:
    for step in range(3):
        jobs.current().progress((step + 1) / 3, stage="steps")
    return number


@pytest.mark.parametrize("protocol", ["", "?protocol=3"])
def test_the_events_of_a_job_are_told_in_their_order(
    make_broker: MakeBroker, redis_url: str, protocol: str
) -> None:
    broker = make_broker(url=redis_url + protocol)
    actor = make_actor(work)
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=1)
        record = ended(message, broker)

    told = list(events.listen(since="0", wait=False))
    assert [event.name for event in told] == [
        *("job.enqueued", "job.started", "job.progress", "job.succeeded"),
    ]
    assert {event.job for event in told} == {message.message_id}
    assert list(events.listen(since=told[1].id, wait=False)) == told[2:]
    assert record.progress == {"stage": "steps", "fraction": 1.0, "eta_s": None}


def test_who_listens_from_now_on_hears_what_follows_the_call(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    actor.broker = broker
    actor.send(number=1)

    heard = events.listen()
    second = actor.send(number=2)

    assert next(heard).job == second.message_id


def test_a_listener_whose_place_was_trimmed_hears_the_oldest(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    first, second = actor.send(number=1), actor.send(number=2)
    broker.client.xtrim("dramatiq:events", maxlen=1, approximate=False)

    told = [event.job for event in events.listen(since="0-1", wait=False)]

    assert told == [second.message_id]
    assert first.message_id not in told


def test_a_place_that_is_none_is_refused(broker: RedisBroker) -> None:
    with pytest.raises(InvalidRequestError, match="since"):
        events.listen(since="yesterday", broker=broker)


def test_a_job_is_followed_through_its_states_and_then_forgotten(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(job_ttl_s=1)
    actor = make_actor(work)
    actor.declare_on(broker)
    message = actor.send(number=4)
    states: list[str] = []

    def note(record: jobs.JobRecord) -> None:
        states.append(record.state)
        if record.state == "queued":
            workers.append(working(broker))
            workers[0].__enter__()

    workers: list[Any] = []
    record = jobs.wait(message.message_id, on_change=note, timeout_s=20)
    workers[0].__exit__(None, None, None)

    assert states[0] == "queued"
    assert states[-1] == "succeeded"
    assert (record.result, record.attempt) == (4, 1)
    assert record.worker
    time.sleep(1.1)  # Redis forgets it
    assert jobs.get(message.message_id) is None
    with pytest.raises(LookupError):
        jobs.wait(message.message_id)


def test_waiting_too_long_says_where_the_job_is(broker: RedisBroker) -> None:
    actor = make_actor(work)
    actor.broker = broker

    with pytest.raises(TimeoutError, match="still queued"):
        jobs.wait(actor.send(number=1).message_id, timeout_s=0.1)
