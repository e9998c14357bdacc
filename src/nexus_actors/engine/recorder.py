"""Writes what a worker process tells to the files of its group, once a second."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter as Count
from collections import defaultdict
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Final

import prometheus_client
from dramatiq.common import q_name
from prometheus_client import values

from nexus_actors.core import clock

from . import instruments
from .instruments import (
    DURATION,
    IN_PROGRESS,
    LAST_SUCCESS,
    WAIT,
    Instrument,
    Run,
    runs,
)
from .metrics import reserve
from .recovery import Loop


#: How often what was told is written, in seconds: so much of it, a kill takes along.
WRITE_S: Final = 1.0

#: How large the files of a process are at first, in bytes: enough for some hundred
#: series, of which a histogram has one for each bucket.
SIZES: Final = {
    "counter": 1 << 16,
    "gauge_livesum": 1 << 16,
    "gauge_max": 1 << 16,
    "histogram": 1 << 19,
}

CPU: Final = instruments.counter(
    "nexus_process_cpu_seconds_total", "Processor time that the worker processes used"
)
MEMORY: Final = instruments.gauge(
    "nexus_process_resident_memory_bytes", "Memory that the worker processes have"
)
SHUTDOWN: Final = instruments.histogram(
    "nexus_worker_shutdown_duration_seconds",
    "How long worker processes took to stop",
)


class _Histogram(prometheus_client.Histogram):
    """One that is told of many values at once."""

    def add(self, told: Collection[float]) -> None:
        """Tell of many values: as `observe` does for each, at a tenth of the cost."""
        found = Count(map(partial(bisect_left, self._upper_bounds), told))
        for place, count in found.items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(told))


class Recorder:
    """The thread that writes.

    Args:
        folder: What `metrics.prepare` has returned.
        running: Returns the queue and the actor of each run under way.

    Raises:
        OSError: The disk is full.
    """

    def __init__(
        self, folder: Path, running: Callable[[], list[tuple[str, str]]]
    ) -> None:
        for kind, size in SIZES.items():
            file = folder / f"{kind}_{os.getpid()}.db"
            if not file.exists():
                reserve(file, size)
        if not values.ValueClass._multiprocess:  # noqa: SLF001 - it has no other name
            # the host has imported prometheus_client before there was a folder
            values.ValueClass = values.MultiProcessValue()
        self._running = running
        self._made: dict[Instrument, Any] = {}
        self._series: dict[tuple[Instrument, tuple[str, ...]], Any] = {}
        self._busy: set[tuple[str, str]] = set()
        self._cpu_s = 0.0
        self._writing = threading.Lock()
        self._loop = Loop("metrics", self._tick)

    def start(self) -> None:
        """Begin to write."""
        instruments.recording.set()
        self._loop.start()

    def stop(self) -> None:
        """Write what is left, and no more."""
        instruments.recording.clear()
        self._loop.stop()
        self.write()

    def _tick(self) -> float:
        self.write()
        return WRITE_S

    def write(self) -> None:
        """Write what was told since the last time."""
        with self._writing:
            self._write_runs()
            self._write_process()
            told: dict[Any, list[float]] = defaultdict(list)
            for _ in range(len(instruments.told)):
                instrument, labels, value = instruments.told.popleft()
                told[instrument, labels].append(value)
            for (instrument, labels), many in told.items():
                self._write(instrument, labels, many)

    def _write_runs(self) -> None:
        epoch_s = clock.now_ms() / 1000 - time.monotonic()
        by_labels: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for _ in range(len(runs)):
            run = runs.popleft()
            by_labels[run[0], run[1]].append(run)
        for (queue, actor), many in by_labels.items():
            labels = (q_name(queue), actor)
            self._write(DURATION, labels, [run[4] - run[3] for run in many])
            waits = [
                max(0.0, epoch_s + began - ready_at_ms / 1000)
                for _, _, ready_at_ms, began, _, _ in many
                if isinstance(ready_at_ms, int | float)
            ]
            self._write(WAIT, labels, waits)
            done = [run[4] for run in many if run[5]]
            if done:
                self._write(LAST_SUCCESS, (actor,), [epoch_s + max(done)])
        running = Count(self._running())
        self._busy |= running.keys()
        for busy in self._busy:
            self._write(IN_PROGRESS, busy, [running[busy]])

    def _write_process(self) -> None:
        used = time.process_time()
        self._write(CPU, (), [used - self._cpu_s])
        self._cpu_s = used
        self._write(MEMORY, (), [_resident_bytes()])

    def _write(
        self, instrument: Instrument, labels: tuple[str, ...], many: list[float]
    ) -> None:
        series = self._series.get((instrument, labels))
        if series is None:
            series = self._made.get(instrument)
            if series is None:
                series = self._made[instrument] = _make(instrument)
            series = series.labels(*labels) if labels else series
            self._series[instrument, labels] = series
        match instrument:
            case instruments.Counter():
                series.inc(sum(many))
            case instruments.Gauge():
                series.set(many[-1])
            case _:
                series.add(many)


def _make(instrument: Instrument) -> Any:
    """Return prometheus_client's part; what is in no registry is told by its file."""
    common = (instrument.name, instrument.meaning, tuple(instrument.labels))
    match instrument:
        case instruments.Counter():
            return prometheus_client.Counter(*common, registry=None)
        case instruments.Gauge(mode=mode):
            return prometheus_client.Gauge(
                *common, registry=None, multiprocess_mode=mode
            )
        case instruments.Histogram(buckets=buckets):
            return _Histogram(*common, registry=None, buckets=buckets)
    raise TypeError(instrument)


def _resident_bytes() -> int:
    try:
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
