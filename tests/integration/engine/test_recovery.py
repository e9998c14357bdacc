"""What a worker ran when it died, froze or lost touch is run again, and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import StartWorker, already_gone, until
from nexus_actors import RedisBroker, TransientError, events, jobs, schedule
from nexus_actors.core import clock
from nexus_actors.engine.embedded_redis import EmbeddedRedis, embedded_redis
from nexus_actors.engine.recovery import Watch, recover
from queues import MakeBroker, ended, held, make_actor, working
from scale import full


TESTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Notes:
    """What the actors of real worker processes have noted."""

    path: Path

    def of(self, what: str) -> list[tuple[int, int, float]]:
        """Return number, process and time of each note."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [line.split() for line in lines if line.startswith(f"{what} ")]
        return [(int(n), int(pid), float(at)) for _, n, pid, at in found]

    def numbers(self, what: str) -> list[int]:
        return sorted(number for number, _, _ in self.of(what))

    def open_gate(self) -> None:
        self.path.with_name("gate").touch()

    def close_gate(self) -> None:
        self.path.with_name("gate").unlink()


@pytest.fixture
def notes(environ: dict[str, str], tmp_path: Path) -> Notes:
    notes = Notes(tmp_path / "notes" / "all")
    notes.path.parent.mkdir()
    environ |= {
        "NOTES": str(notes.path),
        "PYTHONPATH": str(TESTS),
        "NEXUS_HEARTBEAT_TIMEOUT_S": "2",
    }
    return notes


@pytest.fixture(params=[0, *(pytest.param(n, marks=full) for n in range(1, 20))])
def run(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def send(broker: RedisBroker, actor: str, **kwargs: Any) -> dramatiq.Message[Any]:
    return broker.enqueue(dramatiq.Message("default", actor, (), kwargs, {}))


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("timeout_s", "most_s"),
    [("2", 10), pytest.param("10", 15, marks=full), pytest.param("", 35, marks=full)],
    ids=["2 s", "10 s", "default"],
)
def test_what_a_killed_worker_ran_and_what_waited_is_run_by_another(
    broker: RedisBroker,
    start_worker: StartWorker,
    notes: Notes,
    timeout_s: str,
    most_s: float,
) -> None:
    timeout = {"NEXUS_HEARTBEAT_TIMEOUT_S": timeout_s}
    options = ("engine_actors", "-p", "1", "-t", "8")
    worker = start_worker(*options, **timeout)
    sent = [send(broker, "work", number=n, seconds=60) for n in range(16)]
    until(lambda: len(notes.of("start")) == 8)

    os.killpg(worker.pid, signal.SIGKILL)
    killed = time.time()
    start_worker(*options, **timeout)
    notes.open_gate()

    assert all(ended(m, broker, 60).state == "succeeded" for m in sent)
    again = [(n, at) for n, _, at in notes.of("start") if at > killed]
    assert sorted(n for n, _ in again) == list(range(16))
    assert max(at for _, at in again) - killed < most_s
    assert held(broker) == 0
    told = [event.name for event in events.listen(since="0", wait=False)]
    assert told.count("job.recovered") == 8


