"""Milliseconds from `.send()` until an idle worker has begun with the job."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .queue_stage import LIMIT_S, Side, sides
from .runner import BenchmarkError, Contestants, scaled


UNIT = "ms"
BETTER = "lower"
PEER = "dramatiq"
ROUNDS = 10
MESSAGES = 5

#: How long a worker has been idle before it gets a message, in seconds: long enough
#: for every poll to be as slow as it gets, and never in step with it.
IDLE_S = (1.2, 2.4)


def pick_up(side: Side, scale: float) -> float:
    """Send single messages; return the median of how long they waited."""
    waited = []
    for _ in range(scaled(MESSAGES, scale)):
        time.sleep(random.uniform(*IDLE_S) * min(1, 10 * scale))
        side.actor.send(sent=time.time())
        answer: Any = side.broker.client.blpop("waited", timeout=LIMIT_S)
        if answer is None:
            raise BenchmarkError(f"no worker took a message in {LIMIT_S} s")
        waited.append(float(answer[1]) * 1000)
    return statistics.median(waited)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Both brokers on one Redis."""
    with sides() as made:
        yield {name: partial(pick_up, side, scale) for name, side in made.items()}
