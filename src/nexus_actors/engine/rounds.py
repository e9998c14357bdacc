"""When the loops of this process have last come round: whether it still turns.

Every thread that waits for work does so in a loop that comes round within seconds:
consumers, worker threads without a job, and the engine's own.  A thread that runs a job
is in no round, however long the job takes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import PriorityQueue
from typing import Any, Final


#: The longest time that a thread waits for work before it comes round, in seconds.
WAIT_S: Final = 1.0

#: For how long a loop may rest that says nothing else: for that, and a hint from Redis.
REST_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class _Round:
    """Until when a loop rests, and whether it may wait for Redis on its way."""

    rests_until: float
    asks_redis: bool


class Rounds:
    """The loops of a process, by name."""

    def __init__(self) -> None:
        self._last: dict[str, _Round] = {}

    def come(
        self, loop: str, *, rests_s: float = REST_S, asks_redis: bool = True
    ) -> None:
        """Note that *loop* has come round, and will again after a rest."""
        self._last[loop] = _Round(time.monotonic() + rests_s, asks_redis)

    def leave(self, loop: str) -> None:
        """Note that *loop* has ended, or does what may take any time."""
        self._last.pop(loop, None)

    def late(self, limit_s: float, *, redis_since: float | None) -> list[str]:
        """Return the loops that should have come round and have not.

        Args:
            limit_s: How long a round may take, beside the rest.
            redis_since: Since when Redis has answered; monotonic.  While it does not,
                ``None``, nobody who asks it is late.
        """
        now = time.monotonic()
        late = []
        for loop, last in list(self._last.items()):
            since = last.rests_until
            if last.asks_redis:
                since = max(since, now if redis_since is None else redis_since)
            if now - since > limit_s:
                late.append(loop)
        return late


#: Those of this process.
rounds: Final = Rounds()


class WorkQueue(PriorityQueue[Any]):
    """Dramatiq's queue between consumers and worker threads; notes who waits at it."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next item; who waits for one comes round once a second.

        Raises:
            queue.Empty: There was none.
        """
        thread = f"worker thread {threading.get_native_id()}"
        rounds.come(thread, asks_redis=False)
        if block:
            timeout = WAIT_S if timeout is None else min(timeout, WAIT_S)
        item = super().get(block, timeout)
        rounds.leave(thread)
        return item
