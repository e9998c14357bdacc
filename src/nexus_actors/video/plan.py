"""The third step: decide everything, so that equal plans make equal outputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any, Final

from .audio import MOST_SOUNDS, audio_renditions, choose
from .codecs import CODECS, in_codec
from .ffprobe import number
from .ladder import Rung, renditions, rungs_of
from .models import (
    Filter,
    MediaInfo,
    Plan,
    ProcessVideoOptions,
    Thumbnail,
    VideoRendition,
    VideoStream,
)
from .settings import VideoSettings
from .tools import Tools
from .watermark import plan_watermark


#: Raise it when the same inputs shall make other outputs than before.
PLANNER: Final = 3

#: Groups of pictures of two seconds each that make one segment.
SEGMENT_GOPS: Final = 2

#: Names of thumbnails and the length of their longer side, in pixels.
THUMBNAILS: Final = (("large", 1280), ("medium", 640), ("small", 320))

#: Lines from which untagged video is taken for HD.
HD_LINES: Final = 720

#: Transfers of high dynamic range, which need a tone map.
HDR_TRANSFERS: Final = {"smpte2084", "arib-std-b67"}

#: Luminance of a white page in HDR, in cd/m² (ITU-R BT.2408): it becomes SDR's white.
REFERENCE_WHITE: Final = 203

#: Luminance of the brightest part where the file does not say, and what it may say.
USUAL_PEAK: Final = 1000
PEAKS: Final = (400, 4000)

#: `scale`'s words for matrices, by ffprobe's.
MATRICES: Final = {
    "bt709": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}

#: Pixel formats with transparency begin like this.
ALPHA: Final = ("rgba", "bgra", "argb", "abgr", "yuva", "ya8", "ya16", "gbrap", "pal8")


def make_plan(
    media: MediaInfo,
    options: ProcessVideoOptions,
    settings: VideoSettings,
    *,
    tools: Tools,
    threads: int = 0,
) -> Plan:
    """Decide what is made of *media*.

    Args:
        media: The source's record.
        options: What the host asks for.
        settings: The worker's.
        tools: What encodes it: other versions make other bytes.
        threads: Of each encoder; 0 leaves the number to ffmpeg.

    Raises:
        ConfigurationError: The watermark that is set cannot be read.
    """
    video = media.video
    assert video is not None  # noqa: S101 - the probe refuses a file without picture
    ladder, exact = rungs_of(options, settings), options.ladder == "custom"
    rungs = renditions(media, ladder, exact=exact)
    marked = _first(options.watermark, settings.watermark_enabled)
    mark = plan_watermark(settings, rungs[0]) if marked else None
    if "mp4" in options.formats:
        files = rungs if options.mp4_renditions == "all" else rungs[:1]
        rungs = tuple(replace(r, progressive=r in files) for r in rungs)
    clean = replace(rungs[0], name="clean") if mark else rungs[0]
    preset = options.preset or settings.ffmpeg_preset
    made = [c for c in options.codecs if CODECS[c].encoder in tools.encoders]
    warnings: list[str] = []
    warnings.extend(f"{c}_not_available" for c in options.codecs if c not in made)
    if marked and not mark:
        warnings.append("watermark_not_set")
    sounds = choose(media.audio, options)
    if len(sounds) > MOST_SOUNDS:
        warnings.append("audio_left_out")
    normalized = _first(options.normalize_audio, settings.normalize_audio)
    loudness = settings.loudness if normalized else None
    if exact:
        warnings += _too_large(ladder, rungs)
    inputs = {
        "planner": PLANNER,
        "ffmpeg": tools.version,
        "source": media.sha256,
        "options": options.to_json(),
        "preset": preset,
        "video_bitrate": settings.video_bitrate,
        "codecs": made,
        "audio_bitrate": settings.audio_bitrate,
        "loudness": loudness,
        "watermark": asdict(mark) if mark else None,
    }
    return Plan(
        hash=_hash(inputs),
        duration=_whole_frames(media.duration, rungs[0]),
        video_index=video.index,
        video=rungs + tuple(r for c in made[1:] for r in in_codec(rungs, c)),
        audio=audio_renditions(sounds[:MOST_SOUNDS], options, settings),
        clean=clean if options.clean_rendition else None,
        loudness=loudness,
        thumbnails=_thumbnails(rungs[0]) if options.thumbnails else (),
        formats=options.formats,
        segment_gops=SEGMENT_GOPS,
        preset=preset,
        flatten=has_alpha(video),
        pre_filters=tuple(_pre_filters(video, rungs[0])),
        watermark=mark,
        threads=threads,
        warnings=tuple(warnings),
    )


def _first(asked: bool | None, usual: bool) -> bool:
    """Return what the message asks for, else what the setting says."""
    return usual if asked is None else asked


def _hash(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(inputs, sort_keys=True, default=str).encode()
    ).hexdigest()


def _whole_frames(seconds: float, rung: VideoRendition) -> float:
    frames = max(1, round(seconds * rung.fps))
    return float(frames / rung.fps)


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


def _thumbnails(rung: VideoRendition) -> tuple[Thumbnail, ...]:
    """Return the sizes to make: never larger than the picture; one at least."""
    longest = max(rung.width, rung.height)
    wanted = [(name, side) for name, side in THUMBNAILS if side <= longest]
    return tuple(
        Thumbnail(
            name=name,
            width=max(2, 2 * round(rung.width * side / longest / 2)),
            height=max(2, 2 * round(rung.height * side / longest / 2)),
        )
        for name, side in wanted or [("small", longest)]
    )


def _pre_filters(video: VideoStream, top: VideoRendition) -> list[Filter]:
    """Return the filters before the split: fields, frame rate, colour and size."""
    chain: list[Filter] = []
    if video.interlaced:
        fields = {"mode": "send_frame", "parity": "auto", "deint": "all"}
        chain.append(Filter(name="bwdif", options=fields))
    # start_time=0 repeats the first frame of a picture that starts late
    fps = f"{top.fps.numerator}/{top.fps.denominator}"
    chain.append(Filter(name="fps", options={"fps": fps, "start_time": "0"}))
    size = {"w": str(top.width), "h": str(top.height), "flags": "bicubic"}
    if video.color.transfer in HDR_TRANSFERS:
        chain += [Filter(name="scale", options=size), *_tone_map(video)]
    else:
        chain.append(Filter(name="scale", options={**size, **_to_bt709(video)}))
    bt709 = {
        "range": "tv",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "colorspace": "bt709",
    }
    return [
        *chain,
        Filter(name="format", options={"pix_fmts": "yuv420p"}),
        Filter(name="setparams", options=bt709),
        Filter(name="setsar", options={"sar": "1"}),
    ]


def _to_bt709(video: VideoStream) -> dict[str, str]:
    """Return the options of `scale` that convert matrix and range, not just relabel."""
    sd = max(video.display_height, 0) < HD_LINES
    guess = "bt601" if sd else "bt709"
    full = video.color.range == "pc" or (video.pix_fmt or "").startswith("yuvj")
    return {
        "in_color_matrix": MATRICES.get(video.color.matrix or "", guess),
        "out_color_matrix": "bt709",
        "in_range": "full" if full else "auto",
        "out_range": "tv",
    }


def _tone_map(video: VideoStream) -> list[Filter]:
    """Return the way from HDR to SDR; tags first, since zscale dies of missing ones.

    Up to half of reference white nothing changes; what is brighter is bent below
    SDR's white, since cut off it would lose its drawing.
    """
    tags = {
        "range": "pc" if video.color.range == "pc" else "tv",
        "color_primaries": "bt2020",
        "color_trc": video.color.transfer or "smpte2084",
        "colorspace": "bt2020nc",
    }
    peak = f"{_peak(video) / REFERENCE_WHITE:.3f}"
    curve = {"tonemap": "mobius", "param": "0.5", "peak": peak, "desat": "0"}
    return [
        Filter(name="setparams", options=tags),
        Filter(name="zscale", options={"t": "linear", "npl": str(REFERENCE_WHITE)}),
        Filter(name="format", options={"pix_fmts": "gbrpf32le"}),
        Filter(name="zscale", options={"p": "bt709"}),
        Filter(name="tonemap", options=curve),
        Filter(name="zscale", options={"t": "bt709", "m": "bt709", "r": "tv"}),
    ]


def _peak(video: VideoStream) -> float:
    """Return the luminance of the brightest part of the picture, in cd/m²."""
    mastering = (video.hdr.mastering if video.hdr else None) or {}
    told = video.hdr.max_cll if video.hdr else None
    peak = told or number(mastering.get("max_luminance")) or USUAL_PEAK
    return min(max(peak, PEAKS[0]), PEAKS[1])


def has_alpha(video: VideoStream) -> bool:
    """Tell whether parts of the picture may be transparent."""
    return (video.pix_fmt or "").startswith(ALPHA)


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return *plan* as plain JSON, to stand beside the outputs."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(plan), default=str))
    return plain
