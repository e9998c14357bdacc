"""Redis is killed, or hangs, in mid-run: nothing is lost, stranded, or sent twice."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from conftest import StartWorker, until
from nexus_actors import BrokerUnavailable, RedisBroker, TransientError
from queues import MakeBroker, ended, held, make_actor, working
from scale import scaled
from servers import StartServer


TESTS = Path(__file__).resolve().parents[2]

#: What an append-only file that is synced each second may lose, and some.
LOST_S = 2.5


@dataclass
class Sender:
    """Sends one message after the other, each until it is known to be stored.

    The last third is sent from the outage on.
    """

    broker: RedisBroker
    messages: list[Message[Any]]
    outage: threading.Event = field(default_factory=threading.Event)
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    stored_at: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0

    def run(self) -> None:
        for number, message in enumerate(self.messages):
            if number > len(self.messages) * 2 / 3:
                self.outage.wait()
            while message.message_id not in self.stored_at:
                self.send(message)

    def send(self, message: Message[Any]) -> None:
        is_delayed = message.kwargs["number"] % 3 == 0
        delay = self.chance.randrange(500, 2_500) if is_delayed else None
        started = time.monotonic()
        try:
            self.broker.enqueue(message, delay=delay)
        except BrokerUnavailable:
            self.refused[message.message_id] += 1
            time.sleep(0.02)
        else:
            self.stored_at[message.message_id] = time.time()
        self.longest_s = max(self.longest_s, time.monotonic() - started)

    def send_again(self, killed: float) -> None:
        """What was stored last may be lost: a host sends it again, under its id."""
        for message in self.messages:
            if killed - LOST_S < self.stored_at.get(message.message_id, 0) < killed:
                self.broker.enqueue(message)


def test_a_redis_that_is_killed_in_mid_run_loses_and_strands_nothing(
    make_broker: MakeBroker,
    start_server: StartServer,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    count = scaled(300, full=5_000)
    server = start_server()
    broker = make_broker(url=server.url)
    notes = tmp_path / "notes"
    environ = {
        "NOTES": str(notes),
        "PYTHONPATH": str(TESTS),
        "REDIS_URL": server.url,
        "NEXUS_HEARTBEAT_TIMEOUT_S": "2",
    }
    options = ("engine_actors", "-p", "1", "-t", "4")
    workers = [start_worker(*options, **environ) for _ in range(2)]
    messages = [message_of(number) for number in range(count)]
    sender = Sender(broker, messages)
    sending = threading.Thread(target=sender.run)
    sending.start()
    until(lambda: len(read(notes, "end")) > count / 3, 90)

    server.kill()
    killed = time.time()
    sender.outage.set()
    time.sleep(1)
    server.start()
    back = time.time()
    sending.join()
    sender.send_again(killed)
    until(lambda: broker.do_qsize("default") == 0, 120)

    ends = Counter(number for number, _, _ in read(notes, "end"))
    assert set(ends) == set(range(count))
    assert held(broker) == 0
    assert broker.client.zcard("dramatiq:default.XQ") == 0
    assert sender.refused
    assert sender.longest_s < 5
    # what ran twice did so because its end, or its begin, was in what was lost
    twice = {number for number, runs in ends.items() if runs > 1}
    near = {n for n, _, at in read(notes, "") if killed - LOST_S < at < back + 1}
    assert twice <= near
    assert len(twice) <= scaled(20, full=100)
    # and the same processes went on
    assert [worker.poll() for worker in workers] == [None, None]
    pids = {pid for _, pid, at in read(notes, "end") if at < killed}
    assert pids == {pid for _, pid, at in read(notes, "start") if at > back}

    broker.enqueue_many(messages)
    assert broker.do_qsize("default") == 0
    print(f"{len(twice)} of {count} ran twice; {len(sender.refused)} refused")  # noqa: T201 - the figure of a run by hand


def message_of(number: int) -> Message[Any]:
    """Every fifth fails the first time."""
    if number % 5 == 4:
        return Message("default", "stumble", (), {"number": number}, {})
    return Message("default", "work", (), {"number": number, "seconds": 0.01}, {})


def read(notes: Path, what: str) -> list[tuple[int, int, float]]:
    """Return number, process and time of each note."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    found = [line.split() for line in lines if line.startswith(what)]
    return [(int(n), int(pid), float(at)) for _, n, pid, at in found]


@pytest.mark.parametrize("server", ["redis", "redis-6.2", "valkey"])
def test_a_redis_that_is_full_takes_no_more_and_is_emptied(
    make_broker: MakeBroker, start_server: StartServer, server: str
) -> None:
    broker = make_broker(url=start_server(server).url)
    runs: list[int] = []

    def work(number: int = 0) -> None:
        runs.append(number)
        if number == 1 and runs.count(1) == 1:
            raise TransientError("the first time")

    actor = make_actor(work)
    actor.declare_on(broker)
    sent = [actor.send(number=number) for number in range(3)]
    sent += [actor.send_with_options(kwargs={"number": 3}, delay=200)]
    broker.client.config_set("maxmemory", 1)

    with pytest.raises(BrokerUnavailable, match="it is full: let workers empty it"):
        actor.send(number=4)
    with working(broker):  # that start only now
        assert all(ended(message, broker).state == "succeeded" for message in sent)

    assert sorted(runs) == [0, 1, 1, 2, 3]


def test_a_redis_that_hangs_is_told_within_seconds_and_makes_no_second_job(
    make_broker: MakeBroker, start_server: StartServer
) -> None:
    server = start_server()
    broker = make_broker(url=server.url)
    actor = make_actor(lambda number=0: number)
    actor.broker = broker
    broker.client.ping()
    message = actor.message(number=1)

    server.signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        broker.enqueue(message)
    waited = time.monotonic() - started
    server.signal(signal.SIGCONT)
    broker.enqueue(message)

    assert waited < 5
    assert broker.do_qsize("tests") == 1
