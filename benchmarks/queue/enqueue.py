"""Jobs a second that one process stores one by one, with nobody to work them off."""

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
JOBS = 4000
LINES = (
    Line(contestant="nexus-actors", peer="dramatiq", at_least=0.75),
    Line(contestant="nexus-actors untracked", peer="dramatiq", at_least=0.9),
)


def store(side: Side, jobs: int) -> float:
    """Send *jobs* jobs one after the other; return how many a second."""
    rate = jobs / side.send_each(jobs)
    side.clear()
    return rate


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All sides."""
    with sides() as made:
        jobs = scaled(JOBS, scale)
        yield {name: partial(store, side, jobs) for name, side in made.items()}
