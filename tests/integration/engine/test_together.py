"""Scripts that several threads run at once go together, and are answered apart."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
import redis

from nexus_actors import BrokerUnavailable
from nexus_actors.engine.broker import BATCH
from nexus_actors.testing.reply_proxy import ReplyProxy
from queues import MakeBroker, make_actor
from scale import scaled


THREADS = 8
CALLS = scaled(400, full=20_000)

#: Asks whether a worker runs a message; one that has no job cannot be stored again.
HOLD: Final = ("hold", "w", "tests")
UNTRACKED: Final = json.dumps({"message_id": "id", "options": {"track": False}})


def test_each_thread_gets_its_own_answer_though_one_reply_is_lost(
    make_broker: MakeBroker, proxy: ReplyProxy
) -> None:
    broker = make_broker(url=proxy.url)
    broker.run("join", "w", 1, json.dumps({"queues": ["tests"]}))
    odd = [f"id-{number}" for number in range(1, CALLS, 2)]
    broker.client.sadd("dramatiq:__acks__.w.tests", *odd)
    broker.client.script_flush()  # as after a restart of the server
    lost: list[int] = []

    def hold(number: int) -> int:
        while True:
            try:
                return int(broker.run.together(*HOLD, f"id-{number}", 1, UNTRACKED))
            except (redis.ConnectionError, redis.TimeoutError):
                lost.append(number)

    proxy.lose_reply_to(b"id-201\r\n")
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(hold, range(CALLS)))

    assert answers == [number % 2 for number in range(CALLS)]
    assert 201 in lost
    assert len(lost) <= THREADS


def test_what_gathers_while_another_is_under_way_is_sent_at_once(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker()
    broker.run(*HOLD, "id", 1, UNTRACKED)  # the script is known to the server
    before = broker.client.info("stats")["total_reads_processed"]

    broker.client.client_pause(300)  # the first waits for its answer
    threads = [
        threading.Thread(target=broker.run.together, args=(*HOLD, "id", 1, UNTRACKED))
        for _ in range(THREADS)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert time.monotonic() - started < 5
    reads = broker.client.info("stats")["total_reads_processed"] - before
    assert reads < THREADS


def test_a_bulk_keeps_its_order_and_can_be_sent_again(
    make_broker: MakeBroker, proxy: ReplyProxy
) -> None:
    broker = make_broker(url=proxy.url)
    actor = make_actor(lambda: None)
    messages = [actor.message() for _ in range(3 * BATCH + 1)]
    ids = [message.message_id.encode() for message in messages]
    broker.client.script_flush()  # as after a restart of the server

    broker.enqueue_many(messages)
    stored = broker.client.lrange("dramatiq:tests", 0, -1)
    broker.client.flushall()
    proxy.lose_reply_to(ids[BATCH + 1])  # of the second step
    with pytest.raises(BrokerUnavailable):
        broker.enqueue_many(messages)
    broker.enqueue_many(messages)

    assert stored == ids
    assert sorted(broker.client.lrange("dramatiq:tests", 0, -1)) == sorted(ids)
