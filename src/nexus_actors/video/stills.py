"""Poster, thumbnails and sprites: upright, square pixels, SDR."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from .adapters.mp4 import join
from .base import Film, ImageEngine, Workbench, image_engines
from .commands import QUIET, input_options
from .errors import OutputError
from .models import Plan, Presentation, Thumbnail, VideoRendition
from .score import choose, look_at
from .sprites import make_sprites


POSTER: Final = "poster"

#: The engines for frames of a film, the fastest one first: `benchmarks/stills.py`
#: measures them.  The next one is for what the first cannot write.
ENGINES: Final = ("ffmpeg", "wand")

#: For pictures of users: it knows which side is up.
PICTURE_ENGINES: Final = ("wand",)

#: The side of the picture in which the dominant colour is looked for, in pixels.
COLOR_SIDE: Final = 32

#: Colours that differ by less than this, of 256, are one.
COLOR_STEP: Final = 32


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
        guard=input_options(plan),
    )


def make_stills(
    plan: Plan, film: Film, bench: Workbench, picture: Path | None = None
) -> dict[str, Any]:
    """Write the stills that *plan* asks for; return what is told of the poster.

    They show *picture*, which a user has chosen, or else a moment of *film*.
    """
    (bench.root / "thumb").mkdir(parents=True, exist_ok=True)
    wanted = [poster(plan.video[0]), *plan.thumbnails]
    if picture:
        moment = None
        warnings = write_all(wanted, Film.of_picture(picture), bench, PICTURE_ENGINES)
    else:
        moment = _moment(plan, film, bench)
        warnings = write_all(wanted, film.at(moment), bench)
    if plan.sprites:
        make_sprites(plan.sprites, film, bench)
    color = color_of(bench.root / wanted[0].path, bench)
    return {"time": moment, "color": color, "warnings": warnings}


def _moment(plan: Plan, film: Film, bench: Workbench) -> float:
    """Return the moment that was asked for, or the best one."""
    moment = plan.moment
    if moment is None:
        moment = choose(look_at(film, bench), film.seconds)
    # later than the last frame, there is none
    return max(0.0, min(moment, film.seconds - 1 / float(plan.video[0].fps)))


def poster(top: VideoRendition) -> Thumbnail:
    """Return the poster's size: that of the picture."""
    return Thumbnail(name=POSTER, width=top.width, height=top.height)


def write_all(
    wanted: list[Thumbnail],
    film: Film,
    bench: Workbench,
    engines: Iterable[str] = ENGINES,
) -> list[str]:
    """Write *wanted*, each by the first of *engines* that knows its format.

    Returns:
        Warnings of formats that none knows.

    Raises:
        OutputError: One was not written.
    """
    left = list(wanted)
    for engine in map(_engine, engines):
        known = engine.formats(bench.tools)
        mine = [still for still in left if still.format in known]
        if mine:
            engine.write(mine, film, bench)
        left = [still for still in left if still not in mine]
        if not left:
            break
    for still in wanted:
        if still in left:
            continue
        path = bench.root / still.path
        if not path.is_file() or not path.stat().st_size:
            raise OutputError(f"{still.path} was not written")
    warnings: list[str] = []
    warnings.extend(f"{kind}_not_available" for kind in {s.format for s in left})
    return warnings


def _engine(name: str) -> ImageEngine:
    return image_engines.get(name)()


def color_of(image: Path, bench: Workbench) -> str:
    """Return the colour that most of *image* has, as ``#rrggbb``."""
    raw = bench.root.parent / "color.rgb"
    side = f"{COLOR_SIDE}:{COLOR_SIDE}"
    shrink = f"scale={side}:flags=area,format=rgb24"
    command = [str(bench.tools.ffmpeg), *QUIET, "-i", f"file:{image}", "-vf", shrink]
    bench.run([*command, "-f", "rawvideo", "-y", f"file:{raw}"])
    try:
        return dominant(raw.read_bytes())
    finally:
        raw.unlink()


def dominant(raw: bytes) -> str:
    """Return the mean of the most common colours of RGB *raw*."""
    pixels = [tuple(raw[n : n + 3]) for n in range(0, len(raw), 3)]
    kinds = Counter(tuple(part // COLOR_STEP for part in pixel) for pixel in pixels)
    [(most, _)] = kinds.most_common(1)
    same = [p for p in pixels if tuple(part // COLOR_STEP for part in p) == most]
    mean = (round(sum(parts) / len(same)) for parts in zip(*same, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mean)
