"""The one place that tells the time.

A test moves the time of all processes of a run at once: it sets ``NEXUS_CLOCK_FILE``
to a path that they share, and calls `move`.  A process sees the change at its next
look, even if it sleeps.  Time-outs and measurements use ``time.monotonic`` and do not
move.  Lua scripts take the time as an argument: Redis knows only the machine's.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final


#: Names the file that holds by how many milliseconds the time is moved.
VARIABLE: Final = "NEXUS_CLOCK_FILE"

#: How soon a sleeper sees that the time was moved, in seconds.
LOOK_S: Final = 0.05


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return from_ms(now_ms())


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000 + _offset_ms()


def from_ms(ms: int) -> datetime:
    """Return the time, aware, in UTC, that is *ms* milliseconds after the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(instant: datetime) -> int:
    """Return how many milliseconds after the epoch *instant* is.

    Raises:
        ValueError: It has no time zone, so nobody can tell which instant it is.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone: give an aware datetime")
    return round(instant.timestamp() * 1000)


def sleep(seconds: float) -> None:
    """Wait for *seconds*, or until the time is moved past the end of the wait."""
    if not os.environ.get(VARIABLE):
        time.sleep(max(0.0, seconds))
        return
    ends, before = time.monotonic() + seconds, _offset_ms()
    while True:
        moved = max(0, _offset_ms() - before) / 1000
        left = ends - moved - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, LOOK_S))


def move(seconds: float) -> None:
    """Move the time of every process that shares the file, from the real time."""
    path = Path(os.environ[VARIABLE])
    written = path.with_name(f"{path.name}.{os.getpid()}")
    written.write_text(str(round(seconds * 1000)))
    written.replace(path)  # a reader sees the old offset or the new one, never half


def _offset_ms() -> int:
    name = os.environ.get(VARIABLE)
    if not name:
        return 0
    try:
        return int(Path(name).read_text())
    except FileNotFoundError:
        return 0  # nothing was moved yet
