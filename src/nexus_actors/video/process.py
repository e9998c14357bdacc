"""Runs ffmpeg: watched, cancellable, and never left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final

from nexus_actors.core.errors import InternalError, NexusError

from .errors import DiskFullError, EncodeError, SourceError
from .guard import NAME, disk_full


#: How often a running process is looked at, in seconds.
LOOK_S: Final = 0.2

#: How long a process may take to end after it was asked to, in seconds.
GRACE_S: Final = 4.0

#: How much of stderr is kept.
TAIL_LINES: Final = 200

#: What in stderr tells why ffmpeg failed; the first that is found counts.  Complaints
#: of single packets are no cause: a damaged source may fail for our own reasons too.
CAUSES: Final[tuple[tuple[str, type[NexusError], str], ...]] = (
    ("No space left on device", DiskFullError, "disk_full"),
    ("Disk quota exceeded", DiskFullError, "disk_full"),
    ("Cannot allocate memory", EncodeError, "out_of_memory"),
    ("received signal", EncodeError, "killed"),
    ("No such filter", InternalError, "plan_bug"),
    ("Unknown encoder", InternalError, "plan_bug"),
    ("Unrecognized option", InternalError, "plan_bug"),
    ("Error initializing filter", InternalError, "plan_bug"),
    ("moov atom not found", SourceError, "corrupt"),
    ("Decode error rate", SourceError, "corrupt"),
    (f"/{NAME}: Invalid data found", SourceError, "corrupt"),
    ("Cannot determine format of input stream", SourceError, "corrupt"),
    ("does not contain any stream", SourceError, "corrupt"),
    ("Nothing was written into output", SourceError, "corrupt"),
    ("Decoder (codec", SourceError, "unsupported_codec"),
)

MESSAGES: Final = {
    "killed": "ffmpeg was stopped from outside",
    "out_of_memory": "ffmpeg ran out of memory; give the worker more, or fewer slots",
    "corrupt": "the video is damaged: it cannot be decoded; upload it again",
    "unsupported_codec": "a codec of the file cannot be decoded here; convert it",
    "plan_bug": "ffmpeg refused its arguments; this is a fault of nexus-actors",
}


@dataclass(slots=True)
class EncodeProgress:
    """What ffmpeg has told last.  *seconds* of output are done; *speed* is a ratio."""

    seconds: float = 0.0
    frames: int = 0
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs commands in *folder*; *check* is asked often whether the job may go on."""

    folder: Path
    check: Callable[[], None] = lambda: None

    def run(
        self,
        command: list[str],
        *,
        on_progress: Callable[[EncodeProgress], None] | None = None,
        stall_s: float = 120,
        limit_s: float = 3600,
    ) -> str:
        """Run *command* to its end; return what it printed on stderr.

        Args:
            command: Begins with a program's path; gets no shell.
            on_progress: Is called with each block of ``-progress pipe:1``.
            stall_s: Longest time without progress, where it is told.
            limit_s: Longest time in all.

        Raises:
            NexusError: Of the kind that fits the cause.
            Postponed: From *check*; the process is gone when it is raised.
        """
        process = _start(command, self.folder)
        watch = _Watch(process, on_progress, stall_s, limit_s)
        try:
            watch.follow(self.check)
        finally:
            stop(process)
            watch.join()
        said = watch.said(self.folder)
        if process.returncode != 0:
            raise self._failure(process.returncode, said)
        return said

    def _failure(self, code: int, said: str) -> NexusError:
        details: dict[str, Any] = {"exit_code": code, "stderr": said[-2000:]}
        if code < 0:
            name = signal.Signals(-code).name
            return EncodeError(f"ffmpeg was killed by {name}", code="killed", **details)
        for text, kind, word in CAUSES:
            if text in said:
                message = MESSAGES.get(word) or disk_full(self.folder)
                return kind(message, code=word, **details)
        last = said.strip().splitlines()[-1] if said.strip() else "it said nothing"
        return EncodeError(f"ffmpeg failed with exit code {code}: {last}", **details)


def _start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    environ = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG"}
    }
    return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        [*_leash(), *command],
        stdin=subprocess.DEVNULL,  # a "q" on stdin would end ffmpeg with success
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=folder,
        env=environ,
        start_new_session=True,
    )


@lru_cache(maxsize=1)
def _leash() -> tuple[str, ...]:
    """Return what lets the kernel kill a child whose worker was killed."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def stop(process: subprocess.Popen[Any]) -> None:
    """End *process* and its children: ask, wait, kill, reap."""
    if process.poll() is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@dataclass(slots=True)
class _Watch:
    """Two threads read the pipes, so that neither fills; the caller's thread looks."""

    process: subprocess.Popen[str]
    on_progress: Callable[[EncodeProgress], None] | None
    stall_s: float
    limit_s: float
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    _progress: EncodeProgress = field(default_factory=EncodeProgress)
    _news: threading.Event = field(default_factory=threading.Event)
    _moved_at: float = field(default_factory=time.monotonic)
    _threads: list[threading.Thread] = field(default_factory=list)

    def follow(self, check: Callable[[], None]) -> None:
        """Return when the process has ended by itself."""
        for target, pipe in (
            (self._read_progress, self.process.stdout),
            (self._read_tail, self.process.stderr),
        ):
            thread = threading.Thread(target=target, args=(pipe,), daemon=True)
            thread.start()
            self._threads.append(thread)
        started = time.monotonic()
        while self._still_runs():
            check()
            if self._news.is_set() and self.on_progress:
                self._news.clear()
                self.on_progress(self._progress)
            self._check_time(time.monotonic(), started)

    def _still_runs(self) -> bool:
        try:
            self.process.wait(timeout=LOOK_S)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _check_time(self, now: float, started: float) -> None:
        if now - started > self.limit_s:
            raise EncodeError(
                f"ffmpeg did not end within {self.limit_s:.0f} s", code="timeout"
            )
        if self.on_progress and now - self._moved_at > self.stall_s:
            raise EncodeError(
                f"ffmpeg made no progress for {self.stall_s:.0f} s", code="stalled"
            )

    def _read_progress(self, pipe: IO[str]) -> None:
        for line in pipe:
            name, _, value = line.strip().partition("=")
            if name == "out_time_us" and value.lstrip("-").isdigit():
                self._move(seconds=max(0, int(value)) / 1_000_000)
            elif name == "frame" and value.isdigit():
                self._move(frames=int(value))
            elif name == "speed":
                found = re.match(r"\s*([0-9.]+)x", value)
                self._progress.speed = float(found[1]) if found else None
            elif name == "progress":
                self._news.set()

    def _move(self, *, seconds: float | None = None, frames: int | None = None) -> None:
        progress = self._progress
        if seconds is not None and seconds > progress.seconds:
            progress.seconds, self._moved_at = seconds, time.monotonic()
        if frames is not None and frames > progress.frames:
            progress.frames, self._moved_at = frames, time.monotonic()

    def _read_tail(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._tail.append("".join(c for c in line.rstrip() if c.isprintable()))

    def join(self) -> None:
        """Wait until both pipes are read to their end."""
        for thread in self._threads:
            thread.join(timeout=GRACE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def said(self, folder: Path) -> str:
        """Return the end of stderr, without the names of our folders."""
        return "\n".join(self._tail).replace(str(folder), "…")
