"""A lost reply, to any command in turn, neither loses a message nor doubles it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import pytest
from dramatiq import Message

from conftest import until
from nexus_actors import (
    BrokerUnavailable,
    RedisBroker,
    TransientError,
    dead_letters,
    jobs,
    queues,
    schedule,
)
from nexus_actors.core import clock
from nexus_actors.engine.scripts import FOLDER, SHARED, text_of
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker, ended, held, make_actor, settled, working
from scale import full
from servers import StartServer


#: Parts of the others, and none of their own.
PARTS = {"common", *(part for parts in SHARED.values() for part in parts)}

#: Every script that there is: one that `Outage` does not bring about fails the test.
SCRIPTS = {
    file.name.removesuffix(".lua")
    for file in FOLDER.iterdir()
    if file.name.endswith(".lua")
} - PARTS

#: What is asked without a script.
COMMANDS = {
    *("BLPOP", "HGET", "HGETALL", "HMGET", "HSETNX", "HSCAN", "INFO"),
    *("SMEMBERS", "XADD", "ZMSCORE", "ZRANGE"),
}

#: These are asked again by a running worker that has lost its lease; one that starts
#: and misses the answer begins anew, after seconds.
AT_A_LOST_LEASE = {"join", "hold", "SMEMBERS"}

#: These, by who sends, listens, calls a vendor and operates: below, and in
#: `test_events`, `test_budgets` and `test_circuits`.  To count, or to measure, changes
#: nothing.
BY_OTHERS = {
    *("cancel", "circuit", "count", "enqueue", "hear", "heed", "measure"),
    *("pause", "reschedule", "revive", "spend"),
}


class Outage:
    """A queue in which everything happens that a script is for."""

    def __init__(self, sender: RedisBroker, worker: RedisBroker) -> None:
        self.sender, self.worker = sender, worker
        self.runs: list[int] = []
        self.ticks: list[str] = []
        self.gate = threading.Event()
        for name in SCRIPTS:  # else the reply that is lost says that it is not known
            sender.client.script_load(text_of(name))
        self.actor = make_actor(self._count)
        self.actor.declare_on(worker)
        make_actor(self._tick, queue="clock", cron="* * * * * *").declare_on(worker)
        self.sent: list[Message[Any]] = []

    def _count(self, number: int = 0) -> None:
        self.runs.append(number)
        if number == 2 and self.runs.count(2) == 1:
            raise TransientError("the first time")
        if number == 3:
            jobs.current().progress(0.5, stage="half")
        if number >= 10:
            self.gate.wait(30)

    def _tick(self) -> None:
        self.ticks.append(jobs.current().id)

    _count.__name__, _tick.__name__ = "count", "tick"

    def send(self, number: int, *, delay: int | None = None) -> Message[Any]:
        """Send to the real server, and once more by way of the proxy."""
        message = self.actor.message(number=number)
        self.sender.enqueue(message, delay=delay)
        self.sent.append(message)
        return message

    def begin(self) -> None:
        """One to run, to retry, to run later, of a dead worker, and in no place."""
        run, now = self.sender.run, clock.now_ms()
        of_the_dead = self.send(4)
        about = {"queues": ["tests"], "timeout_s": 1, "host": "h", "pid": 1}
        run("join", "gone", now, json.dumps(about))
        run("fetch", "some", "tests", "gone", now, 100, "gone", 1)
        assert held(self.sender) == 1
        lost = self.send(5)
        self.sender.client.lrem("dramatiq:tests", 1, lost.message_id)
        assert of_the_dead.message_id != lost.message_id
        for number in (1, 2, 3):
            self.send(number)
        self.send(6, delay=200)

    def lose_a_fetch(self) -> None:
        """Let the worker have a message that it does not know of."""
        job = self.send(7, delay=3_600_000).message_id
        client, delayed = self.sender.client, "dramatiq:__schedule__"
        acks = f"dramatiq:__acks__.{self.worker.lease.worker}.tests"
        body: Any = client.hget(f"{delayed}.msgs", job)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.zrem(delayed, job)
            pipeline.zrem(f"{delayed}:tests", job)
            pipeline.hdel(f"{delayed}.msgs", job)
            pipeline.hset("dramatiq:tests.msgs", job, body)
            pipeline.sadd(acks, job)
            pipeline.execute()
        self.worker.lease.suspicious.set()

    def lose_the_lease(self) -> None:
        """Take the worker for dead while it runs two jobs."""
        for number in (10, 11):
            self.send(number)
        until(lambda: {10, 11} <= set(self.runs))
        worker = self.worker.lease.worker
        arguments = ("", clock.now_ms(), 100, 100, "1", "tests", "clock")
        self.sender.run("recover", worker, *arguments)
        until(lambda: self.worker.lease.worker != worker)

    def let_end(self) -> None:
        """Let the two jobs go on to their end."""
        self.gate.set()


def as_sent(broker: RedisBroker, command: str) -> bytes:
    """Return what stands in the request: a script's name is its hash."""
    if command.islower():
        name: Any = command
        return broker.run.sha(name).encode()
    return f"\r\n{command}\r\n".encode()


