"""Poster and thumbnails: upright, square pixels, SDR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ffmpeg

from .adapters.mp4 import join
from .base import Workbench
from .commands import QUIET, on_white
from .errors import OutputError
from .models import Filter, Plan, Presentation, Thumbnail, VideoRendition
from .tools import INPUT_GUARD, Tools


#: JPEG quality, as ffmpeg counts: 2 is best, 31 worst.
QUALITY: Final = 3

#: JPEG knows one matrix and one range, and cannot name another.
JPEG_COLOUR: Final = {
    "in_color_matrix": "bt709",
    "out_color_matrix": "bt601",
    "out_range": "full",
}

POSTER: Final = "poster"

#: In a film no longer than this, in seconds, every frame is looked at: it has few key
#: frames, and the only one may be black.
SHORT_S: Final = 20

#: Fewer key frames than this are no choice.
ENOUGH: Final = 5

#: One printed frame of the `metadata` filter.
FRAME: Final = re.compile(r"frame:\d+\s+pts:\S+\s+pts_time:([0-9.]+)")
VALUE: Final = re.compile(r"lavfi\.(\S+)=(\S+)")

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

    @property
    def score(self) -> float:
        """How well the frame would stand for the film: higher is better."""
        exposure = 1 - abs(self.luma - 120) / 120
        sharpness = 1 / (1 + self.blur / 5)
        colour = min(1.0, self.saturation / 60)
        return (self.black <= BLACK_PERCENT) * 10 + exposure + 2 * sharpness + colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What stills are taken from.

    Attributes:
        small: Is looked at, to choose a moment.
        large: Is what the stills are made of.
        stream: ffprobe's number of the picture in both.
        seconds: Its length.
        filters: What makes the picture like a rendition, where it is none.
        flatten: Whether it has transparent parts, to be laid on white.
        guard: What stands before the input.
    """

    small: Path
    large: Path
    seconds: float
    stream: int = 0
    filters: tuple[Filter, ...] = ()
    flatten: bool = False
    guard: tuple[tuple[str, str], ...] = ()


def film_of_tracks(shown: Presentation, root: Path, scratch: Path) -> Film:
    """Return our own renditions: upright, square pixels, SDR, marked."""
    return Film(
        small=join(shown.by_codec[0][-1], root, scratch / "small.mp4"),
        large=join(shown.video[0], root, scratch / "large.mp4"),
        seconds=shown.duration,
    )


def film_of_source(plan: Plan, source: Path) -> Film:
    """Return the source itself, with what makes its picture like a rendition."""
    return Film(
        small=source,
        large=source,
        stream=plan.video_index,
        seconds=plan.duration,
        # of one frame, there is no rate
        filters=tuple(item for item in plan.pre_filters if item.name != "fps"),
        flatten=plan.flatten,
        guard=INPUT_GUARD,
    )


def make_stills(plan: Plan, film: Film, bench: Workbench) -> list[str]:
    """Write ``thumb/<name>.jpg`` and the poster; return their relative paths."""
    root, tools, run = bench.root, bench.tools, bench.run
    (root / "thumb").mkdir(parents=True, exist_ok=True)
    moment = choose(look_at(film, bench), film.seconds)
    wanted = [poster(plan.video[0]), *plan.thumbnails]
    run(stills_command(film, moment, wanted, root, tools))
    paths = [still_path(still.name) for still in wanted]
    for path in paths:
        if not (root / path).is_file() or not (root / path).stat().st_size:
            raise OutputError(f"ffmpeg has not written {path}")
    return paths


def look_at(film: Film, bench: Workbench) -> list[Candidate]:
    """Measure frames of *film*: key frames, or all where these are few."""
    if film.seconds > SHORT_S:
        found = read_candidates(bench.run(score_command(film, bench.tools)))
        if len(found) >= ENOUGH:
            return found
    return read_candidates(bench.run(score_command(film, bench.tools, every=True)))


def still_path(name: str) -> str:
    """Return where the still called *name* lies, from the root of the outputs."""
    return f"thumb/{name}.jpg"


def poster(top: VideoRendition) -> Thumbnail:
    """Return the poster's size: that of the picture."""
    return Thumbnail(name=POSTER, width=top.width, height=top.height)


def score_command(film: Film, tools: Tools, *, every: bool = False) -> list[str]:
    """Return the command that measures the key frames of *film*, or *every* frame.

    Of every frame, so many a second that there are a hundred of them: those between
    hardly differ.
    """
    rate = min(5.0, 100 / film.seconds)
    filters = (f"fps={rate:.4f}," if every else "") + (
        "scale=160:-2,format=yuv420p,blackframe=amount=0:threshold=32,blurdetect,signalstats,"
        "metadata=mode=print:file=/dev/stderr"
    )
    skip = [] if every else ["-skip_frame", "nokey"]
    guard = [part for name, value in film.guard for part in (f"-{name}", value)]
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


def stills_command(
    film: Film, moment: float, wanted: list[Thumbnail], root: Path, tools: Tools
) -> list[str]:
    """Return the command that decodes one frame and writes it in all sizes."""
    given = ffmpeg.input(f"file:{film.large}", **dict(film.guard), ss=f"{moment:.6f}")
    frame = given[str(film.stream)]
    if film.flatten:
        frame = on_white(frame)
    for item in film.filters:
        frame = frame.filter(item.name, **item.options)
    legs = frame.filter_multi_output("split", len(wanted))
    outputs: list[Any] = []
    for number, still in enumerate(wanted):
        size = {"w": still.width, "h": still.height, "flags": "lanczos"}
        leg = legs[number].filter("scale", **size, **JPEG_COLOUR)
        options = {"frames:v": 1, "q:v": QUALITY, "update": 1, "pix_fmt": "yuvj420p"}
        target = str(root / still_path(still.name))
        outputs.append(leg.output(target, **options))
    merged = ffmpeg.merge_outputs(*outputs)
    compiled: list[str] = merged.compile(cmd=str(tools.ffmpeg), overwrite_output=True)
    return [compiled[0], *QUIET, *compiled[1:]]
