"""A key holds off a second job, until the first has ended or for a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import until
from nexus_actors import (
    InvalidRequestError,
    PermanentError,
    Postponed,
    RedisBroker,
    TransientError,
    jobs,
    schedule,
)
from nexus_actors.core import clock
from queues import ended, make_actor, running, settled, working


HELD = "dramatiq:tests.key:tests.work:k"


def work(number: int = 0, text: str = "") -> str:
    return f"{text}{number}"


def text_of(body: Mapping[str, Any]) -> str | None:
    return body.get("text")


def days_left(broker: RedisBroker, key: str = HELD) -> float:
    ms: Any = broker.client.pttl(key)
    return float(ms) / 86_400_000


def stored(broker: RedisBroker) -> int:
    found: Any = broker.client.hlen("dramatiq:tests.msgs")
    return int(found) + int(broker.client.hlen("dramatiq:__schedule__.msgs"))


def test_a_second_message_is_the_first_ones_job_until_that_has_ended(
    broker: RedisBroker,
) -> None:
    gate = threading.Event()

    def work(number: int = 0, text: str = "") -> int:  # noqa: ARG001 - the key's
        gate.wait(20)
        return number

    actor = make_actor(work, dedupe_key=text_of)
    actor.declare_on(broker)
    first = actor.send(number=1, text="k")
    other = actor.send(number=2, text="other")
    keyless = [actor.send(number=3).message_id for _ in range(2)]

    def again() -> set[str]:
        ways: list[Callable[[], Any]] = [
            lambda: actor.send(number=4, text="k"),
            lambda: actor.send_with_options(kwargs={"text": "k"}, delay=10),
            lambda: actor.send_with_options(kwargs={"text": "k"}, priority=0),
            lambda: actor.send_with_options(dedupe_key="k", track=False),
        ]
        messages = [actor.message(number=n, text="k") for n in range(3)]
        sent = [way() for way in ways] + broker.enqueue_many(messages)
        return {message.message_id for message in sent}

    assert again() == {first.message_id}
    assert stored(broker) == 4
    assert len({first.message_id, other.message_id, *keyless}) == 4
    with working(broker):
        until(lambda: running(first, broker))
        assert again() == {first.message_id}
        gate.set()
        assert ended(first, broker).result == 1
        second = actor.send(number=5, text="k")
        assert second.message_id != first.message_id
        assert ended(second, broker).result == 5
        settled(broker)
    assert not broker.client.keys("dramatiq:tests.key:*")


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("end", ["success", "dead", "skipped"])
def test_every_end_gives_the_key_back(
    broker: RedisBroker, end: str, *, track: bool
) -> None:
    def work(number: int = 0) -> int:
        if end == "dead":
            raise PermanentError("no")
        return number

    actor = make_actor(work, track=track, max_age=1 if end == "skipped" else None)
    actor.declare_on(broker)

    first = actor.message_with_options(dedupe_key="k")
    if end == "skipped":
        first = first.copy(message_timestamp=1)
    broker.enqueue(first)
    assert broker.client.get(HELD) == b"until:" + first.message_id.encode()
    with working(broker):
        settled(broker)

    assert not broker.client.exists(HELD)
    assert bool(broker.client.zcard("dramatiq:tests.XQ")) == (end != "success")


def test_cancel_and_poison_give_the_key_back(broker: RedisBroker) -> None:
    actor = make_actor(work)
    later = actor.send_with_options(dedupe_key="k", delay=60_000)
    assert schedule.cancel(later.message_id)
    assert not broker.client.exists(HELD)

    poison = actor.send_with_options(dedupe_key="k")
    broker.client.hset("dramatiq:tests.tries", poison.message_id, 3)
    actor.declare_on(broker)
    with working(broker):
        settled(broker)

    record = jobs.get(poison.message_id)
    assert record
    assert record.error
    assert record.error["code"] == "poison"
    assert not broker.client.exists(HELD)


@pytest.mark.parametrize("error", ["retried", "postponed"])
def test_a_job_that_goes_on_keeps_its_key(broker: RedisBroker, error: str) -> None:
    runs: list[int] = []

    def work(number: int = 0) -> int:
        runs.append(number)
        if len(runs) == 1 and error == "retried":
            raise TransientError("once")
        if len(runs) == 1:
            raise Postponed("wait", until=datetime.now(UTC) + timedelta(hours=1))
        return number

    actor = make_actor(work, min_backoff=3_600_000)
    actor.declare_on(broker)
    with working(broker):
        first = actor.send_with_options(dedupe_key="k")
        until(lambda: schedule.upcoming() != [])

        assert actor.send_with_options(dedupe_key="k").message_id == first.message_id
        schedule.move(first.message_id, clock.now())
        assert ended(first, broker).state == "succeeded"

    assert len(runs) == 2
    assert not broker.client.exists(HELD)


def test_with_a_time_the_key_is_held_for_it_whatever_the_job_does(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work, dedupe_key="k", dedupe_for=timedelta(minutes=1))
    actor.declare_on(broker)

    with working(broker):
        first = actor.send(number=1)
        assert ended(first, broker).state == "succeeded"
        assert actor.send(number=2).message_id == first.message_id
        assert 0 < days_left(broker) <= 1 / 1440

        broker.client.pexpire(HELD, 1)
        until(lambda: not broker.client.exists(HELD))
        assert ended(actor.send(number=3), broker).result == "3"


@pytest.mark.parametrize("track", [True, False])
def test_a_message_is_not_refused_by_its_own_key(
    broker: RedisBroker, *, track: bool
) -> None:
    """It is sent again where nobody could tell whether it had arrived."""
    actor = make_actor(work, track=track)
    message = actor.message_with_options(dedupe_key="k")

    for delay in (None, 60_000, None):
        sent = broker.enqueue(message, delay=delay)
        assert sent.message_id == message.message_id

    assert stored(broker) == 1
    assert broker.client.lrange("dramatiq:tests", 0, -1) == [
        message.message_id.encode()
    ]


def test_what_has_ended_is_not_begun_again_and_what_is_dead_waits_for_the_key(
    broker: RedisBroker,
) -> None:
    def work(number: int = 0) -> None:
        if number:
            raise PermanentError("no")

    actor = make_actor(work)
    actor.declare_on(broker)
    done = actor.message_with_options(dedupe_key="k")
    failed = actor.message_with_options(kwargs={"number": 1}, dedupe_key="k")
    with working(broker):
        for message in (done, failed):
            broker.enqueue(message)
            ended(message, broker)
    holder = actor.send_with_options(dedupe_key="k", delay=60_000).message_id

    assert broker.enqueue(done).message_id == done.message_id
    assert broker.enqueue(failed).message_id == holder
    assert broker.client.hkeys("dramatiq:tests.XQ.msgs") == [failed.message_id.encode()]
    assert stored(broker) == 1

    schedule.cancel(holder)
    assert broker.enqueue(failed).message_id == failed.message_id
    assert not broker.client.zcard("dramatiq:tests.XQ")


def test_a_key_that_nobody_gave_back_holds_nobody_off(
    broker: RedisBroker, redis_url: str
) -> None:
    """A stock worker ends a job and knows nothing of its key."""
    stock = StockRedisBroker(url=redis_url)
    actor = make_actor(work)
    first = actor.send_with_options(dedupe_key="k", track=False)
    actor.declare_on(stock)
    with working(stock):
        until(lambda: stored(broker) == 0)
    assert broker.client.exists(HELD)
    actor.declare_on(broker)

    second = actor.send_with_options(dedupe_key="k")

    assert second.message_id != first.message_id
    assert stored(broker) == 1
    assert 29 < days_left(broker) <= 30
    stock.close()


def test_a_key_lasts_as_long_as_its_job_may_wait(broker: RedisBroker) -> None:
    actor = make_actor(work)
    message = actor.send_with_options(dedupe_key="k", delay=timedelta(days=100))
    assert days_left(broker) > 129

    schedule.move(message.message_id, clock.now() + timedelta(days=300))

    assert days_left(broker) > 329


def test_a_cron_entry_waits_for_its_last_job_to_end(broker: RedisBroker) -> None:
    actor = make_actor(work, cron="* * * * *", dedupe_key="k")
    actor.declare_on(broker)
    [entry] = broker.crons.values()
    for minute in range(3):
        entry._send(broker, minute * 60_000)  # noqa: SLF001 - its clock is not at issue

    assert broker.client.hkeys("dramatiq:tests.msgs") == [b"tests.work@0"]


def test_a_key_is_one_actors(broker: RedisBroker) -> None:
    def rest(number: int = 0) -> None: ...

    ids = {
        make_actor(fn).send_with_options(dedupe_key="k").message_id
        for fn in (work, rest)
    }

    assert len(ids) == 2
    assert stored(broker) == 2


def test_an_actor_of_a_host_has_the_same_options(broker: RedisBroker) -> None:
    @dramatiq.actor(queue_name="tests", dedupe_key=text_of, find_by=("text",))
    def greet(text: str, number: int = 0) -> None: ...

    ids = [greet.send("hello", number=n).message_id for n in range(2)]

    assert ids[0] == ids[1]
    [found] = jobs.find(text="hello", broker=broker)
    assert found.id == ids[0]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"dedupe_key": ""}, "dedupe_key: '' is not a text"),
        ({"dedupe_key": 7}, "dedupe_key: 7 is not a text"),
        ({"group": "x" * 513}, "of 1 to 512 characters"),
        ({"dedupe_key": "k", "dedupe_for": 0}, "dedupe_for: 0 is no number of ms"),
        ({"dedupe_for": 10}, "dedupe_for: needs a dedupe_key"),
        ({"find_by": "v"}, "find_by: is not an object"),
        ({"find_by": {"v": 1}}, "find_by.v: 1 is not a text"),
    ],
)
def test_options_that_cannot_be_right_are_refused(
    broker: RedisBroker, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidRequestError, match=what):
        make_actor(work).send_with_options(**options)

    assert stored(broker) == 0
