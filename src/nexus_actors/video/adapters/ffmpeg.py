"""Stills by ffmpeg: one process decodes one frame and writes all sizes and formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ffmpeg

from nexus_actors.video.base import Film, ImageEngine, Workbench
from nexus_actors.video.commands import QUIET, legs_of, on_white
from nexus_actors.video.models import Filter, StillFormat, Thumbnail
from nexus_actors.video.pictures import check_picture
from nexus_actors.video.tools import Tools


#: The encoder of each format.
ENCODERS: Final[Mapping[StillFormat, str]] = {
    "jpeg": "mjpeg",
    "webp": "libwebp",
    "avif": "libaom-av1",
}

#: What each encoder is told; JPEG's quality is from 2, the best, to 31.
OPTIONS: Final[Mapping[StillFormat, Mapping[str, Any]]] = {
    "jpeg": {"q:v": 3, "pix_fmt": "yuvj420p", "update": 1},
    "webp": {"quality": 80, "pix_fmt": "yuv420p"},
    "avif": {
        "crf": 28,
        "cpu-used": 8,
        "still-picture": 1,
        "pix_fmt": "yuv420p",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "colorspace": "bt709",
        "color_range": "tv",
    },
}

#: One frame is too little to be shared: what starts threads for it takes longer.
ALONE: Final = ("-filter_complex_threads", "1")

#: The colours that each format has: JPEG and WebP know one matrix, and name none.
COLOURS: Final[Mapping[StillFormat, Mapping[str, str]]] = {
    "jpeg": {"matrix": "bt601", "range": "full"},
    "webp": {"matrix": "bt601", "range": "tv"},
    "avif": {"matrix": "bt709", "range": "tv"},
}


class FfmpegImageEngine(ImageEngine):
    name = "ffmpeg"

    def formats(self, tools: Tools) -> frozenset[StillFormat]:
        return frozenset(f for f, name in ENCODERS.items() if name in tools.encoders)

    def write(self, wanted: Sequence[Thumbnail], film: Film, bench: Workbench) -> None:
        if film.is_picture:
            check_picture(film.large)
        bench.run(stills_command(wanted, film, bench))


def stills_command(
    wanted: Sequence[Thumbnail], film: Film, bench: Workbench
) -> list[str]:
    """Return the command that decodes one frame and writes it in all sizes."""
    by_size: dict[tuple[int, int], list[Thumbnail]] = {}
    for still in sorted(wanted, key=lambda still: -still.width * still.height):
        by_size.setdefault((still.width, still.height), []).append(still)
    frame = frame_of(film, next(iter(by_size)))
    outputs: list[Any] = []
    left = len(by_size)
    for (width, height), stills in by_size.items():
        # each size is made of the one above it: of the whole frame, all took longer
        frame = frame.filter("scale", w=width, h=height, flags="lanczos")
        left -= 1
        *legs, frame = (
            legs_of(frame, "split", len(stills) + 1)
            if left
            else (
                *legs_of(frame, "split", len(stills)),
                None,
            )
        )
        outputs += [
            _output(leg, still, film, bench)
            for leg, still in zip(legs, stills, strict=True)
        ]
    merged = ffmpeg.merge_outputs(*outputs)
    compiled: list[str] = merged.compile(
        cmd=str(bench.tools.ffmpeg), overwrite_output=True
    )
    return [compiled[0], *QUIET, *ALONE, *compiled[1:]]


def frame_of(film: Film, largest: tuple[int, int]) -> Any:
    """Return the frame like a rendition's: upright, BT.709; a picture as JPEG has it.

    A picture is first cut to the shape of *largest*.
    """
    seek = {"threads": 1} if film.is_picture else {"ss": f"{film.moment:.6f}"}
    given = ffmpeg.input(f"file:{film.large}", **dict(film.guard), **seek)
    frame = given[str(film.stream)]
    if film.flatten:
        frame = on_white(frame)
    filters = film.filters
    if film.is_picture:
        width, height = largest
        shape = {
            "w": f"min(iw,ih*{width}/{height})",
            "h": f"min(ih,iw*{height}/{width})",
        }
        filters = (
            Filter(name="format", options={"pix_fmts": "yuvj420p"}),
            Filter(name="crop", options=shape),
        )
    for item in filters:
        frame = frame.filter(item.name, **item.options)
    return frame


def _output(leg: Any, still: Thumbnail, film: Film, bench: Workbench) -> Any:
    given = {"matrix": "bt709", "range": "tv"}
    if film.is_picture:
        given = {"matrix": "bt601", "range": "full"}
    wanted = COLOURS[still.format]
    if wanted != given:
        leg = leg.filter(
            "scale",
            in_color_matrix=given["matrix"],
            in_range=given["range"],
            out_color_matrix=wanted["matrix"],
            out_range=wanted["range"],
        )
    options = {"frames:v": 1, "c:v": ENCODERS[still.format], "map_metadata": -1}
    if still.format == "jpeg":
        options["threads"] = 1
    target = str(bench.root / still.path)
    return leg.output(target, **options, **OPTIONS[still.format])
