"""Runs ffmpeg: watched, cancellable, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from nexus_actors.core.errors import InternalError, NexusError
from nexus_actors.core.leash import leash

from .errors import DiskFullError, EncodeError, SourceError
from .fence import fence
from .ffprobe import number
from .guard import NAME, disk_full
from .tools import environment


#: How often a running process is looked at, in seconds.
LOOK_S: Final = 0.2

#: How long a process may take to end after it was asked to, in seconds.
GRACE_S: Final = 4.0

#: How much of stderr is kept: lines, and characters of each.
TAIL_LINES: Final = 200
LINE_CHARS: Final = 1000

#: How ffmpeg ends when it was asked to, from 5 to 9.
ASKED_TO_STOP: Final = 255

#: How it ends, without a word, where most of a source could not be decoded.
TOO_DAMAGED: Final = 69

#: What in stderr tells why ffmpeg failed, in the words of the releases 5 to 9, whose
#: exit codes differ; the first that is found counts.  Complaints of single packets are
#: no cause: a damaged source may fail for our own reasons too.
CAUSES: Final[tuple[tuple[str, type[NexusError], str], ...]] = (
    ("No space left on device", DiskFullError, "disk_full"),
    ("Disk quota exceeded", DiskFullError, "disk_full"),
    ("Cannot allocate memory", EncodeError, "out_of_memory"),
    ("malloc of size", EncodeError, "out_of_memory"),
    ("No such filter", InternalError, "plan_bug"),
    ("Unknown encoder", InternalError, "plan_bug"),
    ("Unrecognized option", InternalError, "plan_bug"),
    ("Option not found", InternalError, "plan_bug"),
    ("Error initializing filter", InternalError, "plan_bug"),
    ("Error reinitializing filters", InternalError, "plan_bug"),
    ("moov atom not found", SourceError, "corrupt"),
    ("Decode error rate", SourceError, "corrupt"),
    (f"/{NAME}: Invalid data found", SourceError, "corrupt"),
    ("Cannot determine format of input stream", SourceError, "corrupt"),
    ("does not contain any stream", SourceError, "corrupt"),
    ("Nothing was written into output", SourceError, "corrupt"),
    # the sound waits for the first picture, and none has come
    ("Error submitting audio frame to the encoder", SourceError, "corrupt"),
    ("Decoder (codec", SourceError, "unsupported_codec"),
    ("no decoder found", SourceError, "unsupported_codec"),
)

MESSAGES: Final = {
    "out_of_memory": (
        "ffmpeg ran out of memory; give the worker more, or fewer slots, or set "
        "NEXUS_VIDEO_CHILD_MEMORY_BYTES higher"
    ),
    "corrupt": "the video is damaged: it cannot be decoded; upload it again",
    "unsupported_codec": "a codec of the file cannot be decoded here; convert it",
    "plan_bug": "ffmpeg refused its arguments; this is a fault of nexus-actors",
}


@dataclass(slots=True)
class EncodeProgress:
    """What ffmpeg has told last.  *seconds* of output are done; *speed* is a ratio.

    Frames are *dropped* where a source changes its size: ffmpeg then begins its filters
    anew, and drops what they make until the place where it was.
    """

    seconds: float = 0.0
    frames: int = 0
    dropped: int = 0
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs commands in *folder*; *check* is asked often whether the job may go on.

    Each gets at most *memory_bytes*, where that is set, and is as *nice* as nice(1)
    says.
    """

    folder: Path
    check: Callable[[], None] = lambda: None
    memory_bytes: int | None = None
    nice: int = 0

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
        process = _start([*fence(self.memory_bytes, self.nice), *command], self.folder)
        watch = _Watch(process, on_progress, stall_s, limit_s)
        try:
            watch.follow(self.check)
        finally:
            stop(process)
            watch.join()
        said = watch.said(self.folder)
        if process.returncode != 0:
            self.check()  # a shutdown may have stopped ffmpeg before us
            raise self._failure(process.returncode, said)
        return said

    def _failure(self, code: int, said: str) -> NexusError:
        details: dict[str, Any] = {"exit_code": code, "stderr": said[-2000:]}
        # first: a damaged source says "invalid data" long before ffmpeg is killed
        if code == -signal.SIGFPE:  # its answer to a picture without a single frame
            return SourceError(MESSAGES["corrupt"], code="corrupt", **details)
        if code < 0 or (code == ASKED_TO_STOP and "received signal" in said):
            return EncodeError(_killed_by(-code), code="killed", **details)
        for text, kind, word in CAUSES:
            if text in said:
                message = MESSAGES.get(word) or disk_full(self.folder)
                return kind(message, code=word, **details)
        if code == TOO_DAMAGED:
            return SourceError(MESSAGES["corrupt"], code="corrupt", **details)
        last = said.strip().splitlines()[-1] if said.strip() else "it said nothing"
        return EncodeError(f"ffmpeg failed with exit code {code}: {last}", **details)


