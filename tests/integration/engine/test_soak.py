"""Workers are killed, stopped and frozen, Redis is killed: no message is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis

from conftest import StartWorker, Worker, already_gone, until
from nexus_actors import BrokerUnavailable, RedisBroker
from nexus_actors.engine.embedded_redis import EmbeddedRedis, embedded_redis
from queues import MakeBroker, held
from scale import scaled


TESTS = Path(__file__).resolve().parents[2]
THREADS = 4


class Chaos:
    """Two worker processes and a Redis, and what may happen to them."""

    def __init__(self, state: Path, start_worker: StartWorker, notes: Path) -> None:
        self.chance = random.Random(7)
        self.state = state
        self.server = self.start_redis()
        self.environ = {
            "REDIS_URL": self.server.url,
            "NOTES": str(notes),
            "PYTHONPATH": str(TESTS),
            "NEXUS_HEARTBEAT_TIMEOUT_S": "2",
        }
        self.start_worker = start_worker
        self.workers = [self.start() for _ in range(2)]
        self.done: Counter[str] = Counter()

    def start_redis(self) -> EmbeddedRedis:
        self.context = embedded_redis(self.state)
        server = self.context.__enter__()
        with closing(redis.Redis.from_url(server.url)) as client:
            # else an answer may come before the write, while the disk is slow
            client.config_set("appendfsync", "always")
        return server

    def start(self) -> Worker:
        options = ("engine_actors", "-p", "1", "-t", str(THREADS))
        return self.start_worker(*options, **self.environ)

    def next(self) -> None:
        """Do the next thing: each in turn, to one of the two."""
        deeds = (self.kill, self.stop, self.freeze, self.restart_redis)
        deed = deeds[self.done.total() % len(deeds)]
        self.done[deed.__name__] += 1
        deed()

    def kill(self) -> None:
        self._replace(signal.SIGKILL)

    def stop(self) -> None:
        self._replace(signal.SIGTERM)

    def _replace(self, sign: signal.Signals) -> None:
        number = self.chance.randrange(2)
        with already_gone():
            os.killpg(self.workers[number].pid, sign)
        self.workers[number].wait()
        self.workers[number] = self.start()

    def freeze(self) -> None:
        """Stop a process for longer than it may give no sign of life."""
        pid = self.chance.choice(self.workers).pid
        with already_gone():
            os.killpg(pid, signal.SIGSTOP)
            time.sleep(3)
            os.killpg(pid, signal.SIGCONT)

    def restart_redis(self) -> None:
        assert self.server.process
        self.server.process.kill()
        self.server.process.wait()
        self.context.__exit__(None, None, None)
        self.server = self.start_redis()

    def end(self) -> None:
        for worker in self.workers:
            with already_gone():
                os.killpg(worker.pid, signal.SIGKILL)
        self.context.__exit__(None, None, None)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def chaos(tmp_path: Path, start_worker: StartWorker, notes: Path) -> Iterator[Chaos]:
    chaos = Chaos(tmp_path / "own-redis", start_worker, notes)
    yield chaos
    chaos.end()


@pytest.mark.timeout(scaled(180, full=1_500))
def test_no_message_is_missing_whatever_dies(
    make_broker: MakeBroker, chaos: Chaos, notes: Path, tmp_path: Path
) -> None:
    broker = make_broker(url=chaos.server.url)
    left = list(range(scaled(400, full=20_000)))
    count, ends = len(left), time.monotonic() + scaled(12, full=600)
    next_deed = time.monotonic() + 2

    while left or time.monotonic() < ends:
        if left:
            send(broker, left.pop(), chaos.chance)
        if next_deed < time.monotonic() < ends:
            chaos.next()
            next_deed = time.monotonic() + chaos.chance.uniform(0.5, 1.5)
        time.sleep(0.005)
    until(lambda: broker.do_qsize("default") == 0, 120)

    runs = Counter(numbers(notes))
    twice = sum(runs.values()) - len(runs)
    (tmp_path / "soak.json").write_text(json.dumps({**chaos.done, "twice": twice}))
    assert sorted(runs) == list(range(count))
    assert held(broker) == 0
    assert broker.client.zcard("dramatiq:default.XQ") == 0
    # a death or a freeze may double what ran there, and nothing else may
    assert twice <= THREADS * (chaos.done["kill"] + chaos.done["freeze"])


def send(broker: RedisBroker, number: int, chance: random.Random) -> None:
    """Send one message, again and again until it is known to be stored."""
    message: dramatiq.Message[Any] = dramatiq.Message(
        *("default", "work", (), {"number": number, "seconds": 0.02}),
        {"priority": chance.choice([5, 5, 5, 1, 9])},
    )
    delay = chance.choice([None, None, chance.randrange(4_000)])
    while True:
        try:
            broker.enqueue(message, delay=delay)
        except BrokerUnavailable:
            time.sleep(0.05)
        else:
            return


def numbers(notes: Path) -> list[int]:
    lines = notes.read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("end ")]
