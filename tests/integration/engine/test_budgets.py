"""What a vendor allows is never exceeded, and everybody has a turn."""

from __future__ import annotations

import heapq
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from conftest import StartWorker, until
from nexus_actors import BrokerUnavailable, Postponed, RedisBroker, jobs
from nexus_actors.core import clock
from nexus_actors.engine.budgets import Budget, heed, spend, take
from nexus_actors.engine.scripts import Name, text_of
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker, ended, make_actor, settled, working
from scale import scaled


TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEXUS_CLOCK_FILE", str(tmp_path / "clock"))
    yield
    monkeypatch.delenv("NEXUS_CLOCK_FILE")


class Days:
    """Time as the test wants it, in ms from a day on."""

    start = clock.to_ms(datetime(2030, 1, 1, tzinfo=UTC))

    def go_to(self, ms: float) -> None:
        clock.move((self.start + ms) / 1000 - time.time())


@pytest.fixture
def days(moved: None) -> Days:  # noqa: ARG001 - the time can be moved
    days = Days()
    days.go_to(0)
    return days


#: When a call was made: after the first of these times, and before the second.
Made = tuple[float, float]


def never_exceeded(limit: int, window: float, made: list[Made]) -> bool:
    """Whether no window can have had more calls than the limit, for all we know."""
    earliest = sorted(before for before, _ in made)
    latest = sorted(after for _, after in made)
    gaps = zip(earliest, latest[limit:], strict=False)
    return all(after - before >= window for before, after in gaps)


def test_no_window_has_more_calls_than_the_limit_and_no_account_is_starved(
    make_broker: MakeBroker, days: Days
) -> None:
    """As it goes with jobs: each comes when it was told, or late, or not at all."""
    accounts, each = scaled((8, 30), full=(50, 200))
    brokers = [make_broker() for _ in range(2)]
    chance = random.Random(3)
    budgets = {
        name: Budget(f"tiktok:{name}:publish", limit=6, window_s=3, burst=burst)
        for name, burst in zip(range(accounts), [1, 1, 3, 6] * accounts, strict=False)
    }
    pending = [(0.0, name, job) for name in budgets for job in range(each)]
    chance.shuffle(pending)  # the same time: in no order
    coming = [(at, n, name, job) for n, (at, name, job) in enumerate(pending)]
    made: dict[int, list[Made]] = defaultdict(list)
    comes: Counter[tuple[int, int]] = Counter()
    outage_ms = 5_000

    while coming:
        at, n, name, job = heapq.heappop(coming)
        if outage_ms < at < outage_ms * 2:  # nobody works: all come at its end
            at = outage_ms * 2
        days.go_to(at)
        comes[name, job] += 1
        wait = take(
            budgets[name], holder=f"{name}-{job}", broker=brokers[chance.randrange(2)]
        )
        if not wait:
            made[name].append((at, clock.now_ms() - days.start))
        elif chance.random() > 0.01 or comes[name, job] == 1:
            late = chance.expovariate(1 / 20)
            heapq.heappush(coming, (at + wait + late, n, name, job))
        else:  # it was cancelled
            comes[name, job] = 0

    assert all(never_exceeded(6, 3_000, times) for times in made.values())
    jobs_made = sum(len(times) for times in made.values())
    assert jobs_made == sum(count > 0 for count in comes.values())
    for name, times in made.items():
        ideal = len(times) * 3_000 / (6 - budgets[name].burst + 1) + outage_ms
        assert max(at for at, _ in times) < ideal * 1.2 + 3_000
    # told when to come, and not to come and see
    assert sum(comes.values()) < 4 * accounts * each


def tens(*budgets: Budget, holder: str, broker: RedisBroker, calls: int = 1) -> int:
    """Return how long to wait, in tens of seconds: a busy machine changes nothing."""
    return round(take(*budgets, holder=holder, broker=broker, calls=calls) / 10_000)


def test_several_budgets_are_taken_together_or_not_at_all(
    broker: RedisBroker, days: Days
) -> None:
    app = Budget("app", limit=10, window_s=100, burst=10)
    one, two = [Budget(f"account-{n}", limit=1, window_s=600) for n in (1, 2)]

    assert tens(app, one, holder="a", broker=broker) == 0
    for number in range(12):  # many wait for their account alone
        wait = tens(app, one, holder=f"b{number}", broker=broker)
        assert wait == 60 * (number + 1)

    assert tens(app, two, holder="c", broker=broker) == 0
    assert tens(app, holder="d", broker=broker, calls=8) == 0
    assert tens(app, holder="e", broker=broker) == 10
    days.go_to(101_000)
    assert tens(app, holder="e", broker=broker) == 0


def test_who_waits_is_served_in_turn_and_newcomers_after_them(
    broker: RedisBroker, days: Days
) -> None:
    budget = Budget("any", limit=1, window_s=50)
    assert tens(budget, holder="first", broker=broker) == 0

    told = [tens(budget, holder=f"w{n}", broker=broker) for n in range(3)]

    assert told == [5, 10, 15]
    assert tens(budget, holder="w1", broker=broker) == 10  # it came too early
    days.go_to(51_000)
    assert tens(budget, holder="new", broker=broker) == 15
    assert tens(budget, holder="w0", broker=broker) == 0
    days.go_to(500_000)  # late, all of them
    assert tens(budget, holder="w2", broker=broker) == 0
    assert tens(budget, holder="w1", broker=broker) == 5
    assert tens(budget, holder="other", broker=broker) == 10
    assert tens(budget, holder="new", broker=broker) == 10  # it was before the other
    days.go_to(900_000)  # and who never comes is not waited for
    assert tens(budget, holder="another", broker=broker) == 0
    assert tens(budget, holder="last", broker=broker) == 5
    keys: Any = broker.client.keys("dramatiq:budgets:*")
    assert keys
    assert all(0 < broker.client.pttl(key) <= 170_000 for key in keys)


