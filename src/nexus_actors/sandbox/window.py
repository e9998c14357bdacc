"""How often something happened lately, for limits that vendors set."""

from __future__ import annotations

from collections import defaultdict, deque

from .base import Clock


class Window:
    """Counts what happened within the last *span_s* seconds, by key."""

    def __init__(self, clock: Clock, span_s: float) -> None:
        self._clock, self.span_s = clock, span_s
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def count(self, key: str = "") -> int:
        """Return how often it happened."""
        times, since = self._times[key], self._clock.now() - self.span_s
        while times and times[0] <= since:
            times.popleft()
        return len(times)

    def add(self, key: str = "") -> None:
        """Note that it happened."""
        self._times[key].append(self._clock.now())
