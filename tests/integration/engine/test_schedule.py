"""What is to run later waits in Redis, and runs at its time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import StartWorker, until
from nexus_actors import (
    ConfigurationError,
    InvalidRequestError,
    RedisBroker,
    UnsupportedFeatureError,
    events,
    jobs,
    schedule,
)
from nexus_actors.core import clock
from nexus_actors.engine.cron import Entry
from nexus_actors.engine.schedule import promote
from queues import MakeBroker, ended, held, make_actor, settled, working
from scale import scaled


HOUR_MS = 3_600_000
TESTS = Path(__file__).resolve().parents[2]


def work(number: int = 0) -> int:
    return number


@pytest.mark.parametrize("protocol", ["", "?protocol=3"])
def test_what_waits_is_listed_in_its_order_moved_and_cancelled(
    make_broker: MakeBroker, redis_url: str, protocol: str
) -> None:
    broker = make_broker(url=redis_url + protocol)
    actor = make_actor(work)
    sent = [
        actor.send_with_options(kwargs={"number": hours}, delay=hours * HOUR_MS)
        for hours in (2, 1, 3)
    ]
    two, one, three = [message.message_id for message in sent]

    assert [item.job for item in schedule.upcoming()] == [one, two, three]
    assert [item.job for item in schedule.upcoming(1)] == [one]
    assert schedule.upcoming()[0].queue == "tests"
    assert schedule.move(three, clock.now() + timedelta(minutes=1))
    assert [item.job for item in schedule.upcoming()] == [three, one, two]
    assert schedule.cancel(one)
    assert not schedule.cancel(one)
    assert not schedule.move(one, clock.now())

    record = jobs.get(one)
    assert record is not None
    assert record.state == "cancelled"
    told = [e.job for e in events.listen(since="0", wait=False) if "cancel" in e.name]
    assert told == [one]
    broker.enqueue(sent[1])  # may be sent again
    assert jobs.get(one).state == "queued"  # type: ignore[union-attr]


def test_what_was_moved_to_now_runs_and_what_was_cancelled_does_not(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    actor.declare_on(broker)
    sent = [actor.send_with_options(kwargs={}, delay=HOUR_MS) for _ in range(2)]

    with working(broker):
        schedule.cancel(sent[0].message_id)
        schedule.move(sent[1].message_id, clock.now() - timedelta(days=1))
        assert ended(sent[1], broker).state == "succeeded"
        settled(broker)

    assert ended(sent[0], broker).state == "cancelled"


@pytest.mark.parametrize(
    "delay", ["5", float("nan"), float("inf"), -float("inf"), timedelta(days=40_000)]
)
def test_a_delay_that_is_none_is_refused_and_nothing_is_stored(
    broker: RedisBroker, delay: Any
) -> None:
    actor = make_actor(work)

    with pytest.raises(InvalidRequestError, match="is no number of ms up to a hundred"):
        actor.send_with_options(kwargs={"number": 1}, delay=delay)

    assert schedule.upcoming(broker=broker) == []


def test_what_another_has_put_beyond_all_dates_does_not_hide_the_rest(
    broker: RedisBroker,
) -> None:
    actor = make_actor(work)
    far, near = (
        actor.send_with_options(kwargs={"number": 1}, delay=HOUR_MS).message_id
        for _ in range(2)
    )
    broker.client.zadd(f"{broker.namespace}:__schedule__", {far: 1e18})

    assert [item.job for item in schedule.upcoming()] == [near, far]
    assert schedule.upcoming()[-1].due.year == 9999


def test_a_time_without_a_zone_is_refused(broker: RedisBroker) -> None:
    with pytest.raises(ValueError, match="time zone"):
        schedule.move("any", datetime(2030, 1, 1), broker=broker)  # noqa: DTZ001


def test_a_broker_that_is_not_ours_has_no_schedule(
    no_broker: None,  # noqa: ARG001 - what is set here is unset after the test
) -> None:
    dramatiq.set_broker(StockRedisBroker(url="redis://127.0.0.1:1"))

    with pytest.raises(UnsupportedFeatureError, match="schedule"):
        schedule.upcoming()


def test_far_future_messages_hold_up_nothing_and_no_worker_holds_them(
    broker: RedisBroker, start_worker: StartWorker, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    environ = {"NOTES": str(notes), "PYTHONPATH": str(TESTS)}
    start_worker("engine_actors", "-p", "1", "-t", "1", **environ)

    def run(actor: str, delay: int | None = None) -> jobs.JobRecord:
        message: dramatiq.Message[Any] = dramatiq.Message(
            "default", actor, (), {"number": 1}, {}
        )
        return ended(broker.enqueue(message, delay=delay), broker, 60)

    assert run("work").state == "succeeded"
    pid = int(notes.read_text().split()[2])
    idle_mb = memory_mb(pid)
    far: list[dramatiq.Message[Any]] = [
        dramatiq.Message("default", "work", (), {"number": 9}, {})
        for _ in range(scaled(2_000, full=50_000))
    ]
    broker.enqueue_many(far, delay=24 * HOUR_MS)

    record = run("stumble")
    assert (record.state, record.attempt) == ("succeeded", 2)
    assert record.started_at
    assert record.enqueued_at
    # due after one to two seconds; a busy machine is late for other reasons
    assert (record.started_at - record.enqueued_at).total_seconds() < 10
    assert run("work", delay=300).state == "succeeded"
    assert held(broker) == 0
    assert len(schedule.upcoming(60_000)) == len(far)
    assert memory_mb(pid) - idle_mb < 20


def memory_mb(pid: int) -> float:
    """Return how much of a process is in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_delayed_messages_run_at_their_time(broker: RedisBroker) -> None:
    count = scaled(200, full=2_000)
    late: list[float] = []

    def note(number: int = 0) -> None:
        late.append(clock.now_ms() - number)

    actor = make_actor(note)
    actor.declare_on(broker)
    first = clock.now_ms() + 1_000

    with working(broker, threads=8):
        for number in range(count):
            due = first + number * 5
            delay = due - clock.now_ms()
            actor.send_with_options(kwargs={"number": due}, delay=delay)
        until(lambda: len(late) == count)

    assert min(late) >= 0
    # small: a busy machine is late for other reasons
    assert sorted(late)[int(count * 0.95)] < scaled(1_000, full=50)


