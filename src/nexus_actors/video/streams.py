"""Turns ffprobe's words for the streams of a file into the canonical record's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, Literal

from .ffprobe import Json, number, whole
from .models import (
    Attachments,
    AudioStream,
    Chapter,
    Color,
    Hdr,
    Purpose,
    SubtitleStream,
    VideoStream,
)


#: Frame rates that a header may claim.
RATES: Final = (Fraction(1, 1000), Fraction(240))

#: Tags that may be kept: nothing that tells where or by whom a video was made.
KEPT_TAGS: Final = {"title", "creation_time", "encoder", "major_brand"}

TEXT_SUBTITLES: Final = {"subrip", "webvtt", "mov_text", "ass", "ssa", "text"}
INTERLACED: Final = {"tt", "bb", "tb", "bt"}


def read_video(stream: Json, frame: Json, duration: float) -> VideoStream:
    """Return the picture; *frame* is the first one decoded, *duration* in seconds."""
    width, height = stream["width"], stream["height"]
    sar = _pixel_aspect(stream.get("sample_aspect_ratio"))
    rotation = _rotation(stream)
    shown = (max(1, round(width * sar)), height)
    if rotation in {90, 270}:
        shown = shown[::-1]
    fps, nominal, vfr = _frame_rate(stream, duration)
    pix_fmt = stream.get("pix_fmt")
    field_order = stream.get("field_order")
    aspect = Fraction(*shown).limit_denominator(100)
    return VideoStream(
        index=stream["index"],
        codec=stream["codec_name"],
        profile=stream.get("profile"),
        level=_positive(stream.get("level")),
        width=width,
        height=height,
        sar=f"{sar.numerator}:{sar.denominator}",
        rotation=rotation or 0,
        has_matrix=rotation is not None,
        display_width=shown[0],
        display_height=shown[1],
        orientation=_orientation(*shown),
        aspect=f"{aspect.numerator}:{aspect.denominator}",
        fps=round(float(fps), 4),
        fps_q=f"{fps.numerator}/{fps.denominator}",
        nominal_fps_q=f"{nominal.numerator}/{nominal.denominator}" if nominal else None,
        vfr=vfr,
        pix_fmt=pix_fmt,
        bit_depth=_bit_depth(stream, pix_fmt),
        chroma=_chroma(pix_fmt),
        interlaced=field_order in INTERLACED or bool(frame.get("interlaced_frame")),
        field_order=None if field_order == "unknown" else field_order,
        color=_color(stream, frame),
        hdr=_hdr(stream, frame),
        bit_rate=whole(stream.get("bit_rate")),
        frames=whole(stream.get("nb_frames")),
        start=number(stream.get("start_time")) or 0.0,
    )


def _orientation(width: int, height: int) -> Literal["landscape", "portrait", "square"]:
    if width == height:
        return "square"
    return "landscape" if width > height else "portrait"


def _positive(value: Any) -> int | None:
    found = whole(value)
    return found if found and found > 0 else None


def _pixel_aspect(text: str | None) -> Fraction:
    """Return the shape of a pixel; 1 where it is absent or absurd."""
    try:
        found = Fraction(str(text).replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return Fraction(1)
    return found if Fraction(1, 4) <= found <= 4 else Fraction(1)  # noqa: PLR2004 - 1/4 to 4


def _rotation(stream: Json) -> int | None:
    """Return 0, 90, 180 or 270 degrees counter-clockwise, if there is a matrix."""
    told = [item.get("rotation") for item in stream.get("side_data_list", [])]
    found = [number(value) for value in told if value is not None]
    return round((found[0] or 0) / 90) * 90 % 360 if found else None


def _frame_rate(
    stream: Json, duration: float
) -> tuple[Fraction, Fraction | None, bool]:
    """Return the average and the nominal frame rate, and whether the rate varies."""
    average = _rate(stream.get("avg_frame_rate"))
    nominal = _rate(stream.get("r_frame_rate"))
    frames = whole(stream.get("nb_frames"))
    if average is None and frames and duration > 0:
        average = Fraction(frames / duration).limit_denominator(1001)
    fps = average or nominal or Fraction(25)
    told = number(stream.get("r_frame_rate")) or 0
    # a grid of 1000 or 90000 a second is the clock of a recorder without a fixed rate
    varies = told > 0 and abs(float(fps) - told) > told / 50
    return fps, nominal, varies


def _rate(text: str | None) -> Fraction | None:
    try:
        found = Fraction(str(text))
    except (ValueError, ZeroDivisionError):
        return None
    return found if RATES[0] <= found <= RATES[1] else None


def _bit_depth(stream: Json, pix_fmt: str | None) -> int:
    told = whole(stream.get("bits_per_raw_sample"))
    if told:
        return told
    name = pix_fmt or ""
    return next((depth for depth in (10, 12, 14, 16) if f"p{depth}" in name), 8)


def _chroma(pix_fmt: str | None) -> str | None:
    name = pix_fmt or ""
    return next(
        (kind for kind in ("420", "422", "444", "411", "410") if kind in name), None
    )


def _color(stream: Json, frame: Json) -> Color:
    def told(name: str) -> str | None:
        for record in (stream, frame):
            value = record.get(name)
            if value not in {None, "unknown", "unspecified", "reserved"}:
                return str(value)
        return None

    return Color(
        range=told("color_range"),
        primaries=told("color_primaries"),
        transfer=told("color_transfer"),
        matrix=told("color_space"),
    )


def _hdr(stream: Json, frame: Json) -> Hdr | None:
    side = stream.get("side_data_list", []) + frame.get("side_data_list", [])
    by_type: dict[str, Json] = {item.get("side_data_type", ""): item for item in side}
    light = by_type.get("Content light level metadata", {})
    mastering = by_type.get("Mastering display metadata")
    transfer = _color(stream, frame).transfer
    if "DOVI configuration record" in by_type:
        kind: Literal["hdr10", "hlg", "pq", "dovi"] = "dovi"
    elif transfer == "smpte2084":
        kind = "hdr10" if mastering else "pq"
    elif transfer == "arib-std-b67":
        kind = "hlg"
    else:
        return None
    kept = {k: str(v) for k, v in (mastering or {}).items() if k != "side_data_type"}
    return Hdr(
        kind=kind,
        max_cll=whole(light.get("max_content")),
        max_fall=whole(light.get("max_average")),
        mastering=kept or None,
    )


def read_audio(
    streams: list[Json], can_decode: Callable[[Json], bool] = lambda _: True
) -> tuple[tuple[AudioStream, ...], list[str]]:
    """Return the audio that can be decoded; a broken track is left out, and said."""
    found, warnings = [], []
    for stream in streams:
        if stream.get("codec_type") != "audio":
            continue
        channels, rate = stream.get("channels") or 0, whole(stream.get("sample_rate"))
        described = stream.get("codec_name") and channels > 0
        if not described or not rate or not can_decode(stream):
            warnings.append(f"audio_{stream['index']}_unreadable")
            continue
        found.append(
            AudioStream(
                index=stream["index"],
                codec=stream["codec_name"],
                profile=stream.get("profile"),
                channels=channels,
                layout=stream.get("channel_layout"),
                sample_rate=rate,
                bit_rate=whole(stream.get("bit_rate")),
                language=_language(stream),
                default=bool(stream.get("disposition", {}).get("default")),
                purpose=_purpose(stream),
                start=number(stream.get("start_time")) or 0.0,
                duration=number(stream.get("duration")),
            )
        )
    return tuple(found), warnings


def _purpose(stream: Json) -> Purpose:
    """Return what a sound is for, by its flags, else by the words of its title."""
    flags, tags = stream.get("disposition", {}), stream.get("tags", {})
    title = f"{tags.get('title', '')} {tags.get('handler_name', '')}".lower()
    if flags.get("comment") or "commentary" in title:
        return "commentary"
    if flags.get("visual_impaired") or "audio description" in title:
        return "description"
    return "main"


def _language(stream: Json) -> str | None:
    told = stream.get("tags", {}).get("language")
    return None if told in {None, "", "und"} else str(told)[:35]


def read_subtitles(streams: list[Json]) -> tuple[SubtitleStream, ...]:
    """Return all subtitle streams."""
    return tuple(
        SubtitleStream(
            index=stream["index"],
            codec=stream.get("codec_name"),
            language=_language(stream),
            forced=bool(stream.get("disposition", {}).get("forced")),
            text=stream.get("codec_name") in TEXT_SUBTITLES,
        )
        for stream in streams
        if stream.get("codec_type") == "subtitle"
    )


def read_attachments(streams: list[Json]) -> Attachments:
    """Return where cover art and data streams are."""
    covers = [
        s["index"] for s in streams if s.get("disposition", {}).get("attached_pic")
    ]
    data = [s["index"] for s in streams if s.get("codec_type", "data") == "data"]
    return Attachments(
        cover_art=covers[0] if covers else None, data_streams=tuple(data)
    )


def read_chapters(chapters: list[Json]) -> tuple[Chapter, ...]:
    """Return the chapters, their titles made printable."""
    return tuple(
        Chapter(
            start=number(chapter.get("start_time")) or 0.0,
            end=number(chapter.get("end_time")) or 0.0,
            title=_clean(chapter.get("tags", {}).get("title")),
        )
        for chapter in chapters
    )


def read_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that may be kept: see `KEPT_TAGS`."""
    kept = {name.lower(): _clean(value) for name, value in tags.items()}
    return {name: text for name, text in kept.items() if name in KEPT_TAGS and text}


def _clean(text: str | None) -> str | None:
    """Drop what does not print: tags are their uploader's words."""
    return "".join(c for c in text if c.isprintable())[:255] or None if text else None
