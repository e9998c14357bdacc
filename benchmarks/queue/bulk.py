"""Jobs a second that one process stores, some hundred in a step where it can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.runner import Contestants, Line, scaled

from .stage import Side, sides


UNIT = "jobs/s"
BETTER = "higher"
PEER = "dramatiq"
ROUNDS = 5
JOBS = 10_000
LINES = (
    Line(contestant="nexus-actors", peer="dramatiq", at_least=3.5),
    Line(contestant="nexus-actors untracked", peer="dramatiq", at_least=8),
)


def store(side: Side, jobs: int) -> float:
    """Send *jobs* jobs as fast as may be; return how many a second."""
    rate = jobs / side.send_bulk(jobs)
    side.clear()
    return rate


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All sides; bare dramatiq has no bulk, and sends one by one."""
    with sides() as made:
        jobs = scaled(JOBS, scale)
        yield {name: partial(store, side, jobs) for name, side in made.items()}
