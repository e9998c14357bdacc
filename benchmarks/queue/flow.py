"""Jobs a second, from the first `.send()` until a worker has done the last.

Sent one by one while a worker process with 8 threads works: sender, worker and Redis
share the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.runner import Contestants, Line, scaled

from .stage import Side, sides, workers


UNIT = "jobs/s"
BETTER = "higher"
PEER = "dramatiq"
ROUNDS = 7
JOBS = 2000
LINES = (
    Line(contestant="nexus-actors", peer="dramatiq", at_least=0.7),
    Line(contestant="nexus-actors untracked", peer="dramatiq", at_least=0.9),
)


def work_off(side: Side, jobs: int) -> float:
    """Send *jobs* jobs to a worker that is there; return how many a second."""
    started = time.perf_counter()
    side.send_each(jobs)
    side.wait_until_empty()
    return jobs / (time.perf_counter() - started)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All sides, each with its worker."""
    with sides() as made, workers(made.values()):
        jobs = scaled(JOBS, scale)
        yield {name: partial(work_off, side, jobs) for name, side in made.items()}