def _killed_by(number: int) -> str:
    """Return the sentence for an end by a signal; less than 0 is an unknown one."""
    if number == signal.SIGKILL:
        return (
            "ffmpeg was killed by SIGKILL, as Linux does when memory runs out; give "
            "the worker more, or set WORKER_CONCURRENCY lower"
        )
    with suppress(ValueError):
        return f"ffmpeg was killed by {signal.Signals(number).name}"
    return "ffmpeg was stopped by a signal"


def _start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            [*leash(signal.SIGKILL), *command],
            stdin=subprocess.DEVNULL,  # a "q" on stdin would end ffmpeg with success
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            env=environment(),
            start_new_session=True,
        )
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise EncodeError(f"{command[0]} does not start: {reason}") from error


def stop(process: subprocess.Popen[Any]) -> None:
    """End *process* and its children: ask, wait, kill, reap."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE_S)
    finally:
        # also if it has ended: what it has started may still run
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left to hear it
        os.killpg(process.pid, number)


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
        # the end of a pipe is heard at once, where `wait` only looks now and then
        *_, ear = self._threads
        ear.join(LOOK_S)
        if ear.is_alive():
            return self.process.poll() is None  # a stranger may hold the pipe
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
        for line in _lines(pipe):
            name, _, value = line.strip().partition("=")
            told = number(value.strip().removesuffix("x"))
            if name == "progress":
                self._news.set()
            elif name == "speed":
                self._progress.speed = told if told and told > 0 else None
            elif name == "out_time_us" and told is not None:
                self._move(seconds=told / 1_000_000)
            elif name == "frame" and told is not None:
                self._move(frames=round(told))
            elif name == "drop_frames" and told is not None:
                self._move(dropped=round(told))

    def _move(self, *, seconds: float = 0, frames: int = 0, dropped: int = 0) -> None:
        progress = self._progress
        if seconds > progress.seconds:
            progress.seconds, self._moved_at = seconds, time.monotonic()
        if frames > progress.frames:
            progress.frames, self._moved_at = frames, time.monotonic()
        if dropped > progress.dropped:
            progress.dropped, self._moved_at = dropped, time.monotonic()

    def _read_tail(self, pipe: IO[str]) -> None:
        for line in _lines(pipe):
            self._tail.append("".join(c for c in line.rstrip() if c.isprintable()))

    def join(self) -> None:
        """Wait until both pipes are read to their end."""
        for thread in self._threads:
            thread.join(timeout=GRACE_S)
        if any(thread.is_alive() for thread in self._threads):
            return  # a stranger holds a pipe: to close it would wait for him
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def said(self, folder: Path) -> str:
        """Return the end of stderr, without the names of our folders."""
        return "\n".join(self._tail).replace(str(folder), "…")


def _lines(pipe: IO[str]) -> Iterator[str]:
    """Yield lines; one that does not end comes in parts, since memory does end."""
    return iter(partial(pipe.readline, LINE_CHARS), "")
