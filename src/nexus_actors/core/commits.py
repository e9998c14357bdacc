"""One commit for what several threads write at the same moment.

A commit waits for the disk, and SQLite has one writer at a time: threads that commit
one after another are as slow as the disk allows.  Here one of them commits what has
gathered while the one before was at it, so that none waits for others to come; and
nobody hears that something is written before it is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ResourceError


if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

Begin = Callable[[], "AbstractContextManager[Connection]"]


@dataclass(slots=True, eq=False)
class _Write:
    """What a thread wants to be written; it waits for its turn to lead, or the end."""

    operation: Callable[[Connection], Any]
    result: Any = None
    error: Exception | None = None
    ended: bool = False
    leads: bool = False
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class GroupCommit:
    """Runs operations of many threads in common transactions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._is_led = False

    def run(self, begin: Begin, operation: Callable[[Connection], T]) -> T:
        """Run *operation*, and return what it does once that is written.

        Operations of one transaction run one after the other, as if each had one of its
        own.  If it fails, each is run again in one of its own: no operation suffers
        from another.

        Raises:
            ResourceError: The thread that wrote it was interrupted.
        """
        write = _Write(operation)
        try:
            with self._lock:
                self._waiting.append(write)
                write.leads = not self._is_led
                self._is_led = True
            if not write.leads:
                write.turn.acquire()
        finally:  # also when dramatiq interrupts this thread: the others wait
            if self._must_lead(write):
                self._lead(begin)
        if write.error is not None:
            raise write.error
        if not write.ended:
            raise ResourceError("the thread that was writing was interrupted")
        result: T = write.result
        return result

    def _must_lead(self, write: _Write) -> bool:
        """Tell whether the thread of *write* leads; else it waits no more."""
        with self._lock:
            if not write.leads and write in self._waiting:
                self._waiting.remove(write)
            return write.leads

    def _lead(self, begin: Begin) -> None:
        """Write what has gathered, and let the first of those that came later lead."""
        with self._lock:
            writes, self._waiting = self._waiting, []
        try:
            _write(begin, writes)
        finally:
            with self._lock:
                following = self._waiting[:1]
                self._is_led = bool(following)
                for write in following:
                    write.leads = True
            for write in (*following, *writes[1:]):  # the first is this thread's own
                write.turn.release()


def _write(begin: Begin, writes: Sequence[_Write]) -> None:
    try:
        with begin() as connection:
            results = [write.operation(connection) for write in writes]
    except Exception as error:  # noqa: BLE001 - raised by the thread whose it is
        if len(writes) == 1:
            writes[0].error = error
            return
        for write in writes:
            _write(begin, [write])
        return
    for write, result in zip(writes, results, strict=True):
        write.result, write.ended = result, True