def test_what_the_vendor_says_wins(broker: RedisBroker, days: Days) -> None:
    budget = Budget("any", limit=100, window_s=10, burst=50)
    now = clock.now()

    heed(budget, remaining=4, reset=now + timedelta(seconds=400), broker=broker)
    assert tens(budget, holder="a", broker=broker) == 0
    assert tens(budget, holder="b", broker=broker) == 10
    heed(budget, remaining=0, reset=now + timedelta(seconds=300), broker=broker)
    heed(budget, blocked_until=now + timedelta(seconds=200), broker=broker)
    assert tens(budget, holder="c", broker=broker) == 40  # b comes first
    days.go_to(410_000)
    assert take(budget, holder="c", broker=broker) == 0
    assert not any(take(budget, holder=f"{n}", broker=broker) for n in range(40))

    with pytest.raises(ValueError, match="together"):
        heed(budget, remaining=4, broker=broker)


@pytest.mark.parametrize(
    ("key", "limit", "window_s", "burst"),
    [("", 1, 1, 1), ("k", 0, 1, 1), ("k", 1, 0, 1), ("k", 2, 1, 3), ("k", 2, 1, 0)],
)
def test_a_budget_that_cannot_be_is_refused(
    key: str, limit: int, window_s: float, burst: int
) -> None:
    with pytest.raises(ValueError, match=r"key|budget"):
        Budget(key, limit, window_s, burst)


def test_more_calls_than_may_ever_be_made_at_once_are_refused(
    broker: RedisBroker,
) -> None:
    with pytest.raises(ValueError, match="burst"):
        take(Budget("any", limit=6, window_s=3, burst=2), calls=3, broker=broker)


def test_a_lost_reply_wastes_a_call_at_most(
    make_broker: MakeBroker, redis_url: str
) -> None:
    budget = Budget("any", limit=1, window_s=10_000)
    with ReplyProxy(redis_url) as proxy:
        broker = make_broker(url=proxy.url)
        scripts: tuple[Name, ...] = ("spend", "heed")
        for name in scripts:
            broker.client.script_load(text_of(name))
            proxy.lose_reply_to(broker.run.sha(name).encode())

        with pytest.raises(BrokerUnavailable):
            spend(budget, holder="a", broker=broker)
        with pytest.raises(Postponed) as told:
            spend(budget, holder="a", broker=broker)
        with suppress(BrokerUnavailable):
            heed(budget, blocked_until=clock.now() + timedelta(20), broker=broker)
        heed(budget, blocked_until=clock.now(), broker=broker)
        assert proxy.wanted == ()

    until_s = (told.value.until - clock.now()).total_seconds()
    assert 9_900 < until_s <= 10_000
    days = take(budget, holder="a", broker=make_broker()) / 86_400_000
    assert days == pytest.approx(20, abs=0.01)


def test_a_job_without_room_runs_later_and_uses_up_no_attempt(
    broker: RedisBroker,
) -> None:
    runs: list[float] = []

    def work(number: int = 0) -> None:
        spend(Budget("any", limit=10, window_s=2), broker=broker)
        runs.append(number)

    actor = make_actor(work, max_retries=0)
    actor.declare_on(broker)
    sent = [actor.send(number=number) for number in range(5)]

    with working(broker, threads=4):
        records = [ended(message, broker) for message in sent]
        settled(broker)

    assert {(record.state, record.attempt) for record in records} == {("succeeded", 1)}
    assert sorted(runs) == list(range(5))


@pytest.mark.timeout(scaled(180, full=900))
def test_the_workers_of_many_processes_share_a_budget(
    broker: RedisBroker, start_worker: StartWorker, tmp_path: Path
) -> None:
    accounts, count = scaled((5, 40), full=(50, 10_000))
    notes = tmp_path / "notes"
    environ = {"NOTES": str(notes), "PYTHONPATH": str(TESTS)}
    for _ in range(2):
        start_worker("engine_actors", "-p", "1", "-t", "4", **environ)
    messages: list[Message[None]] = [
        Message("default", "publish", (n % accounts,), {}, {}) for n in range(count)
    ]
    broker.enqueue_many(messages)

    until(lambda: broker.do_qsize("default") == 0, scaled(60, full=600))

    made = [line.split() for line in notes.read_text().splitlines()]
    assert len(made) == count
    by_account: dict[str, list[Made]] = defaultdict(list)
    for _, account, pid, before, after in made:
        by_account[account].append((float(before), float(after)))
        assert pid != str(os.getpid())
    assert all(never_exceeded(6, 3, times) for times in by_account.values())
    assert len({pid for _, _, pid, *_ in made}) == 2
    records = [jobs.get(message.message_id) for message in messages]
    assert {(r.state, r.attempt) for r in records if r} == {("succeeded", 1)}
