"""What several threads want at the same moment, done in one go by one of them.

A thread does what has gathered while the one before it was at it, so that none waits
for others to come; and nobody hears that it is done before it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar


Wanted = TypeVar("Wanted")


class CallInterruptedError(Exception):
    """The thread that did it was interrupted; whether it was done is not known."""


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class Call(Generic[Wanted]):
    """What a thread wants to be done; it waits until that is done, or to lead.

    Attributes:
        wanted: What it wants.
        result: What came of it, once it has *ended*.
        error: What is raised in its thread, in place of a result.
    """

    wanted: Wanted
    result: Any = None
    error: Exception | None = None
    ended: bool = False
    leads: bool = False
    turn: threading.Lock = field(default_factory=_locked)

    def end(self, result: Any) -> None:
        """Note what came of it."""
        self.result, self.ended = result, True


class Together(Generic[Wanted]):
    """Lets one thread do what several want.

    Args:
        serve: Does what calls want: ends each, or sets its error.
    """

    def __init__(self, serve: Callable[[Sequence[Call[Wanted]]], None]) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._waiting: list[Call[Wanted]] = []
        self._is_led = False

    def run(self, wanted: Wanted) -> Any:
        """Return what came of *wanted*; what others want may be done in the same go.

        Raises:
            CallInterruptedError: The thread that did it was interrupted.
        """
        call = Call(wanted)
        try:
            with self._lock:
                self._waiting.append(call)
                call.leads = not self._is_led
                self._is_led = True
            if not call.leads:
                call.turn.acquire()
        finally:  # also when dramatiq interrupts this thread: the others wait
            if call.leads or self._must_lead(call):
                self._lead()
        if call.error is not None:
            raise call.error
        if not call.ended:
            raise CallInterruptedError
        return call.result

    def _must_lead(self, call: Call[Wanted]) -> bool:
        """Tell whether the thread of *call* leads; else it waits no more."""
        with self._lock:
            if not call.leads and call in self._waiting:
                self._waiting.remove(call)
            return call.leads

    def _lead(self) -> None:
        """Do what has gathered, and let the first of those that came later lead."""
        with self._lock:
            calls, self._waiting = self._waiting, []
        try:
            self._serve(calls)
        finally:
            with self._lock:
                following = self._waiting[:1]
                self._is_led = bool(following)
                for call in following:
                    call.leads = True
            for call in (*following, *calls[1:]):  # the first is this thread's own
                call.turn.release()
