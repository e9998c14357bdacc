"""A cancelled job does not run, or not to its end; a late one neither."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import until
from nexus_actors import (
    Cancelled,
    RedisBroker,
    TimeLimitError,
    UnsupportedFeatureError,
    events,
    jobs,
    schedule,
)
from nexus_actors.video.process import Runner
from queues import MakeBroker, ended, held, make_actor, running, settled, working


HOUR_MS = 3_600_000

#: How soon a job has ended that was asked to, also on a busy machine, in seconds.
SOON_S = 10


def told(broker: RedisBroker, job: str) -> list[str]:
    found = events.listen(since="0", wait=False, broker=broker)
    return [event.name for event in found if event.job == job]


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


class Sleeper:
    """An actor's body that waits for a process with a child, in one of many ways."""

    __module__ = "tests"
    __name__ = "sleep"

    def __init__(self, folder: Path, wait: Callable[[list[str]], object]) -> None:
        self.pids = folder / "pids"
        self.wait = wait
        self.runs = 0

    def __call__(self, number: int = 0) -> None:  # noqa: ARG002 - the body's field
        self.runs += 1
        script = f"trap 'touch {self.pids}.asked; exit' TERM; sleep 60 & "
        script += f"echo $$ $! > {self.pids}.part; mv {self.pids}.part {self.pids}; "
        script += "wait"
        self.wait(["/bin/sh", "-c", script])

    def processes(self) -> list[int]:
        until(self.pids.exists)
        return [int(pid) for pid in self.pids.read_text().split()]

    def has_ended_well(self) -> bool:
        """Tell whether the process was asked to end, and nothing is left of it."""
        asked = self.pids.with_name("pids.asked").exists()
        return asked and all(is_gone(pid) for pid in self.processes())


def with_runner(command: list[str]) -> None:
    """As the video domain does it: asks all the time."""
    Runner(Path("/tmp"), jobs.current().check).run(command)


def with_subprocess(command: list[str]) -> None:
    """As plain Python does it: asks nobody."""
    subprocess.run(command, check=True)


def in_python(_: list[str]) -> None:
    while True:
        time.sleep(0.05)


@pytest.mark.parametrize("wait", [with_runner, with_subprocess, in_python])
def test_a_running_job_ends_when_it_is_cancelled_and_is_not_run_again(
    broker: RedisBroker, tmp_path: Path, wait: Callable[[list[str]], object]
) -> None:
    sleeper = Sleeper(tmp_path, wait)
    actor = make_actor(sleeper)
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=1)
        until(lambda: running(message, broker) and sleeper.runs == 1)
        if wait is not in_python:
            sleeper.processes()  # it is there
        assert jobs.cancel(message.message_id) == "asked"
        assert jobs.cancel(message.message_id) == "asked"
        record = ended(message, broker, SOON_S)
        settled(broker)

    assert (record.state, record.error, sleeper.runs) == ("cancelled", None, 1)
    assert record.finished_at is not None
    assert told(broker, message.message_id)[-1] == "job.cancelled"
    assert wait is in_python or sleeper.has_ended_well()
    assert held(broker) == 0
    assert not broker.client.exists("dramatiq:__cancels__", "dramatiq:tests.XQ")
    assert broker.client.ttl(f"dramatiq:job:{message.message_id}") > 0
    assert jobs.cancel(message.message_id) == "ended"


def test_what_waits_is_taken_away_at_once(broker: RedisBroker) -> None:
    actor = make_actor(lambda number=0: number, queue="tests")
    queued = actor.send_with_options(kwargs={"number": 1}, priority=0)
    other = actor.send(number=2)
    later = actor.send_with_options(kwargs={"number": 3}, delay=HOUR_MS)

    assert jobs.cancel(queued.message_id) == "cancelled"
    assert jobs.cancel(later.message_id) == "cancelled"
    assert jobs.cancel(later.message_id) == "ended"

    assert not schedule.upcoming()
    assert broker.client.hkeys("dramatiq:tests.msgs") == [other.message_id.encode()]
    assert ended(queued, broker).state == "cancelled"
    assert told(broker, queued.message_id) == ["job.enqueued", "job.cancelled"]
    broker.enqueue(queued)  # may be sent again
    assert jobs.get(queued.message_id).state == "queued"  # type: ignore[union-attr]


def test_a_job_that_is_faster_than_its_cancel_stays_succeeded(
    broker: RedisBroker,
) -> None:
    def race(number: int = 0) -> int:
        assert jobs.cancel(jobs.current().id) == "asked"
        return number

    actor = make_actor(race)
    actor.declare_on(broker)

    with working(broker):
        message = actor.send(number=1)
        record = ended(message, broker)

    assert (record.state, record.result) == ("succeeded", 1)
    assert jobs.cancel(message.message_id) == "ended"
    assert not broker.client.exists("dramatiq:__cancels__")


