"""The processes that a thread has started, and their own: so that none outlives a job.

Linux tells of each thread which processes it has started; elsewhere none is found.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process; *started* tells it from a later one with the same number."""

    pid: int
    started: int

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if _started(self.pid) == self.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


def uptime_s() -> float:
    """Return how long this machine has run, in seconds."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def offspring(native_id: int, *, since_s: float) -> list[Process]:
    """Return what a thread of this process has started since a time.

    With all that those processes have started in turn, unless their parents are gone.

    Args:
        native_id: The thread, as `threading.get_native_id` names it.
        since_s: A time of `uptime_s`; what is older is left out, with its own.
    """
    found: list[Process] = []
    since = int(since_s * os.sysconf("SC_CLK_TCK"))
    for pid in _children(Path("/proc/self/task") / str(native_id)):
        started = _started(pid)
        if started is not None and started >= since:
            found += [Process(pid, started), *_descendants(pid)]
    return found


def _descendants(pid: int) -> Iterator[Process]:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in _children(task):
            started = _started(child)
            if started is not None:
                yield Process(child, started)
                yield from _descendants(child)


def _children(task: Path) -> list[int]:
    try:
        return [int(pid) for pid in (task / "children").read_text().split()]
    except OSError:  # it has ended, or the system has no such file
        return []


def _started(pid: int) -> int | None:
    """Return when a process has started, in ticks since boot; see proc(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])
