"""Jobs a second, from the first `.send()` until a worker has done the last.

The jobs do nothing: what is measured is what the queue costs.  Ours checks each body
twice, and keeps a record and events of each job; stock dramatiq does neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from .queue_stage import Side, sides
from .runner import Contestants, scaled


UNIT = "jobs/s"
BETTER = "higher"
PEER = "dramatiq"
ROUNDS = 15
JOBS = 1000


def work_off(side: Side, jobs: int) -> float:
    """Send *jobs* messages to a worker that is there; return how many a second."""
    started = time.perf_counter()
    for _ in range(jobs):
        side.actor.send()
    side.wait_until_empty()
    return jobs / (time.perf_counter() - started)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Both brokers on one Redis."""
    with sides() as made:
        jobs = scaled(JOBS, scale)
        yield {name: partial(work_off, side, jobs) for name, side in made.items()}
