"""The third step: decide everything, so that equal plans make equal outputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from math import ceil
from pathlib import Path
from typing import Any, Final

from nexus_actors.engine.slots import usable_cores

from .audio import MOST_SOUNDS, audio_renditions, choose
from .captions import plan_captions
from .codecs import CODECS, in_codec
from .colours import HDR_TRANSFERS, has_alpha, pre_filters
from .ladder import Rung, renditions, rungs_of
from .models import (
    MediaInfo,
    Plan,
    ProcessVideoOptions,
    Thumbnail,
    ThumbnailOptions,
    VideoRendition,
    VideoStream,
    Watermark,
    WatermarkOptions,
)
from .settings import VideoSettings
from .sprites import plan_sprites
from .tools import Tools
from .watermark import plan_watermark


#: Raise it when the same inputs shall make other outputs than before.
PLANNER: Final = 7

#: Groups of pictures of two seconds each that make one segment.
SEGMENT_GOPS: Final = 2

#: How long a picture is waited for that comes later than its sound, in seconds: what
#: comes earlier has come with it, and what comes later never.
WAITED_S: Final = (0.1, 60)

#: For how many frames the last one of most sources may be shown on.
TAIL_FRAMES: Final = 2

#: A picture of no more pixels than this, of 1088 lines, is decoded and scaled in a
#: fourth of the time that its renditions take: one thread can feed those of four cores,
#: and takes a tenth less for it than threads that wait for each other.
EASY_PIXELS: Final = 1920 * 1088
FED_CORES: Final = 4

#: Names of thumbnails and the length of their longer side, in pixels.
THUMBNAILS: Final[tuple[tuple[str, int], ...]] = (
    ("large", 1280),
    ("medium", 640),
    ("small", 320),
)


def make_plan(  # noqa: PLR0913 - the last two are of few jobs
    media: MediaInfo,
    options: ProcessVideoOptions,
    settings: VideoSettings,
    *,
    tools: Tools,
    threads: int = 0,
    mark_image: Path | None = None,
) -> Plan:
    """Decide what is made of *media*.

    Args:
        media: The source's record.
        options: What the host asks for.
        settings: The worker's.
        tools: What encodes it: other versions make other bytes.
        threads: Of each encoder; 0 leaves the number to ffmpeg.
        mark_image: The image of the mark that *options* name, brought here.

    Raises:
        ConfigurationError: The watermark that is set cannot be read.
    """
    video = media.video
    assert video is not None  # noqa: S101 - the probe refuses a file without picture
    rungs, warnings = _rungs(media, options, settings)
    codecs = [c for c in options.codecs if CODECS[c].encoder in tools.encoders]
    warnings.extend(f"{c}_not_available" for c in options.codecs if c not in codecs)
    mark = _mark(options.watermark, mark_image, settings, rungs[0])
    if mark is None and _is_marked(options.watermark, settings):
        warnings.append("watermark_not_set")
    sounds = choose(media.audio, options)
    if len(sounds) > MOST_SOUNDS:
        warnings.append("audio_left_out")
    normalized = _first(options.normalize_audio, settings.normalize_audio)
    clean = replace(rungs[0], name="clean") if mark else rungs[0]
    seconds = _seconds(media, video)
    made = Plan(
        hash="",
        duration=_whole_frames(seconds, rungs[0]),
        video_index=video.index,
        video=rungs + tuple(r for c in codecs[1:] for r in in_codec(rungs, c)),
        audio=audio_renditions(sounds[:MOST_SOUNDS], options, settings),
        clean=clean if options.clean_rendition else None,
        loudness=settings.loudness if normalized else None,
        **_stills(options.thumbnails, seconds, rungs[0]),
        formats=options.formats,
        captions=plan_captions(
            media, options.captions, own_too=bool({"hls", "dash"} & {*options.formats})
        ),
        segment_gops=SEGMENT_GOPS,
        preset=options.preset or settings.ffmpeg_preset,
        flatten=has_alpha(video),
        pre_filters=tuple(pre_filters(video, rungs[0])),
        tail_frames=_tail(media, rungs[0]),
        watermark=mark,
        threads=threads,
        feed_threads=_feed_threads(video, threads or usable_cores()),
        warnings=tuple(warnings),
    )
    return replace(made, hash=_hash(made, media, options, tools))


def _feed_threads(video: VideoStream, cores: int) -> int:
    """Return how many threads decode, and filter; 0 leaves their number to ffmpeg."""
    easy = video.width * video.height <= EASY_PIXELS
    if video.color.transfer in HDR_TRANSFERS or not easy:
        return 0
    return max(1, cores // FED_CORES)


def _is_marked(asked: bool | WatermarkOptions | None, settings: VideoSettings) -> bool:
    if isinstance(asked, WatermarkOptions):
        return True
    return _first(asked, settings.watermark_enabled)


def _mark(
    asked: bool | WatermarkOptions | None,
    image: Path | None,
    settings: VideoSettings,
    top: VideoRendition,
) -> Watermark | None:
    """Return the mark that is asked for, if there is one."""
    if not _is_marked(asked, settings):
        return None
    own = asked if isinstance(asked, WatermarkOptions) else None
    return plan_watermark(own, image, settings, top)


def _rungs(
    media: MediaInfo, options: ProcessVideoOptions, settings: VideoSettings
) -> tuple[tuple[VideoRendition, ...], list[str]]:
    """Return the H.264 renditions, and warnings of those that are left out."""
    ladder, exact = rungs_of(options, settings), options.ladder == "custom"
    rungs = renditions(media, ladder, exact=exact)
    if options.ladder == "single":
        rungs = rungs[:1]
    if "mp4" in options.formats:
        files = rungs if options.mp4_renditions == "all" else rungs[:1]
        rungs = tuple(replace(r, progressive=r in files) for r in rungs)
    return rungs, _too_large(ladder, rungs) if exact else []


def _first(asked: bool | None, usual: bool) -> bool:
    """Return what the message asks for, else what the setting says."""
    return usual if asked is None else asked


def _hash(
    plan: Plan, media: MediaInfo, options: ProcessVideoOptions, tools: Tools
) -> str:
    """Return the hash of all that decides what is made, but for the threads."""
    told = {
        "planner": PLANNER,
        "ffmpeg": tools.version,
        "source": media.sha256,
        "options": options.to_json(),
        "plan": plan_json(replace(plan, threads=0, feed_threads=0)),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _seconds(media: MediaInfo, video: VideoStream) -> float:
    """Return how long the film is: its first frame stands until the picture comes."""
    waited = video.start - media.start_time
    least, most = WAITED_S
    return media.duration + (waited if least < waited <= most else 0)


def _whole_frames(seconds: float, rung: VideoRendition) -> float:
    frames = max(1, round(seconds * rung.fps))
    return float(frames / rung.fps)


def _tail(media: MediaInfo, rung: VideoRendition) -> int:
    """Return for how many frames the last one may be shown on.

    Of a GIF, ffmpeg does not tell how long it stands: that may be most of it.  Others
    lose no more than two frames, and what is missing beyond was cut off.
    """
    if "gif" in media.format_names:
        return ceil(media.duration * rung.fps)
    return TAIL_FRAMES


def _too_large(asked: tuple[Rung, ...], made: tuple[VideoRendition, ...]) -> list[str]:
    """Name what a host has asked for and does not get."""
    names = {rendition.name for rendition in made}
    warnings: list[str] = []
    warnings.extend(
        f"rendition_{rung.short}_larger_than_source"
        for rung in asked
        if str(rung.short) not in names
    )
    return warnings


def _stills(
    asked: bool | ThumbnailOptions,
    seconds: float,
    top: VideoRendition,
) -> dict[str, Any]:
    """Return what the plan says of stills."""
    if asked is False:
        return {"thumbnails": ()}
    wanted = ThumbnailOptions() if asked is True else asked
    return {
        "thumbnails": tuple(_thumbnails(top, wanted)),
        "sprites": plan_sprites(seconds, top) if wanted.sprites else None,
        "moment": wanted.at,
        "picture": wanted.image_path,
    }


def _thumbnails(top: VideoRendition, wanted: ThumbnailOptions) -> Iterator[Thumbnail]:
    """Yield the stills to make: never larger than the picture; one at least."""
    longest = max(top.width, top.height)
    sizes = THUMBNAILS
    if wanted.sizes:
        sizes = tuple((str(side), side) for side in sorted(wanted.sizes, reverse=True))
    fitting = [(name, side) for name, side in sizes if side <= longest]
    for name, side in fitting or [(sizes[-1][0], longest)]:
        for kind in wanted.formats:
            yield Thumbnail(
                name=name,
                width=max(2, 2 * round(top.width * side / longest / 2)),
                height=max(2, 2 * round(top.height * side / longest / 2)),
                format=kind,
            )


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return *plan* as plain JSON, to stand beside the outputs."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(plan), default=str))
    return plain