@pytest.mark.parametrize(
    ("server", "protocol", "commands"),
    [
        ("redis", 2, SCRIPTS | COMMANDS),
        ("redis-6.2", 3, SCRIPTS),
        ("valkey", 2, SCRIPTS),
        *(
            pytest.param(server, protocol, {command}, marks=full)
            for server, protocol in (("redis", 3), ("redis-6.2", 2), ("valkey", 3))
            for command in sorted(SCRIPTS | COMMANDS)
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_worker_that_misses_replies_runs_every_message_once(
    make_broker: MakeBroker,
    start_server: StartServer,
    server: str,
    protocol: int,
    commands: set[str],
) -> None:
    url = start_server(server).url
    with ReplyProxy(url) as proxy:
        sender = make_broker(url=url)
        broker = make_broker(
            url=f"{proxy.url}?protocol={protocol}", heartbeat_timeout_s=1
        )
        outage = Outage(sender, broker)
        outage.begin()
        wanted = commands - BY_OTHERS
        for command in sorted(wanted - AT_A_LOST_LEASE):
            proxy.lose_reply_to(as_sent(broker, command))

        with working(broker, threads=4):
            until(lambda: len(set(outage.runs)) == 6)
            outage.lose_a_fetch()
            until(lambda: 7 in outage.runs)
            for command in wanted & AT_A_LOST_LEASE:
                proxy.lose_reply_to(as_sent(broker, command))
            outage.lose_the_lease()
            if "HMGET" in wanted:  # asked only while something runs
                until(lambda: as_sent(broker, "HMGET") not in proxy.wanted)
            outage.let_end()
            assert all(ended(m, sender).state == "succeeded" for m in outage.sent)
            with suppress(AssertionError):
                until(lambda: proxy.wanted == ())
            names = {as_sent(broker, command): command for command in wanted}
            assert not [names[left] for left in proxy.wanted], "not brought about"
            settled(sender)
        until(lambda: held(sender) == 0)

    counted = Counter(outage.runs)
    assert counted == {1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 10: 1, 11: 1}
    assert len(set(outage.ticks)) == len(outage.ticks)
    assert sender.client.zcard("dramatiq:__schedule__") == 0


class Runs:
    """An actor's body that counts its runs by number."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def __call__(self, number: int = 0) -> None:
        self.runs.append(number)

    __module__ = "tests"
    __name__ = "count"


@pytest.mark.parametrize("delay", [None, 100])
def test_a_sender_that_misses_a_reply_can_send_the_message_again(
    make_broker: MakeBroker, proxy: ReplyProxy, delay: int | None
) -> None:
    broker = make_broker(url=proxy.url)
    counter = Runs()
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
    actor = make_actor(Runs(), track=False)
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
    actor = make_actor(Runs())
    job = actor.send_with_options(kwargs={"number": 1}, delay=60_000).message_id
    schedule.cancel("none")  # the script is known to the server
    proxy.lose_reply_to(broker.run.sha("reschedule").encode())

    with pytest.raises(BrokerUnavailable):
        schedule.cancel(job)

    assert not schedule.cancel(job)  # it was cancelled the first time
    assert not schedule.upcoming()


@pytest.mark.parametrize("script", ["cancel", "pause", "purge", "revive"])
def test_an_operator_that_misses_the_reply_can_ask_again(
    make_broker: MakeBroker,
    proxy: ReplyProxy,
    script: Literal["cancel", "pause", "purge", "revive"],
) -> None:
    broker = make_broker(url=proxy.url)
    waits = make_actor(Runs()).send(number=1).message_id
    dead = make_actor(Runs(), queue="dead").send(number=2).message_id
    worker = broker.lease.worker
    broker.lease.serve("dead")
    broker.run("fetch", "some", "dead", worker, clock.now_ms(), 100, "name", 1)
    broker.bury("dead", dead)
    letter = dead_letters.Selection(ids=(dead,))
    ask: Callable[[], Any] = {
        "cancel": lambda: jobs.cancel(waits),
        "pause": lambda: queues.pause("tests"),
        "purge": lambda: dead_letters.purge(letter),
        "revive": lambda: dead_letters.requeue(letter).requeued,
    }[script]
    broker.client.script_load(text_of(script))  # else the reply says: not known
    proxy.lose_reply_to(broker.run.sha(script).encode())

    with pytest.raises(BrokerUnavailable):
        ask()
    again = ask()

    assert again == {"cancel": "ended", "pause": False, "purge": 0, "revive": 0}[script]
    assert broker.client.hlen("dramatiq:tests.msgs") == (script != "cancel")
    assert queues.is_paused("tests") is (script == "pause")
    assert broker.client.zcard("dramatiq:dead.XQ") == (script in {"cancel", "pause"})
    assert broker.client.llen("dramatiq:dead") == (script == "revive")


def test_a_sender_learns_within_seconds_that_there_is_no_redis(
    make_broker: MakeBroker,
) -> None:
    actor = make_actor(Runs())
    actor.broker = make_broker(url="redis://127.0.0.1:1")
    started = time.monotonic()

    with pytest.raises(BrokerUnavailable, match="cannot be used"):
        actor.send(number=1)

    assert time.monotonic() - started < 5
