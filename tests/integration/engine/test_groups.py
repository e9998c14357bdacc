"""Groups of one priority take turns; who has none is not held up by them."""

from __future__ import annotations

from typing import Any

from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from conftest import until
from nexus_actors import RedisBroker
from nexus_actors.core import clock
from queues import make_actor, settled, working


def work(number: int = 0) -> int:
    return number


def fill(broker: RedisBroker, group: str, count: int, *, priority: int = 5) -> None:
    """Store messages whose ids begin with their group."""
    wanted: dict[str, Any] = {"group": group} if group else {}
    actor = make_actor(work, track=False, priority=priority)
    broker.enqueue_many(
        actor.message_with_options(**wanted).copy(message_id=f"{group}-{number}")
        for number in range(count)
    )


def take(broker: RedisBroker, count: int) -> list[str]:
    """Fetch *count* messages one by one; return their groups in that order."""
    lease = broker.lease
    lease.serve("tests")
    now = clock.now_ms()
    found = []
    for _ in range(count):
        answer = broker.run(
            *("fetch", "some", "tests", lease.worker, now, 100, "me", 1)
        )
        found += [answer[1].decode().split("-")[0]]
    return found


def test_one_groups_backlog_holds_up_no_other(broker: RedisBroker) -> None:
    fill(broker, "a", 200)
    assert take(broker, 5) == ["a"] * 5

    fill(broker, "b", 1)
    assert "b" in take(broker, 2)

    fill(broker, "c", 3)
    fill(broker, "", 3)
    assert sorted(take(broker, 3)) == ["", "a", "c"]
    assert sorted(take(broker, 6)) == ["", "", "a", "a", "c", "c"]
    assert take(broker, 5) == ["a"] * 5


def test_a_group_takes_turns_within_its_priority_alone(broker: RedisBroker) -> None:
    fill(broker, "a", 20)
    fill(broker, "b", 4, priority=2)
    fill(broker, "c", 4, priority=2)

    taken = take(broker, 28)

    assert taken[:8].count("a") == 0
    assert [sorted(taken[at : at + 2]) for at in range(0, 8, 2)] == [["b", "c"]] * 4
    assert set(taken[8:]) == {"a"}
    broker.run("fetch", "some", "tests", broker.lease.worker, 1, 100, "me", 1)
    assert not broker.client.keys("dramatiq:tests.g*")
    assert not broker.client.keys("dramatiq:tests.ring*")
    assert not broker.client.exists("dramatiq:tests.bands")


def test_a_stock_worker_sees_messages_and_nothing_else(
    broker: RedisBroker, redis_url: str
) -> None:
    fill(broker, "a", 3)
    fill(broker, "", 3)
    listed: Any = broker.client.lrange("dramatiq:tests", 0, -1)
    assert listed == [b"-0", b"-1", b"-2"]
    stock = StockRedisBroker(url=redis_url)
    actor = make_actor(work)
    actor.declare_on(stock)

    with working(stock):
        until(lambda: broker.client.hlen("dramatiq:tests.msgs") == 3)
        until(lambda: broker.client.llen("dramatiq:tests") == 0)
    stock.close()
    actor.declare_on(broker)
    with working(broker):
        settled(broker)


def test_a_ring_that_a_hand_has_deleted_is_closed_again(broker: RedisBroker) -> None:
    fill(broker, "a", 2)
    fill(broker, "b", 2)
    broker.client.delete("dramatiq:tests.ring5", "dramatiq:tests.bands")
    assert broker.run("sweep", "tests", clock.now_ms()) == 4

    ids: Any = broker.client.hkeys("dramatiq:tests.msgs")
    assert broker.run("sweep", "tests", clock.now_ms(), *ids) == 0

    assert broker.run("sweep", "tests", clock.now_ms()) == 0
    taken = take(broker, 4)
    assert sorted(taken[:2]) == sorted(taken[2:]) == ["a", "b"]
