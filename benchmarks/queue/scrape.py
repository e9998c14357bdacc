"""How long an answer with the metrics of 50 queues takes, with few messages and many.

`answer` is all of it, `script` how long Redis does nothing else, and `processor` what
both take of one, which a busy machine changes less.  The messages are of five actors,
three priorities and hundreds of groups; some are delayed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter as now_s
from typing import Any

from dramatiq import Message

from benchmarks.runner import Contestants, Line, scaled
from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core import clock
from nexus_actors.engine.embedded_redis import embedded_redis
from nexus_actors.engine.metrics import Exporter


UNIT = "ms"
BETTER = "lower"
PEER = "few messages"
ROUNDS = 30
QUEUES = 50
FEW = 200
MANY = 20_000
LINES = (Line(contestant="many messages", peer="few messages", at_most=1.5),)

#: Of a queue's messages, one in so many is delayed.
DELAYED = 10


def fill(broker: RedisBroker, each: int) -> None:
    """Store *each* messages on every queue."""
    for queue in range(QUEUES):
        made = [message(f"queue-{queue}", number) for number in range(each)]
        broker.enqueue_many(made[each // DELAYED :])
        broker.enqueue_many(made[: each // DELAYED], delay=3_600_000)


def message(queue: str, number: int) -> Message[Any]:
    """Return one that is like few of its neighbours."""
    options: dict[str, Any] = {"track": False, "priority": (5, 5, 1, 9)[number % 4]}
    if number % 3 == 0:
        options["group"] = f"user-{number % 500}"
    body = {"number": number, "text": "x" * 40}
    return Message(queue, f"actor-{number % 5}", (), body, options)


def ask(broker: RedisBroker, exporter: Exporter) -> dict[str, float]:
    """Ask once; return how long it took."""
    redis_s, own_s, started = redis_cpu_s(broker), time.process_time(), now_s()
    exporter.render()
    answered, own_s = now_s(), time.process_time() - own_s
    redis_s = redis_cpu_s(broker) - redis_s
    began = now_s()
    broker.run("measure", clock.now_ms())
    return {
        "answer": (answered - started) * 1000,
        "processor": (own_s + redis_s) * 1000,
        "script": (now_s() - began) * 1000,
    }


def redis_cpu_s(broker: RedisBroker) -> float:
    """Return what Redis has used of a processor, in seconds."""
    info: Any = broker.client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Two Redis, one with few messages and one with many."""
    with ExitStack() as stack:
        made = {}
        for name, each in (
            ("few messages", FEW),
            ("many messages", scaled(MANY, scale)),
        ):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(embedded_redis(folder)).url
            settings = CoreSettings.load({"redis_url": url})
            broker = RedisBroker(settings)
            stack.callback(broker.close)
            fill(broker, each)
            made[name] = partial(ask, broker, Exporter(settings))
        yield made
