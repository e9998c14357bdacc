"""Nothing is lost, run twice or kept back without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import until
from nexus_actors import (
    RedisBroker,
    jobs,
    schedule,
)
from queues import MakeBroker, ended, held, make_actor, settled, working


class Counter:
    """An actor's body that counts its runs by number."""

    def __init__(self, run: Callable[[int], None] = lambda _: None) -> None:
        self.runs: list[int] = []
        self.run = run

    def __call__(self, number: int = 0) -> None:
        self.runs.append(number)
        self.run(number)

    __module__ = "tests"
    __name__ = "count"


def test_a_job_that_has_failed_may_be_sent_again(broker: RedisBroker) -> None:
    failures = [ValueError("once")]

    def fail_once(_: int) -> None:
        if failures:
            raise failures.pop()

    counter = Counter(fail_once)
    actor = make_actor(counter, max_retries=0)
    actor.declare_on(broker)
    message = actor.message(number=1)

    with working(broker):
        broker.enqueue(message)
        assert ended(message, broker).state == "dead"
        broker.enqueue(message)
        until(lambda: ended(message, broker).state == "succeeded")

    assert counter.runs == [1, 1]


def test_a_worker_with_a_full_house_takes_no_more(make_broker: MakeBroker) -> None:
    busy, idle = make_broker(), make_broker()
    gate = threading.Event()
    counter = Counter(lambda _: (gate.wait(20), None)[1])
    actor, second = make_actor(counter), make_actor(counter, queue="others")
    for item in (actor, second):
        item.actor_name = f"tests.{item.queue_name}"
        item.declare_on(busy)

    with working(busy, threads=2):
        messages = [actor.send(number=n) for n in range(4)]
        messages += [second.send(number=n) for n in range(4, 8)]
        until(lambda: len(counter.runs) == 2)
        time.sleep(0.5)  # two looks of a consumer that would take more

        assert held(busy) == 2
        gate.set()
        assert all(ended(message, idle).state == "succeeded" for message in messages)


def test_a_stopped_worker_gives_back_what_it_has_not_started(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker()
    started, gate = threading.Event(), threading.Event()

    def work(_: int) -> None:
        started.set()
        gate.wait(20)

    counter = Counter(work)
    actor = make_actor(counter)
    actor.declare_on(broker)
    for number in range(5):
        actor.send(number=number)
    actor.send_with_options(kwargs={"number": 9}, delay=60_000)

    with working(broker, threads=1):
        assert started.wait(10)
        assert held(broker) == 1
        threading.Timer(0.3, gate.set).start()

    assert counter.runs == [0]
    assert broker.client.llen("dramatiq:tests") == 4
    assert len(schedule.upcoming()) == 1
    assert broker.client.zcard("dramatiq:__heartbeats__") == 0  # it has left
    assert held(broker) == 0


def test_a_delayed_message_is_moved_in_one_step(broker: RedisBroker) -> None:
    counter = Counter()
    actor = make_actor(counter)
    actor.declare_on(broker)
    started = time.monotonic()
    message = actor.send_with_options(kwargs={"number": 1}, delay=300)
    assert jobs.get(message.message_id) is not None
    assert jobs.get(message.message_id).state == "scheduled"  # type: ignore[union-attr]

    with working(broker):
        ended(message, broker)
        settled(broker)

    assert time.monotonic() - started >= 0.3
    assert counter.runs == [1]


@pytest.mark.parametrize(
    "body",
    [b"no json", b"[]", b'{"queue_name": "tests"}', None],
    ids=["no json", "no object", "no message", "no body"],
)
def test_what_no_worker_can_read_is_dead_lettered_and_the_next_one_runs(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture, body: bytes | None
) -> None:
    actor = make_actor(Counter())
    actor.declare_on(broker)
    if body is not None:
        broker.client.hset("dramatiq:tests.msgs", "bad", body)
    broker.client.rpush("dramatiq:tests", "bad")

    with working(broker, threads=1):
        record = ended(actor.send(number=1), broker)

    assert record.state == "succeeded"
    assert held(broker) == 0
    if body is not None:
        assert broker.client.hget("dramatiq:tests.XQ.msgs", "bad") == body
        assert "message.unreadable" in caplog.text


def test_a_message_for_an_actor_that_nobody_has_is_dead_with_the_reason(
    broker: RedisBroker,
) -> None:
    make_actor(Counter()).declare_on(broker)
    message: dramatiq.Message[Any] = dramatiq.Message("tests", "tests.gone", (), {}, {})

    with working(broker):
        record = ended(broker.enqueue(message), broker)

    assert record.state == "dead"
    assert record.error is not None
    assert record.error["code"] == "unknown_actor"
    assert "tests.gone" in record.error["message"]


@pytest.mark.usefixtures("broker")
def test_a_stock_producer_feeds_our_worker(broker: RedisBroker, redis_url: str) -> None:
    stock = StockRedisBroker(url=redis_url)
    counter = Counter()
    actor = make_actor(counter)
    actor.declare_on(broker)

    def message(**kwargs: Any) -> dramatiq.Message[Any]:
        return dramatiq.Message("tests", actor.actor_name, (), kwargs, {})

    with working(broker):
        now = stock.enqueue(message(number=1))
        later = stock.enqueue(message(number=2), delay=200)
        wrong = stock.enqueue(message(nombre=3))
        until(lambda: len(counter.runs) == 2)
        until(lambda: broker.do_qsize("tests") == 0)

    records = [ended(sent, broker) for sent in (now, later, wrong)]
    assert [record.state for record in records] == ["succeeded", "succeeded", "dead"]
    assert counter.runs == [1, 2]
    assert all(record.enqueued_at for record in records)
    assert records[2].error is not None
    assert "nombre" in records[2].error["message"]
    stock.close()


def test_a_stock_worker_runs_what_we_enqueued(
    broker: RedisBroker, redis_url: str
) -> None:
    stock = StockRedisBroker(url=redis_url)
    counter = Counter()
    actor = make_actor(counter)
    actor.send(number=1)
    actor.send(number=2)
    actor.declare_on(stock)

    with working(stock):
        until(lambda: len(counter.runs) == 2)
        until(lambda: broker.do_qsize("tests") == 0)

    assert sorted(counter.runs) == [1, 2]
    stock.close()


def test_the_log_tells_the_start_of_a_job_that_lasts_and_the_end_of_each(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "nexus_actors")
    gate = threading.Event()

    def work(number: int = 0) -> None:
        if number:
            gate.wait(20)

    actor = make_actor(work)
    actor.declare_on(broker)
    short, long = actor.send(), actor.send(number=1)

    def told(event: str, job: str) -> list[str]:
        return [line for line in caplog.messages if event in line and job in line]

    with working(broker):
        until(lambda: bool(told("job.started", long.message_id)))
        gate.set()
        until(lambda: bool(told("job.succeeded", long.message_id)))
        ended(short, broker)

    [started] = told("job.started", "")
    assert "attempt=1" in started
    assert "queue='tests'" in started
    [end] = told("job.succeeded", short.message_id)
    assert "duration_s=" in end
