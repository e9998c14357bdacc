"""Runs ffprobe, and reads what it prints."""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from .errors import EncodeError, SourceError
from .tools import INPUT_GUARD, Tools, environment


Json = dict[str, Any]

#: How long one look may take, in seconds.
LOOK_S: Final = 60

#: Slowest disk on which a whole file is still read in time, in bytes a second.
SLOWEST_DISK: Final = 5_000_000

#: What ffprobe says of a file whose kind is not one of `tools.DEMUXERS`.
OUTSIDE: Final = re.compile(r"\[(\S+) @ [^]]+\] Format not on whitelist")

#: A last frame shorter than this, in seconds, has no length of its own: FLV says 1 ms.
LEAST_TAIL_S: Final = 1 / 240


#: In a stream whose clock may begin anew, what goes back by more than this, or forward,
#: in seconds, is such a place: ffmpeg goes on there without a gap.
LEAST_BACK_S: Final = 0.1
LEAST_FORWARD_S: Final = 10


@dataclass(frozen=True, slots=True)
class Counted:
    """What reading every packet of a stream has told.

    Attributes:
        seconds: From the first frame's start to the last one's end.
        frames: How many are shown: what an edit list cuts away does not count.
        bits: The size of them all.
        clean: Whether ffprobe read to the end without complaint.
        key_gap_s: The longest stretch without a key frame, in seconds.
        parts: How often the clock began; more than once in films that were joined.
    """

    seconds: float
    frames: int
    bits: int
    clean: bool = True
    key_gap_s: float = 0.0
    parts: int = 1


