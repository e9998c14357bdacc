"""Which frame stands for a film: not black, not blurred, neither dark nor glaring."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .base import Film, Workbench
from .commands import QUIET
from .tools import Tools


#: In a film no longer than this, in seconds, every frame is looked at: it has few key
#: frames, and the only one may be black.
SHORT_S: Final = 10

#: Fewer key frames than this are no choice.
ENOUGH: Final = 5

#: One printed frame of the `metadata` filter.
FRAME: Final = re.compile(r"frame:\d+\s+pts:\S+\s+pts_time:([0-9.]+)")
VALUE: Final = re.compile(r"lavfi\.(\S+)=(\S+)")

#: The size in which frames are looked at: in their shape, but for the most extreme.
#: Of a few lines, ffmpeg cannot tell how sharp they are.
SMALL: Final = r"160:clip(2*round(80*ih/iw)\,16\,640)"

#: A frame of which more than this many per cent is black is no poster.
BLACK_PERCENT: Final = 90.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame and what was measured of it."""

    time: float
    black: float
    blur: float
    luma: float
    saturation: float
    contrast: float = 0.0

    @property
    def score(self) -> float:
        """How well the frame would stand for the film: higher is better."""
        exposure = 1 - abs(self.luma - 120) / 120
        sharpness = 1 / (1 + self.blur / 5)
        colour = min(1.0, self.saturation / 60)
        seen = exposure + 2 * sharpness + colour + min(1.0, self.contrast / 150)
        return (self.black <= BLACK_PERCENT) * 10 + seen


def look_at(film: Film, bench: Workbench) -> list[Candidate]:
    """Measure frames of *film*: key frames, or all where these are few."""
    if film.seconds > SHORT_S:
        found = read_candidates(bench.run(score_command(film, bench.tools)))
        if len(found) >= ENOUGH:
            return found
    return read_candidates(bench.run(score_command(film, bench.tools, every=True)))


def score_command(film: Film, tools: Tools, *, every: bool = False) -> list[str]:
    """Return the command that measures the key frames of *film*, or *every* frame.

    Of every frame, so many a second that there are a hundred of them: those between
    hardly differ.
    """
    rate = min(5.0, 100 / film.seconds)
    filters = (f"fps={rate:.4f}," if every else "") + (
        f"scale={SMALL},format=yuv420p,blackframe=amount=0:threshold=32,blurdetect,signalstats,"
        "metadata=mode=print:file=/dev/stderr"
    )
    skip = [] if every else ["-skip_frame", "nokey"]
    guard = [p for name, value in film.guard for p in (f"-{name}", value) if p]
    source = [*skip, *guard, "-i", f"file:{film.small}", "-map", f"0:{film.stream}"]
    command = [str(tools.ffmpeg), *QUIET, *source]
    return [*command, "-vf", filters, "-f", "null", "-"]


def choose(found: list[Candidate], duration: float) -> float:
    """Return the time of the best frame: not at the very start or end."""
    inner = [c for c in found if min(1.0, duration / 10) <= c.time <= 0.95 * duration]
    best = max(inner or found, key=lambda c: c.score, default=None)
    return best.time if best else 0.0


def read_candidates(printed: str) -> list[Candidate]:
    """Read what the filters of `score_command` have printed."""
    found = []
    for block in re.split(r"(?=frame:\d+\s+pts:)", printed):
        head = FRAME.search(block)
        if not head:
            continue
        values = dict(VALUE.findall(block))
        found.append(
            Candidate(
                time=float(head[1]),
                black=_number(values.get("blackframe.pblack"), 0),
                blur=_number(values.get("blur"), 20),
                luma=_number(values.get("signalstats.YAVG"), 0),
                saturation=_number(values.get("signalstats.SATAVG"), 0),
                contrast=_number(values.get("signalstats.YHIGH"), 0)
                - _number(values.get("signalstats.YLOW"), 0),
            )
        )
    return found


def _number(text: str | None, default: float) -> float:
    """Return a number; flat frames give ``-nan``."""
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if value == value else default  # noqa: PLR0124 - nan differs from itself
