"""Milliseconds from `.send()` until an idle worker has begun with the job.

With the defaults of each: ours keeps records and tells events.  Every other job has
another priority than the default.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.runner import Contestants, Line, scaled

from .stage import Side, sides, workers


UNIT = "ms"
BETTER = "lower"
PEER = "BullMQ"
ROUNDS = 3
MESSAGES = 12
LINES = (Line(contestant="nexus-actors", peer="BullMQ", at_most=1),)

#: How long a worker has been idle before it gets a message, in seconds: long enough
#: for every poll to be as slow as it gets, and never in step with it.
IDLE_S = (1.2, 2.4)


def pick_up(side: Side, scale: float) -> dict[str, float]:
    """Send single messages; return how long they waited."""
    waited = []
    for number in range(scaled(MESSAGES, scale)):
        time.sleep(random.uniform(*IDLE_S) * min(1, 10 * scale))
        side.send_timed(priority=1 if number % 2 else None)
        waited.append(side.timed()[1])
    return {
        "p50": statistics.median(waited),
        "p95": statistics.quantiles([*waited, *waited], n=20, method="inclusive")[-1],
    }


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All sides but the untracked one, each with its worker."""
    with sides("nexus-actors", "dramatiq", "BullMQ") as made, workers(made.values()):
        yield {name: partial(pick_up, side, scale) for name, side in made.items()}
