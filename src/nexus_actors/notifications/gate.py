"""What a call to a provider passes: is it up, does it want to be left alone, how often.

All workers share the answers: one that finds a vendor down keeps the others from it.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    BrokerUnavailable,
    Postponed,
    UnsupportedFeatureError,
)
from nexus_actors.engine import budgets, circuits
from nexus_actors.engine.budgets import Budget
from nexus_actors.engine.circuits import LIMITED, Circuit

from .base import Allowance, Provider
from .settings import NotificationSettings


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one delivery by one provider.

    Attributes:
        down: What is closed when the provider fails.
        limited: What is left alone when it asks for that; the same one, mostly.
        budget: The calls that the host allows; ``None`` for any number.
        holder: Who waits at it.
    """

    down: Circuit
    limited: Circuit
    budget: Budget | None
    holder: str

    @classmethod
    def of(
        cls,
        provider: Provider[Any],
        content: Any,
        *,
        settings: NotificationSettings,
        holder: str,
    ) -> Self:
        """Return the gate of a delivery."""
        names = (provider.fails_with(content), provider.limited_with(content))
        own = settings.provider_circuits.get(provider.name)
        told = own.model_dump(exclude_none=True) if own else {}
        down, limited = (Circuit(_key(provider.name, name), **told) for name in names)
        rate = settings.provider_rates.get(provider.name)
        budget = _budget(provider.name, rate) if rate else None
        return cls(down, limited, budget, holder)

    def enter(self) -> None:
        """Return if the call may be made now; `leave` it, or tell what it came to.

        Raises:
            Postponed: Not before a time.
        """
        with ExitStack() as entered:
            for circuit in self._circuits:
                circuits.enter(circuit, holder=self.holder)
                entered.callback(circuits.leave, circuit)
            if self.budget is not None:
                self._spend(self.budget)
            entered.pop_all()

    def leave(self) -> None:
        """Make no call."""
        for circuit in self._circuits:
            circuits.leave(circuit)

    def succeeded(self, allowance: Allowance | None = None) -> None:
        """Tell that the provider has taken it, and how many more it says it takes."""
        for circuit in self._circuits:
            circuits.succeeded(circuit)
        if allowance is None:
            return
        if not allowance.remaining:
            circuits.block(self.limited, until=allowance.reset)
        elif self.budget is not None:
            self._heed(self.budget, allowance)

    def failed(self, error: BaseException) -> None:
        """Tell why it has not."""
        if self.limited == self.down:
            circuits.heard(self.down, error)
        elif isinstance(error, Postponed) and error.code == LIMITED:
            circuits.heard(self.limited, error)
            circuits.leave(self.down)
        else:
            circuits.heard(self.down, error)
            circuits.leave(self.limited)

    @property
    def _circuits(self) -> tuple[Circuit, ...]:
        return tuple(dict.fromkeys((self.down, self.limited)))

    def _spend(self, budget: Budget) -> None:
        with suppress(UnsupportedFeatureError):  # only our broker keeps budgets
            budgets.spend(budget, holder=self.holder)

    @staticmethod
    def _heed(budget: Budget, allowance: Allowance) -> None:
        """Spread what is left over the time, if that is less than the host allows."""
        left_s = (allowance.reset - clock.now()).total_seconds()
        if allowance.remaining >= left_s * budget.limit / budget.window_s:
            return
        with suppress(UnsupportedFeatureError, BrokerUnavailable):
            budgets.heed(budget, remaining=allowance.remaining, reset=allowance.reset)


def _budget(provider: str, rate: float) -> Budget:
    limit, window_s = (round(rate), 1.0) if rate >= 1 else (1, 1 / rate)
    return Budget(f"provider:{provider}", limit, window_s)


def _key(provider: str, name: str) -> str:
    """Return a circuit's key: a name that is not the provider's own is private."""
    if name == provider:
        return f"provider:{provider}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"provider:{provider}:{digest}"