def test_a_job_that_sends_its_own_message_runs_again(broker: RedisBroker) -> None:
    runs: list[float] = []

    def again(number: int = 0) -> int:
        runs.append(time.monotonic())
        if len(runs) < 3:
            message: dramatiq.Message[Any] = dramatiq.Message(
                *("tests", "tests.again", (), {"number": number}, {}),
                message_id=jobs.current().id,
            )
            broker.enqueue(message, delay=100 if len(runs) == 1 else None)
        return number

    actor = make_actor(again)
    actor.declare_on(broker)

    with working(broker):
        record = ended(actor.send(number=7), broker)

    assert (record.state, record.result, len(runs)) == ("succeeded", 7, 3)
    assert runs[1] - runs[0] >= 0.1


def test_what_a_stock_producer_has_delayed_is_moved_to_the_schedule(
    broker: RedisBroker, redis_url: str
) -> None:
    stock = StockRedisBroker(url=redis_url)
    make_actor(work).declare_on(broker)
    message: dramatiq.Message[Any] = dramatiq.Message("tests", "any", (), {}, {})
    stock.enqueue(message, delay=HOUR_MS)
    broker.client.rpush("dramatiq:tests.DQ", "lost", "bad")
    broker.client.hset("dramatiq:tests.DQ.msgs", "bad", b"no json")

    promote(broker)

    assert [item.job for item in schedule.upcoming()] == [message.message_id]
    assert broker.client.hlen("dramatiq:tests.DQ.msgs") == 0
    assert broker.client.hkeys("dramatiq:tests.XQ.msgs") == [b"bad"]
    stock.close()


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEXUS_CLOCK_FILE", str(tmp_path / "clock"))
    yield
    monkeypatch.delenv("NEXUS_CLOCK_FILE")


