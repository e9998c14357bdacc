"""A lost reply, to any command in turn, neither loses a message nor doubles it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from conftest import until
from nexus_actors import BrokerUnavailable, RedisBroker, TransientError, schedule
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker, ended, held, make_actor, settled, working


class Counter:
    """An actor's body that counts its runs by number; the first of 2 fails."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, number: int = 0) -> None:
        self.runs.append(number)
        if number == 2 and self.runs.count(2) == 1:
            raise TransientError("the first time")

    __module__ = "tests"
    __name__ = "count"


@pytest.mark.parametrize(
    "commands",
    ["fetch", "fetch SMEMBERS", "settle", "promote", "beat", "BLPOP", "HGETALL"],
)
def test_a_worker_that_misses_a_reply_runs_every_message_once(
    make_broker: MakeBroker, proxy: ReplyProxy, commands: str
) -> None:
    sender = make_broker()
    broker = make_broker(url=proxy.url, heartbeat_timeout_s=1)
    counter = Counter()
    actor = make_actor(counter)
    actor.declare_on(broker)
    actor.broker = sender
    with working(broker):
        ended(actor.send(number=0), sender)  # the scripts are known to the server
    sent = [actor.send(number=number) for number in (1, 2)]
    sent += [actor.send_with_options(kwargs={"number": 3}, delay=200)]
    for command in commands.split():
        proxy.lose_reply_to(as_sent(broker, command))

    with working(broker):
        assert all(ended(message, sender).state == "succeeded" for message in sent)
        until(lambda: proxy.lost == len(commands.split()), 15)
        settled(sender)
        until(lambda: held(sender) == 0)

    assert sorted(counter.runs) == [0, 1, 2, 2, 3]


def as_sent(broker: RedisBroker, command: str) -> bytes:
    """Return what stands in the request: a script's name is its hash."""
    script: Any = command
    return (broker.run.sha(script) if command.islower() else command).encode()


@pytest.mark.parametrize("delay", [None, 100])
def test_a_sender_that_misses_a_reply_can_send_the_message_again(
    make_broker: MakeBroker, proxy: ReplyProxy, delay: int | None
) -> None:
    broker = make_broker(url=proxy.url)
    counter = Counter()
    actor = make_actor(counter)
    message = actor.message(number=1)
    broker.enqueue(actor.message(number=0))  # the script is known to the server
    proxy.lose_reply_to(message.message_id.encode())

    with pytest.raises(BrokerUnavailable):
        broker.enqueue(message, delay=delay)
    broker.enqueue(message, delay=delay)
    actor.declare_on(broker)
    with working(broker):
        ended(message, broker)
        settled(broker)
        broker.enqueue(message, delay=delay)
        settled(broker)

    assert sorted(counter.runs) == [0, 1]


def test_an_untracked_message_is_not_stored_twice_either(
    make_broker: MakeBroker, proxy: ReplyProxy
) -> None:
    broker = make_broker(url=proxy.url)
    actor = make_actor(Counter(), track=False)
    messages = [actor.message(number=number) for number in range(2)]
    for message, delay in zip(messages, (None, 60_000), strict=True):
        broker.enqueue(message, delay=delay)
        broker.enqueue(message, delay=delay)

    assert broker.client.llen("dramatiq:tests") == 1
    assert len(schedule.upcoming()) == 1


def test_a_canceller_that_misses_the_reply_can_cancel_again(
    make_broker: MakeBroker, proxy: ReplyProxy
) -> None:
    broker = make_broker(url=proxy.url)
    actor = make_actor(Counter())
    job = actor.send_with_options(kwargs={"number": 1}, delay=60_000).message_id
    schedule.cancel("none")  # the script is known to the server
    proxy.lose_reply_to(broker.run.sha("reschedule").encode())

    with pytest.raises(BrokerUnavailable):
        schedule.cancel(job)

    assert not schedule.cancel(job)  # it was cancelled the first time
    assert not schedule.upcoming()


def test_a_sender_learns_within_seconds_that_there_is_no_redis(
    make_broker: MakeBroker,
) -> None:
    actor = make_actor(Counter())
    actor.broker = make_broker(url="redis://127.0.0.1:1")
    started = time.monotonic()

    with pytest.raises(BrokerUnavailable, match="cannot be used"):
        actor.send(number=1)

    assert time.monotonic() - started < 5
