"""What ffmpeg is told.  Functions from a plan to a list of arguments; nothing runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import ffmpeg

from .codecs import encoder_options
from .models import (
    AudioRendition,
    ImageMark,
    Plan,
    TextMark,
    VideoRendition,
    Watermark,
)
from .tools import INPUT_GUARD, InputOptions, Tools


#: Width, height and frame rate of renditions.
Size = tuple[int, int, Fraction]

#: A picture is made of one that is at least so many times as large: of smaller steps,
#: each would take away of its sharpness.
LEAST_STEP: Final = Fraction(5, 4)

#: ffmpeg's names of channel layouts, by their number of channels.
LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1"}

#: How high the peaks of what was made louder may rise, in dB.
PEAK_DB: Final = -1.5

#: How much the dark edge of letters covers, as a share of what they cover.
EDGE: Final = 0.6

#: How often ffmpeg tells its progress, in seconds.
PROGRESS_S: Final = 0.5

#: What every command begins with: no questions, no banner, errors on stderr.
QUIET: Final = ("-hide_banner", "-nostdin", "-nostats", "-v", "warning")


def encode_folders(plan: Plan) -> list[str]:
    """Return the folders that must exist: the muxer makes none."""
    streams = (*plan.video, *plan.extra, *plan.audio)
    return [str(number) for number in range(len(streams))]


def encode_command(
    plan: Plan,
    source: Path,
    folder: Path,
    tools: Tools,
    gains: Mapping[str, float] = MappingProxyType({}),
) -> list[str]:
    """Return the whole encode: one process, one decode, each rendition encoded once.

    Stream number *n* of the plan's video, extra and audio becomes ``<n>/init.mp4`` and
    ``<n>/00001.m4s`` … in *folder*.  *gains* are in dB, by the
    names of audio tracks.
    """
    feed = {"threads": plan.feed_threads} if plan.feed_threads else {}
    given = source_of(plan, source, **feed)
    streams = [*_pictures(given, plan), *_sounds(given, plan, gains)]
    output = ffmpeg.output(*streams, str(folder / "scratch.mpd"), **_options(plan))
    compiled: list[str] = output.compile(cmd=str(tools.ffmpeg), overwrite_output=True)
    progress = ["-progress", "pipe:1", "-stats_period", str(PROGRESS_S)]
    return [compiled[0], *QUIET, *progress, *compiled[1:]]


def source_of(plan: Plan, source: Path, **options: Any) -> Any:
    """Return the input *source*, of which no more is read than *plan* can need."""
    # a little more than planned: what a broken header hides must not run for ever
    limits: dict[str, Any] = dict(input_options(plan))
    limits["t"] = f"{plan.duration + 2:.3f}"
    return ffmpeg.input(f"file:{source}", **limits, **options)


def input_options(plan: Plan) -> InputOptions:
    """Return what stands before the source, where its picture is decoded.

    A picture is turned as its container says, as browsers do; ffmpeg would also obey a
    message of H.264 or HEVC, of which they know nothing.
    """
    upright = () if plan.has_matrix else (("noautorotate", None),)
    return (*INPUT_GUARD, *upright)


def copy_command(
    plan: Plan, source: Path, target: Path, tools: Tools, *, sound: bool
) -> list[str]:
    """Return what puts the source's picture into an MP4 as it is.

    *sound* tells whether the sound is copied, too; else it is encoded.
    """
    given = ffmpeg.input(f"file:{source}", **dict(INPUT_GUARD))
    options: dict[str, Any] = {"c:v": "copy", "map_metadata": -1, "map_chapters": -1}
    streams = [given[str(plan.video_index)]]
    if sound:
        streams += [given[str(track.source_index)] for track in plan.audio]
        options["c:a"] = "copy"
    else:
        streams += _sounds(given, plan, {})
        options |= {"c:a": "aac", "b:a": plan.audio[0].bitrate}
    for track in plan.audio:
        options |= language_option(track.language)
    # the index in front lets a browser start before it has the whole file
    options |= {"movflags": "+faststart", "fflags": "+bitexact", "f": "mp4"}
    output = ffmpeg.output(*streams, f"file:{target}", **options)
    compiled: list[str] = output.compile(cmd=str(tools.ffmpeg), overwrite_output=True)
    return [compiled[0], *QUIET, *compiled[1:]]


def language_option(language: str | None) -> dict[str, str]:
    """Return what an MP4's sound is told of its language, if an MP4 can hold that."""
    if language and re.fullmatch(r"[a-z]{3}", language):
        return {"metadata:s:a:0": f"language={language}"}
    return {}


