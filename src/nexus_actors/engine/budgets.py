"""Budgets: how many calls a vendor allows, shared by all workers.

A budget is known by its key, such as ``tiktok:account-7:publish``.  A job takes what it
needs before it calls; if there is no room, it is run again when there is, and that
costs no attempt::

    budgets.spend(Budget("tiktok:account-7:publish", limit=6, window_s=60))

In no window of that length are there more calls than the limit, by the clocks of the
workers, which a server's clock has no part in.  Whoever waits has a place in a row and
is told a time of its own: waiters come back one by one, first come first served, not
all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import redis

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed

from . import jobs
from .connection import unavailable


if TYPE_CHECKING:
    from .broker import RedisBroker

#: The longest name of a budget.
MAX_KEY: Final = 200


@dataclass(frozen=True, slots=True)
class Budget:
    """So many calls in any window of time.

    Attributes:
        key: What the vendor counts by: ``platform:account:endpoint``.
        limit: How many calls there may be in a window.
        window_s: How long a window is, in seconds.
        burst: How many of them may be made at once after a rest.  With 1, calls are
            spread evenly; the more at once, the slower the rest, so that the limit
            holds in each window whatever came before it: of 6 with a burst of 4, three
            more in a window's time.

    Raises:
        ValueError: A number is out of its range, or the key is empty or too long.
    """

    key: str
    limit: int
    window_s: float
    burst: int = 1

    def __post_init__(self) -> None:
        if not 0 < len(self.key) <= MAX_KEY:
            raise ValueError(f"key: 1 to {MAX_KEY} characters, not {len(self.key)}")
        if self.limit < 1 or self.window_s <= 0:
            raise ValueError(f"budget {self.key}: limit and window_s are more than 0")
        if not 1 <= self.burst <= self.limit:
            raise ValueError(f"budget {self.key}: burst is from 1 to the limit")


def spend(
    *budgets: Budget,
    calls: int = 1,
    patience_s: float = 0,
    keep_place: bool = False,
    holder: str | None = None,
    broker: RedisBroker | None = None,
) -> None:
    """Take calls of all of *budgets*, or have the running job run again later.

    Args:
        budgets: What the next calls count against; taken in one step, all or none.
        calls: How many calls of each; no more than the burst of any.
        patience_s: A wait that is no longer is waited for here: to run again costs
            more.
        keep_place: Whether the holder will call again: it comes before those then who
            came later, so that what is begun is ended first.
        holder: Who waits, if not the running job.
        broker: Whose budgets; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer; the calls may be taken or not.
        Postponed: There is no room before its time; nothing was taken.
        UnsupportedFeatureError: The broker in use has no budgets.
        ValueError: *calls* is less than 1, or more than a burst.
    """
    wait_ms, last = _take(budgets, calls, holder, broker, keep_place=keep_place)
    if 0 < wait_ms <= patience_s * 1000:
        clock.sleep(wait_ms / 1000)
        wait_ms, last = _take(budgets, calls, holder, broker, keep_place=keep_place)
    if wait_ms:
        until = clock.from_ms(clock.now_ms() + wait_ms)
        raise Postponed(
            f"budget {last.key} has no room for {wait_ms / 1000:.3f} s",
            code="budget",
            until=until,
            budget=last.key,
        )


def take(
    *budgets: Budget,
    calls: int = 1,
    holder: str | None = None,
    broker: RedisBroker | None = None,
) -> int:
    """Take calls as `spend` does; return how long to wait, in ms, or 0: they are taken.

    Who has to wait keeps its place by its *holder*: ask again with the same one.

    Raises:
        BrokerUnavailable: Redis does not answer; the calls may be taken or not.
        UnsupportedFeatureError: The broker in use has no budgets.
        ValueError: *calls* is less than 1, or more than a burst.
    """
    return _take(budgets, calls, holder, broker, keep_place=False)[0]


def heed(
    budget: Budget,
    *,
    blocked_until: datetime | None = None,
    remaining: int | None = None,
    reset: datetime | None = None,
    broker: RedisBroker | None = None,
) -> None:
    """Heed what a vendor's answer says of *budget*.

    Args:
        budget: Whose answer it is.
        blocked_until: No call before (``Retry-After``).
        remaining: How many calls are left until *reset*: spread over that time if this
            is less than the budget gives; with 0, no call before *reset*.
        reset: When the vendor counts anew.
        broker: Whose budgets; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer; heeding again is safe.
        UnsupportedFeatureError: The broker in use has no budgets.
        ValueError: A time has no time zone, or one of *remaining* and *reset* is
            missing.
    """
    if (remaining is None) != (reset is None):
        raise ValueError("remaining and reset are given together")
    said = [
        "" if blocked_until is None else clock.to_ms(blocked_until),
        "" if remaining is None else max(0, remaining),
        "" if reset is None else clock.to_ms(reset),
    ]
    broker = broker or _own()
    try:
        broker.run("heed", clock.now_ms(), budget.key, *said)
    except redis.RedisError as error:
        raise unavailable(broker.client, error) from error


def _take(
    budgets: Sequence[Budget],
    calls: int,
    holder: str | None,
    broker: RedisBroker | None,
    *,
    keep_place: bool,
) -> tuple[int, Budget]:
    """Return how long to wait, and for which budget most of all."""
    if not budgets or not 1 <= calls <= min(budget.burst for budget in budgets):
        raise ValueError(
            "calls: from 1 to the burst of each budget, and of one at least"
        )
    job = jobs.running()
    holder = holder or (job.id if job else str(uuid4()))
    asked = [
        part
        for each in budgets
        for part in (each.key, each.limit, round(each.window_s * 1000), each.burst)
    ]
    broker = broker or _own()
    try:
        who = (holder, calls, int(keep_place))
        wait_ms, last = broker.run("spend", clock.now_ms(), *who, *asked)
    except redis.RedisError as error:
        raise unavailable(broker.client, error) from error
    return wait_ms, budgets[last - 1]


def _own() -> RedisBroker:
    from .actor import attached_broker
    from .broker import own_broker

    return own_broker(attached_broker(), "budgets")
