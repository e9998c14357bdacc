"""What a call to a provider passes: is it up, does it want to be left alone, how often.

All workers share the answers: one that finds a vendor down keeps the others from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from nexus_actors.core.errors import Postponed, UnsupportedFeatureError
from nexus_actors.engine import budgets, circuits
from nexus_actors.engine.circuits import LIMITED, Circuit

from .base import Provider


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one delivery by one provider.

    Attributes:
        down: What is closed when the provider fails.
        limited: What is left alone when it asks for that; the same one, mostly.
        rate: How many calls a second the host allows; ``None`` for any number.
    """

    name: str
    down: Circuit
    limited: Circuit
    rate: float | None
    holder: str

    @classmethod
    def of(
        cls,
        provider: Provider[Any],
        content: Any,
        *,
        rates: Mapping[str, float],
        holder: str,
    ) -> Self:
        """Return the gate of a delivery; *holder* is who waits at it."""
        names = (provider.fails_with(content), provider.limited_with(content))
        down, limited = (Circuit(_key(provider.name, name)) for name in names)
        return cls(provider.name, down, limited, rates.get(provider.name), holder)

    def enter(self) -> None:
        """Return if the call may be made now; `leave` it, or tell what it came to.

        Raises:
            Postponed: Not before a time.
        """
        with ExitStack() as entered:
            for circuit in self._circuits:
                circuits.enter(circuit, holder=self.holder)
                entered.callback(circuits.leave, circuit)
            if self.rate is not None:
                self._spend(self.rate)
            entered.pop_all()

    def leave(self) -> None:
        """Make no call."""
        for circuit in self._circuits:
            circuits.leave(circuit)

    def succeeded(self) -> None:
        """Tell that the provider has taken it."""
        for circuit in self._circuits:
            circuits.succeeded(circuit)

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

    def _spend(self, rate: float) -> None:
        limit, window_s = (round(rate), 1.0) if rate >= 1 else (1, 1 / rate)
        budget = budgets.Budget(f"provider:{self.name}", limit, window_s)
        try:
            budgets.spend(budget, holder=self.holder)
        except UnsupportedFeatureError:
            return  # only our broker keeps budgets


def _key(provider: str, name: str) -> str:
    """Return a circuit's key: a name that is not the provider's own is private."""
    if name == provider:
        return f"provider:{provider}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"provider:{provider}:{digest}"
