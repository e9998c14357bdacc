"""A job's own folder: held by one process at a time, swept up when it is forgotten."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed
from nexus_actors.core.logs import get_logger


log = get_logger(__name__)

#: The file in a job's folder whose lock is held while the job runs.
LOCK: Final = "lock"

#: How long an attempt's folder waits for the next one, in seconds.
KEEP_S: Final = 24 * 3600

#: What was held since is not swept: its holder may be about to lock it, in seconds.
FRESH_S: Final = 1.0

#: What the ids begin with of jobs that end with their caller's process.
INLINE: Final = "inline-"

#: When to look again for a folder that another process holds, in seconds.
AGAIN_S: Final = 30


def folder_of(job_id: str, parent: Path) -> Path:
    """Return the folder of a job; its id, a stranger's text, becomes one plain name.

    It has no percent sign: ffmpeg puts numbers there.
    """
    return parent / quote(job_id, safe="").replace(".", "%2E").replace("%", "=")


def _job_of(folder: Path) -> str:
    return unquote(folder.name.replace("=", "%"))


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold *folder*, which is made if there is none, for the body's time.

    Raises:
        Postponed: Another process holds it: the message was delivered twice.
    """
    fd = _lock(folder)
    if fd is None:
        until = clock.now() + timedelta(seconds=AGAIN_S)
        raise Postponed("another worker runs this job", code="held", until=until)
    try:
        yield
    finally:
        os.close(fd)


def sweep(parent: Path, is_done_with: Callable[[str], bool] = lambda _: False) -> None:
    """Delete the folders that no process holds, and that no job will go on from.

    Whoever holds a folder has its lock, which the kernel takes from a process that dies
    and gives to no other.  What waits for a job that is not done with stays, for a day.
    """
    for folder in parent.glob("*/"):
        with suppress(OSError):
            idle_s = clock.now_ms() / 1000 - (folder / LOCK).stat().st_mtime
            if idle_s > FRESH_S and (
                idle_s > KEEP_S
                or folder.name.startswith(INLINE)
                or is_done_with(_job_of(folder))
            ):
                _remove(folder)


def _remove(folder: Path) -> None:
    fd = _lock(folder)
    if fd is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)
        log.info("video.folder_removed", job=_job_of(folder))


def _lock(folder: Path) -> int | None:
    """Return the open lock of *folder*, or ``None`` if another process has it."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # who held it has just deleted it
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        with suppress(FileNotFoundError):
            if (folder / LOCK).stat().st_ino == os.fstat(fd).st_ino:
                os.utime(fd)
                return fd
        os.close(fd)  # the lock of a folder that is gone
