"""The stream of what happened, and the record of each job."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nexus_actors import (
    BrokerUnavailable,
    InvalidRequestError,
    RedisBroker,
    events,
    jobs,
)
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker, ended, make_actor, working
from scale import scaled


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


def send(broker: RedisBroker, count: int, start: int = 0) -> list[str]:
    """Tell *count* events, one for each job; return their jobs."""
    actor = make_actor(work)
    actor.broker = broker
    return [actor.send(number=start + n).message_id for n in range(count)]


def test_the_listeners_of_a_group_share_its_events_and_others_hear_them_too(
    broker: RedisBroker,
) -> None:
    heard: list[list[str]] = [[], []]
    sent = send(broker, count := scaled(60, full=3_000))

    def hear(member: int) -> None:
        for event in events.listen(group="shared", since="0", wait=False):
            heard[member].append(event.job)
            barrier.wait(10) if len(heard[member]) == 1 else None

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(hear, range(2)))

    assert all(heard)
    assert sorted(heard[0] + heard[1]) == sorted(sent)
    assert not list(events.listen(group="shared", wait=False))
    alone = events.listen(group="alone", since="0", wait=False)
    assert [event.job for event in alone] == sent
    assert len(list(events.listen(since="0", wait=False))) == count


def test_a_group_goes_on_where_it_was_and_begins_where_it_is_told(
    broker: RedisBroker,
) -> None:
    [before] = send(broker, 1)
    assert not list(events.listen(group="one", wait=False))
    first, second, third = send(broker, 3)

    for event in events.listen(group="one"):
        assert event.job == first
        break  # it has not been dealt with

    names = [event.job for event in events.listen(group="one", wait=False)]
    assert names == [first, second, third]
    place = next(events.listen(since="0")).id
    later = events.listen(group="two", since=place, wait=False)
    assert [event.job for event in later] == names
    assert before not in names
    groups: Any = broker.client.xinfo_groups("dramatiq:events")
    assert [group["pending"] for group in groups] == [0, 0]


LISTEN = """
import sys
from nexus_actors import events
for event in events.listen(group="g", since="0"):
    print(event.job, flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_listener_has_not_dealt_with_is_heard_by_another(
    broker: RedisBroker, environ: dict[str, str]
) -> None:
    sent = send(broker, 3)
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as listener:
        assert listener.stdout
        assert listener.stdin
        assert listener.stdout.readline().strip() == sent[0]
        listener.stdin.write("\n")
        listener.stdin.flush()
        assert listener.stdout.readline().strip() == sent[1]
        listener.kill()
    other = events.listen(group="g", take_over_s=0.5)

    heard = [next(other).job, next(other).job]
    began = time.monotonic()

    assert sorted(heard) == sorted(sent[1:])
    assert time.monotonic() - began < 10


def test_a_group_is_told_how_many_events_were_trimmed_before_it_heard_them(
    broker: RedisBroker,
) -> None:
    send(broker, 2)
    assert len(list(events.listen(group="g", since="0", wait=False))) == 2
    lost = send(broker, 5)
    kept = send(broker, 3)
    broker.client.xtrim("dramatiq:events", maxlen=3, approximate=False)

    first = next(events.listen(group="g"))
    heard = list(events.listen(group="g", wait=False))

    assert (first.name, first.body) == ("events.trimmed", {"count": len(lost)})
    assert heard[0].name == "events.trimmed"  # the first was not dealt with
    assert [event.job for event in heard[1:]] == kept
    assert not list(events.listen(group="g", wait=False))
    send(broker, 2)
    broker.client.xtrim("dramatiq:events", maxlen=2, approximate=False)
    names = [event.name for event in events.listen(group="g", wait=False)]
    assert names == ["job.enqueued"] * 2  # what is gone was heard


def test_a_group_is_told_of_what_was_trimmed_in_other_ways(
    broker: RedisBroker,
) -> None:
    sent = send(broker, 2)
    listener = events.listen(group="g", since="0", take_over_s=0.01)
    assert next(listener).job == sent[0]
    broker.client.xtrim("dramatiq:events", maxlen=1, approximate=False)
    listener.close()  # type: ignore[attr-defined]

    going_on = events.listen(group="g", take_over_s=0.01)
    other = [next(going_on), next(going_on)]
    broker.client.delete("dramatiq:events")
    send(broker, 1)
    heard = list(events.listen(group="g", since="0", wait=False))
    waiting = events.listen(group="g")
    broker.client.delete("dramatiq:events")
    last = next(waiting)

    assert {event.name for event in other} == {"events.trimmed", "job.enqueued"}
    assert {"count": 1} in [event.body for event in other]
    assert [event.name for event in heard] == ["job.enqueued"]
    assert (last.name, last.body) == ("events.trimmed", {"count": None})


def test_a_listener_that_misses_a_reply_can_listen_again(
    make_broker: MakeBroker, proxy: ReplyProxy
) -> None:
    broker = make_broker(url=proxy.url)
    sent = send(broker, 3)
    heard = events.listen(group="g", since="0", take_over_s=0.01, broker=broker)
    assert next(heard).job == sent[0]
    proxy.lose_reply_to(broker.run.sha("hear").encode())

    with pytest.raises(BrokerUnavailable):
        next(heard)

    rest = events.listen(group="g", take_over_s=0.01, broker=broker)
    assert {next(rest).job, next(rest).job} == {*sent[1:]}
