"""How often a vendor lets itself be called."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .base import Clock


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a limit says to one request.

    Attributes:
        granted: Whether the request may go on.
        remaining: How many more may in this window.
        reset: When the window ends, in seconds since the epoch, rounded up.
        retry_after: How long that is from now, in whole seconds, at least 1.
    """

    granted: bool
    remaining: int
    reset: int
    retry_after: int


class RateLimit:
    """So many calls in a window that begins with the first of them.

    What has a *key* of its own, such as a channel, has windows of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, limit: int, seconds: float, key: str = "") -> Allowance:
        """Count a call, unless *limit* of them were made in the last *seconds*."""
        now = self._clock.now()
        ends, used = self._windows.get(key, (now, 0))
        if not now < ends <= now + seconds:  # it is over, or the clock was set back
            ends, used = now + seconds, 0
        granted = used < limit
        used += granted
        self._windows[key] = ends, used
        return Allowance(
            granted=granted,
            remaining=max(limit - used, 0),
            reset=math.ceil(ends),
            retry_after=max(math.ceil(ends - now), 1),
        )