def move_to(instant: datetime) -> None:
    clock.move((instant - datetime.now(UTC)).total_seconds())


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("day", [(2027, 3, 28), (2027, 10, 31)])
def test_a_cron_entry_is_sent_once_for_each_due_time_by_many_workers(
    make_broker: MakeBroker, day: tuple[int, int, int]
) -> None:
    brokers = [make_broker() for _ in range(2)]
    actor = make_actor(work, cron="* * * * *", time_zone="Europe/Berlin")
    start = datetime(*day, 0, 30, 30, tzinfo=UTC)  # the clocks change at one
    minutes = scaled(60, full=2 * 24 * 60)
    move_to(start)
    for broker in brokers:
        actor.declare_on(broker)

    for minute in range(minutes):
        move_to(start + timedelta(minutes=minute))
        for broker in brokers[:: 1 if minute % 2 else -1]:
            for entry in broker.crons.values():
                entry.send_if_due(broker)

    ids: Any = brokers[0].client.lrange("dramatiq:tests", 0, -1)
    counted = Counter(ids)
    due = [start.replace(second=0) + timedelta(minutes=n) for n in range(1, minutes)]
    wanted = {f"{actor.actor_name}@{clock.to_ms(at)}".encode() for at in due}
    assert set(counted) == wanted
    assert set(counted.values()) == {1}


@pytest.mark.usefixtures("moved")
def test_of_what_was_missed_only_the_last_is_made_up_for(
    make_broker: MakeBroker,
) -> None:
    actor = make_actor(work, cron="0 * * * *")
    start = datetime(2027, 1, 1, 0, 30, tzinfo=UTC)
    first, second = make_broker(), make_broker()
    for hours, broker in ((0, first), (10, second)):  # nobody works in between
        move_to(start + timedelta(hours=hours))
        actor.declare_on(broker)
        broker.crons[actor.actor_name].send_if_due(broker)

    last = clock.to_ms(datetime(2027, 1, 1, 10, tzinfo=UTC))
    assert first.client.lrange("dramatiq:tests", 0, -1) == [
        f"{actor.actor_name}@{last}".encode()
    ]


@pytest.mark.parametrize(
    ("after", "due"),
    [
        # half past two does not exist on the first of these days, and exists twice
        # on the second
        ("2027-03-27T12:00+00:00", ["2027-03-28T01:00", "2027-03-29T00:30"]),
        ("2027-10-30T12:00+00:00", ["2027-10-31T00:30", "2027-11-01T01:30"]),
    ],
)
def test_a_daily_entry_runs_once_on_the_days_when_the_clocks_change(
    after: str, due: list[str]
) -> None:
    entry = Entry("tests.any", "tests", "30 2 * * *", "Europe/Berlin")
    instant, found = datetime.fromisoformat(after), []

    for _ in due:
        instant = entry.following(instant)
        found.append(instant.strftime("%Y-%m-%dT%H:%M"))

    assert found == due


@pytest.mark.parametrize(
    ("cron", "zone", "wrong"),
    [
        ("every day", "UTC", "'every day' is no cron expression"),
        ("0 0 31 2 *", "UTC", "is no cron expression that ever comes"),
        ("* * * * *", "Mars/Olympus", "'Mars/Olympus' is no time zone"),
        ("* * * * *", "../../etc/passwd", "is no time zone"),
    ],
)
def test_an_entry_that_never_comes_is_refused_when_it_is_declared(
    broker: RedisBroker, cron: str, zone: str, wrong: str
) -> None:
    actor = make_actor(work, cron=cron, time_zone=zone)

    with pytest.raises(ConfigurationError, match=wrong):
        actor.declare_on(broker)


def test_a_worker_runs_what_the_clock_asks_for(broker: RedisBroker) -> None:
    actor = make_actor(work, cron="* * * * * *")  # each second
    actor.declare_on(broker)

    with working(broker):
        until(lambda: len(succeeded(broker)) >= 2)

    assert len(set(succeeded(broker))) == len(succeeded(broker))
    assert all(job.startswith("tests.work@") for job in succeeded(broker))


def succeeded(broker: RedisBroker) -> list[str]:
    told = events.listen(since="0", wait=False, broker=broker)
    return [event.job for event in told if event.name == "job.succeeded"]
