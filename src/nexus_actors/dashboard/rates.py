"""How fast what is counted grows: of what this process has seen in the last minutes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nexus_actors.engine.queues import Count, Load


#: How far back is remembered, over how long a rate is taken, and how near to each other
#: two looks are that count as one; in seconds.
KEPT_S: Final = 600.0
WINDOW_S: Final = 60.0
LEAST_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How many messages of a queue, or of an actor, in a minute."""

    enqueued: float
    succeeded: float
    failed: float


@dataclass(frozen=True, slots=True)
class _Look:
    """What all queues were like at one moment."""

    at: float
    loads: dict[str, Load]

    def counts(self, queue: str) -> dict[Count, int]:
        """Return what was counted of a queue, which may not have been there yet."""
        load = self.loads.get(queue)
        return load.counts if load else {}


class Meter:
    """Remembers what was seen; threads may share it."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._changing = threading.Lock()

    def note(self, loads: Iterable[Load], *, at_s: float | None = None) -> None:
        """Remember what the queues are like now, or were at a time; monotonic, in s."""
        at_s = time.monotonic() if at_s is None else at_s
        look = _Look(at_s, {load.name: load for load in loads})
        with self._changing:
            if self._looks and look.at - self._looks[-1].at < LEAST_S:
                return
            self._looks.append(look)
            while self._looks[0].at < look.at - KEPT_S:
                self._looks.popleft()

    def rates(self, queue: str, actor: str | None = None) -> Rates | None:
        """Return those of the last minute; ``None`` after a single look."""
        with self._changing:
            looks = list(self._looks)
        recent = [look for look in looks if look.at >= looks[-1].at - WINDOW_S]
        if len(recent) < 2:  # noqa: PLR2004 - a rate is between two
            return None
        first, last = recent[0], recent[-1]
        minutes = (last.at - first.at) / 60
        before, after = (tally(look.counts(queue), actor) for look in (first, last))
        grown = {name: max(0, after[name] - before[name]) / minutes for name in after}
        return Rates(**grown)

    def waiting(self, queue: str) -> list[tuple[float, int]]:
        """Return how much waited: seconds before now, and how many."""
        with self._changing:
            looks = list(self._looks)
        return [
            (look.at - looks[-1].at, look.loads[queue].waiting)
            for look in looks
            if queue in look.loads
        ]


def tally(counts: dict[Count, int], actor: str | None = None) -> dict[str, int]:
    """Return how many were enqueued, succeeded and failed; of all actors, or of one."""
    kinds = {
        "enqueued": ("enqueued", ""),
        "succeeded": ("processed", "success"),
        "failed": ("processed", "failure"),
    }
    return {
        name: sum(
            number
            for count, number in counts.items()
            if (count.kind, count.how) == kind and actor in {None, count.actor}
        )
        for name, kind in kinds.items()
    }
