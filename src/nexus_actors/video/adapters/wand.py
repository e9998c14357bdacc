"""Stills by ImageMagick, through wand: for what users have made.

It turns what a camera has held sideways, which ffmpeg 5 does not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nexus_actors.video import magick
from nexus_actors.video.base import Film, ImageEngine, Workbench
from nexus_actors.video.commands import QUIET
from nexus_actors.video.errors import EncodeError, SourceError
from nexus_actors.video.models import StillFormat, Thumbnail
from nexus_actors.video.pictures import check_picture
from nexus_actors.video.tools import Tools, ask

from .ffmpeg import frame_of


#: A process of its own, which runs nothing but `magick`: a picture may be hostile.
CHILD: Final = (sys.executable, "-I", str(Path(magick.__file__)))

#: Quality from 1 to 100; by format, since each counts in its own way.
QUALITY: Final = {"jpeg": 85, "webp": 80, "avif": 60}


class WandImageEngine(ImageEngine):
    name = "wand"

    def formats(self, tools: Tools) -> frozenset[StillFormat]:  # noqa: ARG002 - its own
        return _formats()

    def write(self, wanted: Sequence[Thumbnail], film: Film, bench: Workbench) -> None:
        if film.is_picture:
            source, coder = film.large, check_picture(film.large)
            _run(wanted, source, coder, bench)
            return
        frame = bench.root.parent / "frame.png"
        try:
            bench.run(frame_command(wanted, film, frame, bench.tools))
            _run(wanted, frame, "png", bench)
        finally:
            frame.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _formats() -> frozenset[StillFormat]:
    told = ask([*CHILD, "formats"]).split() if find_spec("wand") else []
    known: tuple[StillFormat, ...] = ("jpeg", "webp", "avif")
    return frozenset(name for name in known if name in told)


def frame_command(
    wanted: Sequence[Thumbnail], film: Film, target: Path, tools: Tools
) -> list[str]:
    """Return the command that keeps one frame of *film*, as large as it is needed."""
    largest = max(wanted, key=lambda still: still.width)
    frame = frame_of(film, (largest.width, largest.height)).filter(
        "scale", w=largest.width, h=largest.height, flags="lanczos"
    )
    once = {"frames:v": 1, "pix_fmt": "rgb24", "update": 1, "compression_level": 1}
    compiled: list[str] = frame.output(f"file:{target}", **once).compile(
        cmd=str(tools.ffmpeg), overwrite_output=True
    )
    return [compiled[0], *QUIET, *compiled[1:]]


def _run(
    wanted: Sequence[Thumbnail], source: Path, coder: str, bench: Workbench
) -> None:
    stills = [
        {
            "path": str(bench.root / still.path),
            "width": still.width,
            "height": still.height,
            "format": still.format,
            "quality": QUALITY[still.format],
        }
        for still in sorted(wanted, key=lambda still: -still.width * still.height)
    ]
    job = {"source": str(source), "coder": coder, "stills": stills}
    try:
        bench.run([*CHILD, json.dumps(job)])
    except EncodeError as error:
        if error.code != EncodeError.code:  # killed, or too slow
            raise
        raise SourceError(
            "the picture cannot be decoded; save it again as JPEG or PNG",
            code="corrupt",
            **error.details,
        ) from error
