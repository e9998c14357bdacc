"""Slots: how many jobs of one queue may run on this host at once.

A slot is a locked file, so that all processes of a host share the count and the
kernel frees the slots of a process that dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import ConfigurationError


#: Where Linux tells of control groups, and in which of them this process is.
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return how many processors this process may use, a quota counted up to whole."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    return min(cores, cpu_quota() or cores)


def cpu_quota(root: Path = CONTROL_GROUPS, told: Path = OWN_GROUP) -> int | None:
    """Return how many processors' time this process and those beside it may take.

    It is what a container or a unit of systemd may take; ``None`` without a limit, or
    where the system has no control groups of version 2.
    """
    try:
        lines = told.read_text().splitlines()
    except OSError:
        return None
    own = next((line[4:] for line in lines if line.startswith("0::/")), "")
    group = root / own
    quotas = [
        ceil(int(limit) / int(period))
        for folder in (group, *group.parents)
        if folder.is_relative_to(root)
        for limit, period in _cpu_max(folder)
    ]
    return min(quotas, default=None)


def _cpu_max(group: Path) -> Iterator[tuple[str, str]]:
    with suppress(OSError, ValueError):  # the first group of a machine has none
        limit, period = (group / "cpu.max").read_text().split()
        if limit != "max":
            yield limit, period


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
