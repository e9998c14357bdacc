"""Processor time that a worker takes for a job, with metrics and without.

The jobs do nothing.  The metrics are those of `nexus_actors.worker`, and somebody asks
for them every second, which Prometheus does not.  What Redis counts in its scripts, it
counts on both sides: that takes no time of the workers.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.runner import BenchmarkError, Contestants, Line, scaled
from nexus_actors import CoreSettings
from nexus_actors.engine.metrics import VARIABLE, Exporter

from .drain import drain
from .stage import QUEUE, Workers, sides, workers


UNIT = "µs of a processor for a job"
BETTER = "lower"
PEER = "nexus-actors"
ROUNDS = 40
JOBS = 5000
MEASURED = "nexus-actors with metrics"
LINES = (Line(contestant=MEASURED, peer="nexus-actors", at_most=1.02),)


#: How often somebody asks for the metrics, in seconds.
SCRAPE_S = 1.0


def used(running: Workers, jobs: int) -> float:
    """Return how much processor time the worker takes for each of *jobs*."""
    before = cpu_s(running)
    drain(running, jobs)
    return (cpu_s(running) - before) / jobs * 1e6


def cpu_s(running: Workers) -> float:
    """Return what the processes of *running* have used, in seconds.

    By their own clocks, whose numbers Linux makes as clock_getcpuclockid(3) does:
    proc(5) tells hundredths of a second only, and a few jobs take less.
    """
    groups = {process.pid for process in running.processes}
    clocks = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if os.getpgid(int(folder.name)) in groups:
                clocks.append(time.clock_gettime(~int(folder.name) << 3 | 2))
    if not clocks:
        raise BenchmarkError("this system does not tell what a process has used")
    return sum(clocks)


def counted(exporter: Exporter) -> float:
    """Return of how many jobs the worker has kept how long they took."""
    labels = {"actor": "job", "queue": QUEUE}
    name = "nexus_message_duration_seconds_count"
    return exporter.registry.get_sample_value(name, labels) or 0


@contextmanager
def scraped(exporter: Exporter) -> Iterator[None]:
    """Ask for the metrics again and again."""
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
    """One worker, which keeps metrics or does not."""
    jobs = scaled(JOBS, scale)
    with tempfile.TemporaryDirectory() as name, sides(MEASURED) as made:
        os.environ[VARIABLE] = name  # of the worker
        try:
            with workers(made.values()) as [running]:

                def without() -> float:
                    return used(running, jobs)

                def with_metrics() -> float:
                    before = counted(exporter)
                    side.keep_metrics(on=True)
                    with scraped(exporter):
                        taken = used(running, jobs)
                    side.keep_metrics(on=False)
                    if counted(exporter) < before + jobs:
                        raise BenchmarkError("the worker has not kept its metrics")
                    return taken

                side: Any = running.side
                side.keep_metrics(on=False)
                settings = {"redis_url": side.url, "redis_namespace": side.namespace}
                exporter = Exporter(CoreSettings.load(settings), Path(name))
                yield {PEER: without, MEASURED: with_metrics}
        finally:
            del os.environ[VARIABLE]