@pytest.fixture
def supervisor(
    environ: dict[str, str], notes: Notes, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The command that runs workers, with the test's actors beside the library's."""
    (tmp_path / "sitecustomize.py").write_text("import engine_actors\n")
    more = {
        "NEXUS_HEARTBEAT_TIMEOUT_S": "1",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{TESTS}",
    }
    command = [sys.executable, "-m", "nexus_actors", "worker", "--processes", "2"]
    with (tmp_path / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--threads", "3"],
            env=environ | more,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield process
    with already_gone():
        os.kill(process.pid, signal.SIGTERM)
    process.wait()
    assert notes.path.exists()


def test_a_message_that_kills_its_worker_is_run_alone_at_last_and_buried(
    broker: RedisBroker, supervisor: subprocess.Popen[bytes], notes: Notes
) -> None:
    neighbours = [send(broker, "work", number=n, seconds=0.5) for n in range(4)]

    def both_run() -> bool:
        neighbours.append(send(broker, "work", number=100))
        return len({pid for _, pid, _ in notes.of("start")}) == 2

    until(both_run)
    killer = send(broker, "die", number=99)
    neighbours += [send(broker, "work", number=n, seconds=0.5) for n in range(4, 12)]
    until(lambda: notes.numbers("start").count(99) == 2)
    while not jobs.get(killer.message_id, broker=broker).is_final:  # type: ignore[union-attr]
        neighbours.append(send(broker, "work", number=100))
        time.sleep(0.05)  # so that some come while it runs alone

    record = ended(killer, broker)

    assert record.state == "dead"
    assert record.error is not None
    assert record.error["code"] == "poison"
    assert all(ended(item, broker, 40).state == "succeeded" for item in neighbours)
    deaths = [(pid, at) for number, pid, at in notes.of("start") if number == 99]
    assert len(deaths) == 3
    pid, at = deaths[-1]
    assert alone(notes, pid, at)
    assert supervisor.poll() is None
    assert sibling_goes_on(notes, *deaths[0])
    assert broker.client.zrange("dramatiq:default.XQ", 0, -1) == [
        killer.message_id.encode()
    ]


def sibling_goes_on(notes: Notes, pid: int, at: float) -> bool:
    """Whether another process that ran when this one died runs on."""
    before = {p for _, p, t in notes.of("start") if t < at}
    after = {p for _, p, t in notes.of("start") if t > at + 0.5}
    return bool((before & after) - {pid})


def alone(notes: Notes, pid: int, at: float) -> bool:
    """Whether nothing else ran in a process from a time on."""
    began = {n for n, p, t in notes.of("start") if p == pid and n != 99 and t < at}
    done = {n for n, p, t in notes.of("end") if p == pid and t < at}
    later = [t for n, p, t in notes.of("start") if p == pid and t > at]
    return began == done and not later


def test_a_frozen_worker_that_wakes_up_tells_no_end_and_goes_on(
    broker: RedisBroker, start_worker: StartWorker, notes: Notes
) -> None:
    frozen = start_worker("engine_actors", "-p", "1", "-t", "1")
    message = send(broker, "work", number=1, seconds=60)
    until(lambda: len(notes.of("start")) == 1)
    first = notes.of("start")[0][1]

    os.killpg(frozen.pid, signal.SIGSTOP)
    start_worker("engine_actors", "-p", "1", "-t", "1")
    until(lambda: len(notes.of("start")) == 2)
    os.killpg(frozen.pid, signal.SIGCONT)
    until(lambda: len(names(broker)) == 2)  # it has taken another name
    notes.open_gate()
    record = ended(message, broker)
    until(lambda: len(notes.of("end")) == 2)

    assert record.state == "succeeded"
    assert record.worker is not None
    assert not record.worker.endswith(f":{first}")
    told = [event.name for event in events.listen(since="0", wait=False)]
    assert told.count("job.succeeded") == 1
    notes.close_gate()
    after = [send(broker, "work", number=n, seconds=60) for n in (2, 3)]
    until(lambda: len(notes.of("start")) == 4)  # each has one thread: both take one
    notes.open_gate()
    assert all(ended(item, broker).state == "succeeded" for item in after)
    assert first in {pid for n, pid, _ in notes.of("end") if n > 1}


def names(broker: RedisBroker) -> set[bytes]:
    found: Any = broker.client.hkeys("dramatiq:__workers__")
    return set(found)


def test_a_worker_that_fetches_nothing_for_long_is_not_taken_for_dead(
    make_broker: MakeBroker,
) -> None:
    busy, idle = [make_broker(heartbeat_timeout_s=1) for _ in range(2)]
    gate, starts = threading.Event(), []

    def work(number: int = 0) -> None:
        starts.append(number)
        gate.wait(20)

    actor = make_actor(work)
    actor.declare_on(busy)
    message = actor.send(number=1)
    for number in range(1_100):
        actor.send_with_options(kwargs={"number": number}, delay=60_000)

    with working(busy, threads=1):
        until(lambda: starts == [1])
        actor.declare_on(idle)
        with working(idle, threads=1):
            time.sleep(3)  # three times as long as a sign of life may be missing
            gate.set()
            ended(message, busy)

    assert starts == [1]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may kill."""
    with embedded_redis(tmp_path / "own-redis") as server:
        yield server


def test_an_outage_longer_than_the_time_out_is_nobodys_death(
    make_broker: MakeBroker,
    own_server: EmbeddedRedis,
    start_worker: StartWorker,
    notes: Notes,
) -> None:
    idle = make_broker(url=own_server.url, heartbeat_timeout_s=2)
    busy = start_worker(
        *("engine_actors", "-p", "1", "-t", "1"), REDIS_URL=own_server.url
    )
    message = send(idle, "work", number=1, seconds=60)
    until(lambda: len(notes.of("start")) == 1)
    make_actor(lambda number=0: number, queue="others").declare_on(idle)

    with working(idle, threads=1):
        time.sleep(0.5)  # it has seen the other's sign of life
        assert own_server.process
        own_server.process.kill()
        own_server.process.wait()
        time.sleep(2.5)
        os.killpg(busy.pid, signal.SIGSTOP)  # the idle one is back before it
        with embedded_redis(own_server.state):
            until(lambda: answers(idle.client))
            time.sleep(1.3)
            os.killpg(busy.pid, signal.SIGCONT)
            time.sleep(1)
            notes.open_gate()
            assert ended(message, idle).state == "succeeded"

            told = [e.name for e in events.listen(since="0", wait=False, broker=idle)]

    assert told == ["job.enqueued", "job.started", "job.succeeded"]
    assert notes.numbers("start") == [1]


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_what_redis_has_forgotten_or_remembers_wrongly_is_put_right(
    broker: RedisBroker,
) -> None:
    gate, starts = threading.Event(), []

    def work(number: int = 0) -> None:
        starts.append(number)
        gate.wait(20)
        jobs.current().check()  # nobody else has it

    actor = make_actor(work)
    actor.declare_on(broker)
    first = actor.send(number=1)
    with working(broker, threads=2):
        until(lambda: starts == [1])
        acks = f"dramatiq:__acks__.{broker.lease.worker}.tests"
        # an older state: the first waits, the second is here, and neither is so
        broker.drain()
        second = actor.send(number=2)
        pipeline = broker.client.pipeline()
        pipeline.srem(acks, first.message_id)
        pipeline.rpush("dramatiq:tests", first.message_id)
        pipeline.lrem("dramatiq:tests", 1, second.message_id)
        pipeline.sadd(acks, second.message_id)
        pipeline.execute()
        for _ in range(2):  # what is missing at one look may just be ending
            broker.lease.check()
        waiting: Any = broker.client.lrange("dramatiq:tests", 0, -1)

        assert waiting == [second.message_id.encode()]
        assert broker.client.smembers(acks) == {first.message_id.encode()}
        broker.draining.clear()
        gate.set()
        assert all(ended(m, broker).state == "succeeded" for m in (first, second))
    assert starts == [1, 2]


def test_a_running_job_outlives_a_redis_that_has_forgotten_everything(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(heartbeat_timeout_s=1)
    gate, starts = threading.Event(), []

    def work(number: int = 0) -> int:
        starts.append(number)
        gate.wait(20)
        jobs.current().check()  # nobody else has it
        if starts.count(number) == 1:
            raise TransientError("so that it is run again")
        return number

    actor = make_actor(work)
    actor.declare_on(broker)
    message = actor.send(number=1)
    with working(broker):
        until(lambda: starts == [1])
        broker.client.flushall()
        until(lambda: held(broker) == 1)
        gate.set()
        record = ended(message, broker)

    assert (record.state, record.attempt, record.result) == ("succeeded", 2, 1)
    assert starts == [1, 1]
    assert broker.do_qsize("tests") == 0


def test_a_job_that_outlasts_the_shutdown_is_another_workers_at_once(
    make_broker: MakeBroker,
) -> None:
    leaving, staying = make_broker(), make_broker()
    gates, starts = [threading.Event(), threading.Event()], list[int]()

    def work(number: int = 0) -> None:
        gate = gates[len(starts)]
        starts.append(number)
        gate.wait(20)

    actor = make_actor(work)
    actor.declare_on(leaving)
    message = actor.send(number=1)
    worker = dramatiq.Worker(leaving, worker_timeout=50, worker_threads=1)
    worker.start()
    until(lambda: starts == [1])

    worker.stop(timeout=100)

    assert staying.client.lrange("dramatiq:tests", 0, -1) == [
        message.message_id.encode()
    ]
    actor.declare_on(staying)
    with working(staying):
        until(lambda: starts == [1, 1])
        gates[0].set()  # the first end comes too late
        time.sleep(0.3)
        assert jobs.get(message.message_id, broker=staying).state == "running"  # type: ignore[union-attr]
        gates[1].set()
        assert ended(message, staying).state == "succeeded"


def test_what_a_dead_worker_of_plain_dramatiq_held_is_returned(
    broker: RedisBroker, redis_url: str
) -> None:
    stock = StockRedisBroker(url=redis_url)
    message: dramatiq.Message[Any] = dramatiq.Message("tests", "any", (), {}, {})
    stock.enqueue(message)
    stock.enqueue(message.copy(message_id="later"), delay=60_000)
    stock.do_fetch("tests", 10)
    stock.do_fetch("tests.DQ", 10)
    score: Any = broker.client.zscore("dramatiq:__heartbeats__", stock.broker_id)
    queues = ["tests", "tests.DQ"]

    assert recover(broker.run, stock.broker_id, "1", queues, ends=False) == 0
    seen = f"{score:.0f}"
    assert recover(broker.run, stock.broker_id, seen, queues, ends=False) == 2

    assert broker.client.llen("dramatiq:tests") == 1
    assert [item.job for item in schedule.upcoming()] == ["later"]
    assert held(broker) == 0
    stock.close()


def test_messages_that_are_in_no_place_are_found(broker: RedisBroker) -> None:
    def work(number: int = 0) -> int:
        return number

    actor = make_actor(work)
    urgent = actor.send_with_options(kwargs={"number": 1}, priority=2)
    held_by_nobody = actor.send(number=2)
    later = actor.send_with_options(kwargs={"number": 3}, delay=60_000)
    untouched = actor.send(number=4)
    broker.client.delete("dramatiq:tests.p2", "dramatiq:__schedule__")
    broker.client.lrem("dramatiq:tests", 1, held_by_nobody.message_id)
    broker.client.sadd("dramatiq:__acks__.gone.tests", held_by_nobody.message_id)

    broker.lease.serve("tests")
    watch = Watch(broker.client, broker.run, broker.namespace, broker.lease)
    watch.sweep()
    watch.sweep()

    assert broker.client.lrange("dramatiq:tests.p2", 0, -1) == [
        urgent.message_id.encode()
    ]
    assert broker.client.lrange("dramatiq:tests", 0, -1) == [
        untouched.message_id.encode(),
        held_by_nobody.message_id.encode(),
    ]
    [due] = schedule.upcoming()
    assert due.job == later.message_id
    assert due.due <= clock.now()
