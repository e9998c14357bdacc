"""Slots: how many jobs of one queue may run on this host at once.

A slot is a locked file, so that all processes of a host share the count and the
kernel frees the slots of a process that dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from nexus_actors.core.errors import ConfigurationError


def usable_cores() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def default_slots() -> int:
    """Return how many encodes a host runs at once: one for every four cores."""
    return max(1, usable_cores() // 4)


@dataclass(slots=True)
class Slot:
    """The right to run one job; held until released or the process ends."""

    fd: int

    def release(self) -> None:
        """Give the slot back; doing so twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True, slots=True)
class HostSlots:
    """The slots of one queue on this host: *count* lock files in *folder*."""

    folder: Path
    count: int

    def take(self) -> Slot | None:
        """Return a free slot, or ``None`` at once if all are taken."""
        for number in range(self.count):
            slot = self._try(self.folder / f"{number}.lock")
            if slot:
                return slot
        return None

    def _try(self, path: Path) -> Slot | None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot use {path.parent} for working files: {error.strerror}; "
                "set TEMP_DIR to a folder that this user may write"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return Slot(fd)
