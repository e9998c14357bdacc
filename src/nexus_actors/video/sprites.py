"""Sheets of small stills, and the WebVTT by which players show them."""

from __future__ import annotations

from math import ceil
from pathlib import PurePosixPath
from typing import Any, Final

import ffmpeg

from .base import Film, Workbench
from .commands import QUIET, on_white
from .errors import OutputError
from .models import Sprites, VideoRendition
from .tools import Tools


#: The longer side of a small still, in pixels, and about how many there are.
SIDE: Final = 160
ABOUT: Final = 100

#: JPEG quality, as ffmpeg counts: 2 is best, 31 worst.
QUALITY: Final = 4

#: JPEG knows one matrix and one range, and cannot name another.
JPEG_COLOURS: Final = {
    "in_color_matrix": "bt709",
    "out_color_matrix": "bt601",
    "out_range": "full",
}

#: A film longer than this, in seconds, is read by its key frames alone.
LONG_S: Final = 600

TRACK: Final = "sprite/thumbs.vtt"


def plan_sprites(seconds: float, top: VideoRendition) -> Sprites:
    """Decide how many stills there are, and of which size: as the picture is shaped."""
    interval = max(1, ceil(seconds / ABOUT))
    share = SIDE / max(top.width, top.height)
    return Sprites(
        interval=interval,
        count=max(1, ceil(seconds / interval)),
        width=max(2, 2 * round(top.width * share / 2)),
        height=max(2, 2 * round(top.height * share / 2)),
    )


def make_sprites(sprites: Sprites, film: Film, bench: Workbench) -> None:
    """Write the sheets and the track below ``bench.root``.

    Raises:
        OutputError: A sheet is missing.
    """
    (bench.root / "sprite").mkdir(exist_ok=True)
    bench.run(sprites_command(sprites, film, bench))
    for sheet in sprites.sheets:
        if not (bench.root / sheet).is_file():
            raise OutputError(f"{sheet} was not written")
    (bench.root / TRACK).write_text(track(sprites, film.seconds), encoding="utf-8")


def sprites_command(sprites: Sprites, film: Film, bench: Workbench) -> list[str]:
    """Return the command that makes all sheets in one decode."""
    tools: Tools = bench.tools
    only_keys: dict[str, Any] = {"skip_frame": "nokey"}
    seek = only_keys if film.seconds > LONG_S else {}
    given = ffmpeg.input(f"file:{film.small}", **seek, **dict(film.guard))
    frames = given[str(film.stream)]
    # a late first frame stands for the start, the last one for all that follows
    frames = frames.filter("tpad", stop=-1, stop_mode="clone")
    frames = frames.filter("fps", fps=f"1/{sprites.interval}", start_time=0)
    frames = frames.filter("trim", end_frame=sprites.count)
    if film.flatten:
        frames = on_white(frames)
    size = {"w": str(sprites.width), "h": str(sprites.height)}
    for item in film.filters:
        options = {**item.options, **size} if item.name == "scale" else item.options
        frames = frames.filter(item.name, **options)
    if not film.filters:
        frames = frames.filter("scale", **size, flags="bicubic")
    frames = (
        frames.filter("scale", **JPEG_COLOURS)
        .filter("format", pix_fmts="yuvj420p")
        .filter("tile", layout=f"{sprites.columns}x{sprites.rows}")
    )
    target = bench.root / "sprite/sprite_%03d.jpg"
    sheet = {"fps_mode": "vfr", "q:v": QUALITY, "map_metadata": -1}
    output = frames.output(str(target), **sheet)
    compiled: list[str] = output.compile(cmd=str(tools.ffmpeg), overwrite_output=True)
    return [compiled[0], *QUIET, *compiled[1:]]


def track(sprites: Sprites, seconds: float) -> str:
    """Return the WebVTT: one cue for each still, the last one to the film's end."""
    cues = ["WEBVTT\n"]
    on_sheet = sprites.columns * sprites.rows
    for number in range(sprites.count):
        start = number * sprites.interval
        end = min(start + sprites.interval, seconds)
        row, column = divmod(number % on_sheet, sprites.columns)
        place = (column * sprites.width, row * sprites.height)
        sheet = PurePosixPath(sprites.sheets[number // on_sheet]).name
        area = ",".join(map(str, (*place, sprites.width, sprites.height)))
        cues.append(f"{clock(start)} --> {clock(end)}\n{sheet}#xywh={area}\n")
    return "\n".join(cues)


def clock(seconds: float) -> str:
    """Return a time as WebVTT writes it."""
    millis = round(seconds * 1000)
    minutes, rest = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