def test_a_cancel_outlives_the_worker_that_should_have_heard_it(
    make_broker: MakeBroker,
) -> None:
    dead, broker = [make_broker(heartbeat_timeout_s=1) for _ in range(2)]
    runs: list[int] = []
    actor = make_actor(lambda number=0: runs.append(number), queue="tests")
    actor.declare_on(broker)
    message = actor.send(number=1)
    dead.lease.serve("tests")
    dead.run("fetch", "some", "tests", dead.lease.worker, 1, 100, "dead", 1)

    assert jobs.cancel(message.message_id) == "asked"
    with working(broker):
        record = ended(message, broker)

    assert (record.state, runs) == ("cancelled", [])
    assert not broker.client.exists("dramatiq:__cancels__", "dramatiq:tests.msgs")


def test_what_cannot_be_cancelled_is_told(broker: RedisBroker) -> None:
    actor = make_actor(lambda number=0: number, queue="tests", track=False)
    actor.broker = broker
    messages = [
        actor.send(number=1),
        actor.send_with_options(kwargs={"number": 2}, delay=HOUR_MS),
    ]
    broker.queues.add("tests")

    for message in messages:
        with pytest.raises(UnsupportedFeatureError, match="track=False"):
            jobs.cancel(message.message_id, broker=broker)
    with pytest.raises(LookupError, match="no job 'any'"):
        jobs.cancel("any", broker=broker)
    dramatiq.set_broker(StockRedisBroker(url="redis://127.0.0.1:1"))
    with pytest.raises(UnsupportedFeatureError, match="cancelling"):
        jobs.cancel("any")


@pytest.mark.parametrize("wait", [with_runner, with_subprocess])
def test_a_job_over_its_time_limit_is_ended_with_its_processes_and_tried_again(
    broker: RedisBroker, tmp_path: Path, wait: Callable[[list[str]], object]
) -> None:
    sleeper = Sleeper(tmp_path, wait)
    actor = make_actor(sleeper, time_limit=400, max_retries=1)
    actor.declare_on(broker)

    with working(broker):
        started = time.monotonic()
        record = ended(actor.send(number=1), broker, 2 * SOON_S)

    assert 0.8 < time.monotonic() - started < 2 * SOON_S
    assert (record.state, record.attempt, sleeper.runs) == ("dead", 2, 2)
    assert record.error is not None
    assert record.error["type"] == TimeLimitError.__name__
    assert record.error["code"] == "time_limit"
    assert "limit of 0.4 s" in record.error["message"]
    assert sleeper.has_ended_well()


def test_an_actor_may_rule_out_another_try_after_its_time_limit(
    broker: RedisBroker,
) -> None:
    def poll(number: int = 0) -> None:
        while number:
            jobs.current().check()
            time.sleep(0.02)

    actor = make_actor(poll, time_limit=200, throws=TimeLimitError)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=1), broker)

    assert (record.state, record.attempt) == ("dead", 1)


def test_what_blocks_for_another_reason_is_named_and_ends_as_late(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()

    def block(number: int = 0) -> None:  # noqa: ARG001 - the body's field
        lock = threading.Lock()
        lock.acquire()

        def release() -> None:
            gate.wait(30)
            lock.release()

        threading.Thread(target=release).start()
        lock.acquire()  # nothing from outside ends this wait

    actor = make_actor(block, time_limit=200, max_retries=0)
    actor.declare_on(broker)

    def is_named() -> bool:
        return "job.does_not_end" in caplog.text

    with working(broker):
        message = actor.send(number=1)
        until(is_named)
        assert running(message, broker)
        gate.set()
        record = ended(message, broker)

    assert f"{__file__}:" in caplog.text
    assert "in test_what_blocks" in caplog.text
    assert record.error is not None
    assert (record.state, record.error["code"]) == ("dead", "time_limit")


def test_a_host_actor_hears_of_its_cancel_where_it_asks(broker: RedisBroker) -> None:
    heard: list[Cancelled] = []

    def ask(number: int = 0) -> None:
        while number:
            try:
                jobs.current().check()
            except Cancelled as error:
                heard.append(error)
                raise
            time.sleep(0.02)

    actor = dramatiq.actor(broker=broker, max_retries=0)(ask)

    with working(broker):
        message = actor.send(1)
        until(lambda: running(message, broker))
        jobs.cancel(message.message_id)
        record = ended(message, broker)

    assert record.state == "cancelled"
    assert len(heard) == 1


def test_an_interrupt_hits_nothing_but_the_actor(broker: RedisBroker) -> None:
    """The attempt fails in time; its time ends while dramatiq logs that."""
    errors = [ValueError("once")]

    def fail_once(number: int = 0) -> int:
        if errors:
            raise errors.pop()
        return number

    def log_slowly(record: logging.LogRecord) -> bool:
        ends = time.monotonic() + (1.0 if record.levelno == logging.ERROR else 0)
        while time.monotonic() < ends:
            pass
        return True

    actor = make_actor(fail_once, time_limit=300)
    actor.declare_on(broker)
    actor.declare_on(broker)
    log = logging.getLogger("dramatiq.worker.WorkerThread")
    log.addFilter(log_slowly)

    with working(broker, threads=1):
        record = ended(actor.send(number=1), broker, SOON_S)

    log.removeFilter(log_slowly)
    assert (record.state, record.attempt, record.result) == ("succeeded", 2, 1)