def _pictures(given: Any, plan: Plan) -> list[Any]:
    """Scale once to the top rung, then split; each smaller rung from there."""
    top = given[str(plan.video_index)]
    if plan.flatten:
        top = on_white(top)
    for item in plan.pre_filters:
        top = top.filter(item.name, **item.options)
    # the last frame's length is lost where no frame follows: show it a little longer
    top = top.filter("tpad", stop=plan.tail_frames, stop_mode="clone")
    # a short header must not make the rungs longer than the plan
    top = top.filter("trim", duration=f"{plan.duration:.6f}")
    top, *extra = legs_of(top, "split", 1 + len(plan.extra))
    if plan.watermark:
        top = _marked(top, plan.watermark)
    return [*_in_all_sizes(top, plan), *extra]


def _in_all_sizes(top: Any, plan: Plan) -> list[Any]:
    """Scale once to each size, which each codec encodes.

    Of a size made before there are fewer pixels to read than of the top rung.
    """
    uses = Counter(map(_size, plan.video))
    sizes = list(uses)
    larger = {size: _above(size, sizes[:n]) for n, size in enumerate(sizes) if n}
    taken = uses + Counter(larger.values())
    legs: dict[Size, list[Any]] = {}
    for size in sizes:
        above = larger.get(size)
        picture = _scaled(legs[above].pop(), above, size, plan) if above else top
        legs[size] = legs_of(picture, "split", taken[size])
    return [legs[_size(rung)].pop(0) for rung in plan.video]


def _size(rung: VideoRendition) -> Size:
    return rung.width, rung.height, rung.fps


def _above(size: Size, larger: Sequence[Size]) -> Size:
    """Return the least of *larger* that *size* can be made of without harm."""
    width, _, fps = size
    return next(
        (
            found
            for found in reversed(larger)
            if found[0] >= LEAST_STEP * width and not found[2] % fps
        ),
        larger[0],
    )


def _scaled(picture: Any, above: Size, size: Size, plan: Plan) -> Any:
    """Make the picture of the size *above* smaller."""
    width, height, fps = size
    if fps != above[2]:
        picture = picture.filter("fps", fps=f"{fps.numerator}/{fps.denominator}")
        picture = picture.filter("trim", duration=f"{plan.duration:.6f}")
    if (width, height) == above[:2]:
        return picture
    picture = picture.filter("scale", w=width, h=height, flags="bicubic")
    return picture.filter("setsar", sar=1)


def _marked(picture: Any, mark: Watermark) -> Any:
    """Lay the mark over the picture: once, before the split."""
    seen = {}
    if mark.start or mark.end is not None:
        end = f"{mark.end:.3f}" if mark.end is not None else "1e9"
        seen = {"enable": f"between(t,{mark.start:.3f},{end})"}
    if isinstance(mark, TextMark):
        return picture.filter("drawtext", **text_options(mark), **seen)
    assert isinstance(mark, ImageMark)  # noqa: S101 - there are two kinds
    image = ffmpeg.input(f"file:{mark.path}", **dict(INPUT_GUARD))["v:0"]
    image = (
        image.filter("format", "rgba")
        .filter("colorchannelmixer", aa=mark.opacity)
        .filter(
            "scale",
            w=mark.width,
            h=mark.height,
            force_original_aspect_ratio="decrease",
            # as the picture: else the mark's colours would be off
            out_color_matrix="bt709",
            out_range="tv",
        )
        .filter("format", "yuva420p")
    )
    place = {"x": mark.x, "y": mark.y, "format": "yuv420", "eof_action": "repeat"}
    return ffmpeg.filter([picture, image], "overlay", **place, **seen)


