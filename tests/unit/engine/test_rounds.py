"""Loops that do not come round are late; who works, or waits for Redis, is not."""

from __future__ import annotations

import time
from queue import Empty

import pytest

from nexus_actors.engine.rounds import Rounds, WorkQueue, rounds


def test_a_loop_that_does_not_come_round_is_late_until_it_does_or_leaves() -> None:
    seen = Rounds()
    seen.come("one")
    seen.come("two")

    assert seen.late(-9, redis_since=0) == ["one", "two"]
    assert seen.late(60, redis_since=0) == []
    seen.leave("one")
    assert seen.late(-9, redis_since=0) == ["two"]


def test_while_redis_is_away_and_just_after_only_who_does_not_ask_it_is_late() -> None:
    seen = Rounds()
    seen.come("asks", rests_s=0)
    seen.come("waits for work", rests_s=0, asks_redis=False)
    seen.come("rests", rests_s=60)
    time.sleep(0.02)

    assert seen.late(0.01, redis_since=None) == ["waits for work"]
    assert seen.late(0.01, redis_since=time.monotonic()) == ["waits for work"]
    assert seen.late(0.01, redis_since=0) == ["asks", "waits for work"]


def test_a_thread_with_a_job_is_in_no_round() -> None:
    queue = WorkQueue()
    with pytest.raises(Empty):
        queue.get(timeout=0.01)
    waiting = set(rounds.late(-9, redis_since=0))
    queue.put((0, "job"))

    assert queue.get() == (0, "job")

    [left] = waiting - set(rounds.late(-9, redis_since=0))
    assert left.startswith("worker thread ")
