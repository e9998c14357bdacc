"""Jobs a second that one worker process, and two, work off from a full queue.

The jobs do nothing: what is measured is what the queue costs.  The workers have 8
threads each.  They run and are warm; while the queue is filled, they are stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.runner import Contestants, Line, scaled

from .stage import Side, Workers, sides, workers


UNIT = "jobs/s"
BETTER = "higher"
PEER = "dramatiq"
ROUNDS = 3
JOBS = 20_000
LINES = (
    Line(contestant="nexus-actors", peer="dramatiq", at_least=0.7),
    Line(contestant="nexus-actors untracked", peer="dramatiq", at_least=0.9),
)


def work_off(side: Side, jobs: int) -> dict[str, float]:
    """Work off *jobs* with two processes and with one; return how many a second."""
    with workers([side], count=2) as [running]:
        two = drain(running, jobs)
        running.drop()
        return {"1 process": drain(running, jobs), "2 processes": two}


def drain(running: Workers, jobs: int) -> float:
    """Fill the queue and let the workers empty it; return how many jobs a second."""
    running.freeze()
    running.side.send_bulk(jobs)
    started = time.perf_counter()
    running.thaw()
    running.side.wait_until_empty()
    return jobs / (time.perf_counter() - started)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """All sides."""
    with sides() as made:
        jobs = scaled(JOBS, scale)
        yield {name: partial(work_off, side, jobs) for name, side in made.items()}
