"""Names of metrics that a platform does not take: one costs itself, and no other.

A call that names one is refused as a whole.  Which one it is, is found by asking with
halves of the names; it is left out for a day, and then asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from nexus_actors.core import clock
from nexus_actors.core.errors import RejectedError
from nexus_actors.core.logs import get_logger


log = get_logger(__name__)

#: How long a name is left out.
LEFT_OUT: Final = timedelta(days=1)

T = TypeVar("T")

#: Asks with some names; raises if one of them is refused.
Ask = Callable[[Sequence[str]], T]


@dataclass(slots=True)
class Refusals:
    """The names that are left out for one account.

    Attributes:
        until_ms: By ``api/name``, until when.
    """

    until_ms: dict[str, int] = field(default_factory=dict)

    def left(self, api: str, names: Sequence[str] | Mapping[str, object]) -> list[str]:
        """Return those of the names of an API that are taken."""
        now = clock.now_ms()
        return [n for n in names if self.until_ms.get(f"{api}/{n}", 0) <= now]

    def ask(
        self,
        api: str,
        names: Sequence[str] | Mapping[str, object],
        ask: Ask[T],
        *,
        is_name: Callable[[RejectedError], bool],
    ) -> T | None:
        """Return the answer to all names that are taken; None if none is.

        Args:
            api: Whose names they are.
            names: Those that are wanted.
            ask: Asks with some of them.
            is_name: Tells whether it was refused for a name.

        Raises:
            NexusError: As *ask* does, but for a name.
        """
        while left := self.left(api, names):
            try:
                return ask(left)
            except RejectedError as error:
                if not is_name(error):
                    raise
                self.search(api, left, ask, error, is_name=is_name)
        return None

    def search(
        self,
        api: str,
        names: Sequence[str],
        ask: Ask[object],
        error: RejectedError,
        *,
        is_name: Callable[[RejectedError], bool],
    ) -> None:
        """Find out which of *names*, with which *error* came, are not taken.

        Raises:
            RejectedError: It is none of them, or all: so it is not about names.
        """
        found = list(names) if len(names) == 1 else _refused(names, ask, is_name)
        if not found or len(found) == len(names) > 1:
            raise error
        until = clock.now_ms() + round(LEFT_OUT.total_seconds() * 1000)
        for name in found:
            log.warning("analytics.metric_refused", api=api, metric=name)
            self.until_ms[f"{api}/{name}"] = until


def _refused(
    names: Sequence[str], ask: Ask[object], is_name: Callable[[RejectedError], bool]
) -> list[str]:
    half = len(names) // 2
    found = []
    for part in (names[:half], names[half:]):
        try:
            ask(part)
        except RejectedError as error:
            if not is_name(error):
                raise
            found += list(part) if len(part) == 1 else _refused(part, ask, is_name)
    return found
