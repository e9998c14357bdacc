"""Processor time that a worker takes for a job, with metrics and without.

The jobs do nothing.  The metrics are those of `nexus_actors.worker`, and somebody asks
for them every second, which Prometheus does not.  What Redis counts in its scripts, it
counts on both sides: that takes no time of the workers.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.runner import BenchmarkError, Contestants, Line, scaled
from nexus_actors import CoreSettings
from nexus_actors.engine.metrics import VARIABLE, Exporter

from .drain import drain
from .stage import Side, Workers, sides, workers


UNIT = "µs of a processor for a job"
BETTER = "lower"
PEER = "nexus-actors"
ROUNDS = 40
JOBS = 5000
LINES = (
    Line(contestant="nexus-actors with metrics", peer="nexus-actors", at_most=1.02),
)

#: How often somebody asks for the metrics, in seconds.
SCRAPE_S = 1.0


def used(running: Workers, jobs: int) -> float:
    """Return how much processor time the worker takes for each of *jobs*."""
    before = cpu_s(running)
    drain(running, jobs)
    return (cpu_s(running) - before) / jobs * 1e6


def cpu_s(running: Workers) -> float:
    """Return what the processes of *running* have used, in seconds; see proc(5)."""
    groups = {process.pid for process in running.processes}
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) in groups:
            ticks += int(fields[11]) + int(fields[12])
    if not ticks:
        raise BenchmarkError("this system does not tell what a process has used")
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def scraped(side: Side, folder: Path) -> Iterator[None]:
    """Ask for the metrics of *side* again and again."""
    settings = {"redis_url": side.url, "redis_namespace": "measured"}
    exporter = Exporter(CoreSettings.load(settings), folder)
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(SCRAPE_S):
            exporter.render()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Both sides, each with its worker."""
    jobs = scaled(JOBS, scale)
    names = ("nexus-actors", "nexus-actors with metrics")
    with tempfile.TemporaryDirectory() as folder, sides(*names) as made:
        os.environ[VARIABLE] = folder  # of the workers
        try:
            with (
                workers(made.values()) as running,
                scraped(made[names[1]], Path(folder)),
            ):
                by_name: Mapping[str, Workers] = dict(zip(names, running, strict=True))
                yield {name: partial(used, by_name[name], jobs) for name in names}
        finally:
            del os.environ[VARIABLE]