def text_options(mark: TextMark) -> dict[str, Any]:
    """Return what `drawtext` is told: white letters with a dark edge."""
    options: dict[str, Any] = {
        "text": mark.text,
        "expansion": "none",  # a text is no program
        "fontsize": mark.height,
        "fontcolor": f"white@{mark.opacity:.3f}",
        "bordercolor": f"black@{mark.opacity * EDGE:.3f}",
        "borderw": max(1, mark.height // 16),
        "x": mark.x,
        "y": mark.y,
    }
    return options | ({"fontfile": str(mark.font)} if mark.font else {"font": "Sans"})


def on_white(picture: Any) -> Any:
    """Lay what is transparent on white: without it, it would turn black."""
    legs = picture.filter("format", pix_fmts="rgba").filter_multi_output("split", 2)
    white = dict.fromkeys("rgba", 255)
    paper = legs[0].filter("lutrgb", **white)
    return paper.overlay(legs[1], format="gbrp")


def steady_sounds(given: Any, tracks: Sequence[AudioRendition]) -> list[Any]:
    """Return *tracks* in their channels, from 0 and without a gap in their time."""
    uses = Counter(track.source_index for track in tracks)
    legs = {n: legs_of(given[str(n)], "asplit", count) for n, count in uses.items()}
    resample: dict[str, Any] = {"async": 1, "first_pts": 0, "min_hard_comp": 0.04}
    return [
        _mixable(legs[track.source_index].pop(0), track)
        .filter("aresample", track.sample_rate, **resample)
        .filter(
            "aformat",
            channel_layouts=LAYOUTS[track.channels],
            sample_rates=track.sample_rate,
        )
        # what is too small to be filled stays as a gap in the time stamps: close it
        .filter("asetpts", "N/SR/TB")
        for track in tracks
    ]


def _mixable(sound: Any, track: AudioRendition) -> Any:
    """Take two channels where ffmpeg cannot mix all."""
    if track.heard is None:
        return sound
    left, right = track.heard
    return sound.filter("channelmap", map=f"{left}|{right}", channel_layout="stereo")


def _sounds(given: Any, plan: Plan, gains: Mapping[str, float]) -> list[Any]:
    """End with the picture: players cut at the shorter one."""
    made = []
    for sound, track in zip(steady_sounds(given, plan.audio), plan.audio, strict=True):
        changed = _amplified(sound, gains.get(track.name, 0.0))
        padded = changed.filter("apad")
        made.append(padded.filter("atrim", duration=f"{plan.duration:.6f}"))
    return made


def _amplified(sound: Any, gain: float) -> Any:
    """Change the volume by *gain* dB; peaks that would be too high are bent."""
    if not gain:
        return sound
    louder = sound.filter("volume", f"{gain:.2f}dB")
    # without "level", it would make all as loud as it can
    return louder.filter(
        "alimiter", limit=f"{10 ** (PEAK_DB / 20):.3f}", level="disabled"
    )


def legs_of(stream: Any, split: str, count: int) -> list[Any]:
    """Return *stream* as often as it is used: one without a split goes to one place."""
    if count == 1:
        return [stream]
    parts = stream.filter_multi_output(split, count)
    return [parts[number] for number in range(count)]


def _options(plan: Plan) -> dict[str, Any]:
    top = plan.video[0]
    gop_s = top.gop / top.fps
    half_frame = 1 / (2 * top.fps)
    options: dict[str, Any] = {
        "pix_fmt": "yuv420p",
        "sc_threshold": 0,
        "flags:v": "+cgop",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "colorspace": "bt709",
        "color_range": "tv",
        "c:a": "aac",
        # tags may tell where a video was made, and by whom
        "map_metadata": -1,
        "map_chapters": -1,
        "f": "dash",
        # half a frame less: the muxer cuts at the next key frame after it
        "seg_duration": f"{float(plan.segment_gops * gop_s - half_frame):.6f}",
        "frag_type": "duration",
        "frag_duration": f"{float(gop_s - half_frame):.6f}",
        "format_options": "movflags=+negative_cts_offsets",
        "dash_segment_type": "mp4",
        "init_seg_name": "$RepresentationID$/init.mp4",
        "media_seg_name": "$RepresentationID$/$Number%05d$.m4s",
        # a set for each: the muxer refuses rungs whose rounded shapes differ
        "adaptation_sets": " ".join(
            f"id={n},streams={n}" for n in encode_folders(plan)
        ),
        "use_template": 1,
        "use_timeline": 1,
    }
    if plan.threads:
        options |= {"threads": plan.threads, "filter_complex_threads": 2}
    if plan.feed_threads:
        options["filter_complex_threads"] = plan.feed_threads
    for number, rung in enumerate((*plan.video, *plan.extra)):
        options |= encoder_options(
            rung, number, preset=plan.preset, threads=plan.threads
        )
    for number, track in enumerate(plan.audio):
        options[f"b:a:{number}"] = track.bitrate
    return options
