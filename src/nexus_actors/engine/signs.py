"""Signs of life: what the worker processes of a host tell each other through files.

Each has two in a shared folder: a locked one, whose time is the last sign of life, and
what it says of itself as JSON.  The kernel gives up the lock of a process that ends,
however it ends: who is silent behind a lock hangs, and without one is gone.  The time
is that of the monotonic clock, which all processes of a host share and nobody sets.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet


class Closes(Protocol):
    """What a forked child must close, lest it seems to be its parent."""

    def close(self) -> None:
        """Close what the system would keep open for the child."""


_kept_from_children: WeakSet[Closes] = WeakSet()


def keep_from_children(thing: Closes) -> None:
    """Let no process have *thing* that an actor may fork from this one."""
    _kept_from_children.add(thing)


def _close_in_child() -> None:
    for thing in list(_kept_from_children):
        thing.close()
    _kept_from_children.clear()


os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True, slots=True)
class Process:
    """What is seen of a process.

    Attributes:
        about: What it says of itself.
        silent_s: How long ago its last sign of life was.
    """

    name: str
    about: Mapping[str, Any]
    silent_s: float


class Sign:
    """The files of this process in *folder*.

    Raises:
        OSError: The folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._path = folder / self.name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._lock = os.fdopen(os.open(self._path.with_suffix(".lock"), flags, 0o600))
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        keep_from_children(self._lock)

    def beat(self) -> None:
        """Give a sign of life; needs no room on the disk."""
        # what cleans temporary folders up goes by the first
        os.utime(self._lock.fileno(), ns=(time.time_ns(), time.monotonic_ns()))

    @property
    def is_lost(self) -> bool:
        """Whether somebody has deleted the files."""
        return os.fstat(self._lock.fileno()).st_nlink == 0

    def tell(self, about: Mapping[str, Any]) -> None:
        """Say *about* this process, in place of what was said before.

        Raises:
            OSError: It cannot be written; what was said before stands.
        """
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(about), encoding="utf-8")
        new.replace(self._path.with_suffix(".json"))

    def withdraw(self) -> None:
        """Take the files away: this process ends as it should."""
        _remove(self._path)
        self._lock.close()


def look(folder: Path) -> Iterator[Process]:
    """Yield the processes that live; what is left of others is deleted."""
    for told in sorted(folder.glob("*.json")):
        path = told.with_suffix("")
        try:
            with path.with_suffix(".lock").open() as lock:
                if _is_free(lock.fileno()):
                    _remove(path)
                    continue
                last = os.fstat(lock.fileno()).st_mtime_ns
            about = json.loads(told.read_text(encoding="utf-8"))
        except FileNotFoundError:  # it has just withdrawn
            continue
        yield Process(path.name, about, (time.monotonic_ns() - last) / 1e9)


def _is_free(lock: int) -> bool:
    try:
        # shared: two that look at once do not take each other for its owner
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path) -> None:
    for suffix in (".json", ".new", ".lock"):
        with suppress(FileNotFoundError):
            path.with_suffix(suffix).unlink()
