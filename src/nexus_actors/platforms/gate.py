"""The gate that every call to a platform passes: budgets, and three circuits.

Budgets keep the calls below what the platform allows; what its answers say of that is
heeded.  A circuit each guards the platform, our app there, and the account: it opens
when several of its accounts, or of the account's publications, have failed in a row, or
when the platform asks to be left alone.  Whoever may not pass is run again later, which
costs no attempt.

All of it is in Redis, for all workers.  Without a worker there is no gate, and without
Redis it stands open: it spares the platform, and nothing depends on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    BrokerUnavailable,
    NexusError,
    Postponed,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, Call
from nexus_actors.core.logs import get_logger
from nexus_actors.engine import jobs
from nexus_actors.engine.budgets import Budget, heed, spend
from nexus_actors.engine.circuits import (
    Circuit,
    block,
    enter,
    failed,
    leave,
    succeeded,
)

from . import meta
from .limits import LIMITS, OF_APP, Limit, Usage, counting
from .settings import PlatformSettings
from .verdicts import Verdict


log = get_logger(__name__)

#: From how many per cent of an allowance on calls are spread, and from when there are
#: none until more is there.
SLOW, FULL = 80, 95

#: What reads the allowances in the headers of a platform's answers.
READERS: Final[dict[str, Callable[[Answer], list[Usage]]]] = {
    "facebook": meta.usages,
    "instagram": meta.usages,
}

#: The longest wait for a budget that a thread waits itself: to run again takes as long.
PATIENCE_S: Final = 0.15

#: How many parts must have failed in a row, and after how long one that tries has
#: died: those who wait for it look again.
PARTS, TRIES_S = 3, 10

#: Statuses from which on an answer is a failure of the platform itself.
BROKEN: Final = 500

#: The longest part of a key that is an account's name.
MAX_NAME: Final = 120

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Gate:
    """What one account's calls to one platform pass.

    Attributes:
        account: What the platform counts by.
        part: For what the calls are made: several of an account must fail.
    """

    platform: str
    account: str
    part: str
    settings: PlatformSettings
    _has_entered: bool = field(default=False, init=False)

    @property
    def circuits(self) -> tuple[Circuit, Circuit, Circuit]:
        """The circuits of the account, of our app, and of the platform."""
        keys = (f"account:{self.account[:MAX_NAME]}", "app", "platform")
        of_account, of_app, of_platform = (
            Circuit(f"{self.platform}:{key}", failures=PARTS, probe_s=TRIES_S)
            for key in keys
        )
        return of_account, of_app, of_platform

    def enter(self, call: Call | None = None) -> None:
        """Return if *call* may be made; without one, if it is of use to begin.

        Raises:
            Postponed: Not yet.
        """
        if not _is_guarded():
            return
        entered = list(self.circuits) if self._has_entered else []
        try:
            for circuit in self.circuits[len(entered) :]:
                enter(circuit)
                entered.append(circuit)
            # the next call goes with this: it may be the one that tries a circuit
            self._has_entered = call is None
            if call is not None:
                self._spend(call)
        except BrokerUnavailable as error:
            log.warning("platforms.gate_open", reason=error.message)
        except Postponed:
            self._has_entered = False
            for circuit in entered:
                leave(circuit)
            raise

    def watch(self, make: Callable[[], T]) -> T:
        """Make a call that has entered, and learn from what comes of it."""
        try:
            found = make()
        except NexusError as error:
            self.learn(error)
            raise
        self._close()
        return found

    def learn(self, error: NexusError) -> None:
        """Note whose failure *error* is; what did not come from the platform is none's.

        That a post was refused is no failure: whoever refuses it is well.
        """
        if "server" not in error.details:
            self._leave()
            return
        account, app, platform = self.circuits
        is_lost = isinstance(error, RemoteUnavailableError | UnknownOutcomeError)
        if is_lost and error.details.get("status", BROKEN) >= BROKEN:
            self._tell(partial(failed, platform, part=self.account))
            self._tell(partial(failed, account, part=self.part))
        elif error.code == Verdict.APP:
            self._tell(partial(failed, app, part=self.account))
        elif isinstance(error, AuthorizationError):
            self._tell(partial(failed, account, part=self.part))
            self._tell(partial(leave, app))
            self._tell(partial(succeeded, platform))
        elif isinstance(error, Postponed) and error.code == Verdict.LIMITED:
            reason = str(error.details.get("reason")).partition("/")[0]
            whose = app if reason in OF_APP else account
            self._tell(partial(block, whose, until=error.until))
        else:
            self._close()

    def read(self, answer: Answer) -> None:
        """Heed what the headers of *answer* say."""
        for usage in READERS.get(self.platform, _no_usages)(answer):
            limit = next((x for x in self._limits() if x.per == usage.per), None)
            if limit is not None and usage.percent >= SLOW:
                self._tell(partial(self._heed, usage, limit))

    def _spend(self, call: Call) -> None:
        found = counting(self._limits(), call)
        for cost in sorted({limit.cost for limit in found}):
            calls = cost * call.counts
            same = [self._budget(x, at_once=calls) for x in found if x.cost == cost]
            spend(
                *same,
                calls=min(calls, *(budget.burst for budget in same)),
                patience_s=PATIENCE_S,
                keep_place=True,
            )

    def _limits(self) -> tuple[Limit, ...]:
        known = LIMITS.get(self.platform, ())
        return self.settings.limits.get(self.platform, known)

    def _budget(self, limit: Limit, *, at_once: int = 1) -> Budget:
        """Return the budget that a limit is; it has room for so many calls at once."""
        who = "app" if limit.per == "app" else self.account[:MAX_NAME]
        most = max(limit.cost, int(limit.limit * self.settings.limits_share))
        return Budget(
            f"{self.platform}:{who}:{limit.name}",
            limit=most,
            window_s=limit.window_s,
            burst=min(max(limit.burst, at_once), most),
        )

    def _heed(self, usage: Usage, limit: Limit) -> None:
        """Spread the calls that are left, or make none where hardly any are."""
        window = timedelta(seconds=limit.window_s)
        if usage.percent >= FULL or usage.minutes:
            pause = timedelta(minutes=usage.minutes) if usage.minutes else window
            account, app, _ = self.circuits
            whose = app if usage.per == "app" else account
            block(whose, until=clock.now() + pause)
            return
        left = max(1, limit.limit * (100 - usage.percent) // 100)
        heed(self._budget(limit), remaining=left, reset=clock.now() + window)

    def _close(self) -> None:
        for circuit in self.circuits:
            self._tell(partial(succeeded, circuit))

    def _leave(self) -> None:
        """Let another one try, if this was to be the one."""
        for circuit in self.circuits:
            self._tell(partial(leave, circuit))

    def _tell(self, what: Callable[[], object]) -> None:
        if not _is_guarded():
            return
        try:
            what()
        except BrokerUnavailable as error:
            log.warning("platforms.gate_open", reason=error.message)


def unnamed(token: str) -> str:
    """Return what stands for the account of a token that came with a message."""
    return hashlib.sha256(f"nexus token:{token}".encode()).hexdigest()[:32]


def _is_guarded() -> bool:
    """Tell whether a worker of ours runs this: it has a broker with budgets."""
    job = jobs.running()
    return job is not None and job.delivery is not None


def _no_usages(_: Answer) -> list[Usage]:
    return []