def look(path: Path, tools: Tools, *wanted: str) -> Json:
    """Return what ffprobe tells of *path*; *wanted* are its options.

    Raises:
        SourceError: It cannot read the file.
        EncodeError: It was killed or too slow, which may pass.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            _command(path, tools, *wanted, "-of", "json"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOOK_S,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(LOOK_S) from None
    _check(done.returncode, done.stderr)
    # a damaged file's own words may be no valid text
    found: Json = json.loads(done.stdout.decode(errors="replace") or "{}", strict=False)
    return found


def count(
    path: Path,
    stream: Json,
    tools: Tools,
    check: Callable[[], None] = lambda: None,
    *,
    joined: bool = False,
) -> Counted:
    """Read every packet of *stream*; keeps none of them, since there may be millions.

    *check* is called often: it raises if the job must stop.  *joined* tells whether the
    clock of the container may begin anew.

    Raises:
        SourceError: The stream has no packets, or cannot be read.
        EncodeError: ffprobe was killed or too slow, which may pass.
    """
    spans = _Spans(joined)
    said = _read_packets(path, stream["index"], tools, spans.add, check)
    if not spans.frames:
        raise SourceError(
            "the video has no frames: it is damaged; upload it again", code="corrupt"
        )
    return Counted(
        spans.seconds(stream),
        spans.frames,
        spans.bits,
        not said,
        spans.longest_gap(),
        spans.parts,
    )


def number(value: Any) -> float | None:
    """Return *value* as a finite number: ffprobe says ``N/A``, ``0/0``, ``inf``."""
    if value is None:
        return None
    try:
        found = float(Fraction(str(value))) if "/" in str(value) else float(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """Return *value* as a whole number, or ``None`` where there is none."""
    found = number(value)
    return None if found is None else round(found)


@dataclass(slots=True)
class _Spans:
    """The span of time that packets cover, in seconds."""

    joined: bool = False
    parts: int = 1
    offset: float = 0.0
    decoded: float | None = None
    frames: int = 0
    bits: int = 0
    first: float = math.inf
    last: float = -math.inf
    tail: float = 0.0
    key: float | None = None
    gap: float = 0.0

    def add(self, line: str) -> None:
        """Take one packet as ffprobe prints it."""
        fields = line.split(",")
        shown, decoded, length, size, flags, *_ = (*fields, "", "", "", "", "")
        if "D" in flags:  # before an edit list's start, or after its end
            return
        self.frames += 1
        self.bits += 8 * (whole(size) or 0)
        at = number(shown)
        at = number(decoded) if at is None else at
        if self.joined and at is not None:
            self._join(number(decoded), number(length) or 0.0)
            at += self.offset
        if at is not None:
            self.first = min(self.first, at)
        if at is not None and "K" in flags:
            self.gap = max(
                self.gap, at - (self.first if self.key is None else self.key)
            )
            self.key = at
        if at is not None and at >= self.last:
            self.last, self.tail = at, number(length) or 0.0

    def _join(self, decoded: float | None, length: float) -> None:
        """Go on where the last packet has ended if the clock begins anew."""
        if decoded is None:
            return
        if self.decoded is not None:
            step = decoded + self.offset - self.decoded
            if not -LEAST_BACK_S <= step <= LEAST_FORWARD_S:
                self.parts += 1
                self.offset += length - step
        self.decoded = decoded + self.offset

    def longest_gap(self) -> float:
        key = self.first if self.key is None else self.key
        return max(self.gap, self.last - key) if self.last >= self.first else 0.0

    def seconds(self, stream: Json) -> float:
        rate = number(stream.get("r_frame_rate")) or 25.0
        if self.last < self.first:  # a bare stream: packets without times
            return self.frames / rate
        usual = (self.last - self.first) / (self.frames - 1) if self.frames > 1 else 0
        tail = self.tail if self.tail >= LEAST_TAIL_S else usual
        return self.last - self.first + (tail or 1 / rate)


def _read_packets(
    path: Path,
    index: int,
    tools: Tools,
    take: Callable[[str], None],
    check: Callable[[], None],
) -> bytes:
    """Give each packet's line to *take*; return what ffprobe complained of."""
    limit = LOOK_S + path.stat().st_size / SLOWEST_DISK
    entries = "packet=pts_time,dts_time,duration_time,size,flags"
    options = ("-select_streams", str(index), "-show_entries", entries)
    command = _command(path, tools, *options, "-of", "csv=p=0")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            errors="replace",
            env=environment(),
        ) as process,
    ):
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, give_up)
        timer.start()
        try:
            for line in process.stdout or ():
                check()
                if line.strip():
                    take(line.strip())
            process.wait()
        finally:
            timer.cancel()
            process.kill()
        if late.is_set():
            raise _too_slow(limit)
        said.seek(0)
        complaint = said.read(10_000)
        _check(process.returncode, complaint)
        return complaint


def _command(path: Path, tools: Tools, *wanted: str) -> list[str]:
    guard = [part for name, value in INPUT_GUARD for part in (f"-{name}", value)]
    quiet = ["-hide_banner", "-v", "error"]
    return [str(tools.ffprobe), *quiet, *guard, *wanted, f"file:{path}"]


def _check(code: int, stderr: bytes) -> None:
    said = stderr.decode(errors="replace").strip()
    if code < 0:
        raise EncodeError(f"ffprobe was killed by signal {-code}", code="killed")
    if code > 0:
        raise _refusal(said)


def _refusal(said: str) -> SourceError:
    """Return the error that fits what ffprobe has said."""
    code = "corrupt"
    if "whitelist" in said.lower():
        found = OUTSIDE.search(said)
        kind = found[1] if found else "unknown"
        if kind.endswith("_pipe"):  # ffmpeg's name for pictures of a format
            return SourceError("the file is a picture, not a video", code="no_video")
        code = "forbidden_format"
        text = f"files of the kind {kind} are not accepted; convert it to MP4 or WebM"
    elif "moov atom not found" in said:
        text = "the file is cut short or damaged: its index is missing; upload it again"
    else:
        text = "the file is not a video, or is damaged; upload it again"
    return SourceError(text, code=code, ffprobe=said[-500:])


def _too_slow(seconds: float) -> EncodeError:
    return EncodeError(
        f"ffprobe has not read the file within {seconds:.0f} s: the disk is slow, "
        "or the file is damaged",
        code="timeout",
    )
