"""The second step: read the source once, into the record that decides everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from .containers import (
    Promise,
    container_flags,
    is_animated_webp,
    is_encrypted,
    is_picture,
    overruns,
    promised,
)
from .errors import EncodeError, SourceError
from .ffprobe import Counted, Json, count, look, number, whole
from .guard import Source
from .models import MediaInfo, VideoStream
from .settings import VideoSettings
from .streams import (
    RATES,
    read_attachments,
    read_audio,
    read_chapters,
    read_subtitles,
    read_tags,
    read_video,
)
from .tools import Tools, decoders_of


DurationSource = Literal["stream", "format", "frames", "tag", "packets"]

#: A header may be trusted if its length gives at least this many bits a second.
LEAST_BITS_PER_SECOND: Final = 500

#: Containers whose index lists every frame: their word on a length may be taken.
INDEXED: Final = {"mov", "mp4"}

#: Containers that may be joined end to end, each part with a clock of its own.
JOINED: Final = {"mpegts", "mpeg"}

#: A length that is off by more than this, as a share, is not one of rounding.
TOLERANCE: Final = 0.1

#: Lengths that differ by less than this, in seconds, are the same.
SAME_S: Final = 0.05

#: The profile of Dolby Vision whose picture no other decoder can show.
DOVI_WITHOUT_BASE: Final = 5

#: Of so many packets of sound, this share must give a frame of it, or the track is
#: broken: of noise, now and then one looks like sound.
TRIED_PACKETS: Final = 50
LEAST_HEARD: Final = 0.1
COUNTED: Final = "stream=nb_read_packets,nb_read_frames"

#: Fewer frames a second than this, in a file of few frames, may be bursts and gaps.
SLOW_FPS: Final = 10
FEW_FRAMES: Final = 1000

ANIMATIONS: Final = {"gif", "apng", "webp"}
STILL_FORMATS: Final = {"png_pipe", "jpeg_pipe", "webp_pipe"}

#: ffprobe's name for captions of broadcasts (EIA-608 and 708) within the picture.
CAPTIONS: Final = "ATSC A53 Part 4 Closed Captions"

#: What only a decoded frame tells: colour and HDR side data.
FRAME_ENTRIES: Final = (
    "frame=color_range,color_space,color_primaries,color_transfer,"
    "interlaced_frame,side_data_list"
)


def probe(
    source: Source,
    tools: Tools,
    settings: VideoSettings,
    *,
    check: Callable[[], None] = lambda: None,
) -> MediaInfo:
    """Read *source* with ffprobe; *check* raises if the job must stop.

    Raises:
        SourceError: It is no video that can be processed; says why.
        EncodeError: ffprobe was killed or too slow, which may pass.
    """
    _check_kind(source)
    raw = look(source.path, tools, "-show_format", "-show_streams", "-show_chapters")
    streams: list[Json] = raw.get("streams", [])
    formats = tuple(raw.get("format", {}).get("format_name", "").split(","))
    picture = _film(streams, formats, source, tools)
    _check_size(picture, settings)
    faststart, fragmented = container_flags(source.path)
    told = raw["format"]
    length = _told_length(picture, told, source)
    joined = bool(JOINED & set(formats))
    if not joined:  # else what lies between two clocks counts as film
        _check_length(length.seconds, settings)  # before all packets are read
    indexed = bool(INDEXED & set(formats)) and not fragmented
    # what is cut short is refused now, not when as much of it was encoded
    if length.told_by != "stream" or not indexed or overruns(source.path):
        counted = count(source.path, picture, tools, check, joined=joined)
        length = _count_length(length, picture, counted, _broken(source))
        _check_length(length.seconds, settings)
    if picture["codec_name"] in ANIMATIONS and whole(picture.get("nb_frames")) == 1:
        raise _no_video()
    frame = _first_frame(picture, source, tools)
    video = read_video(picture, frame, length.seconds)
    audio, warnings = read_audio(streams, lambda s: _is_sound(s, source, tools))
    return MediaInfo(
        container=_container(formats),
        format_names=formats,
        size=source.size,
        sha256=source.sha256,
        duration=round(length.seconds, 6),
        duration_source=length.told_by,
        start_time=number(told.get("start_time")) or 0.0,
        bit_rate=round(source.size * 8 / length.seconds),
        faststart=faststart,
        fragmented=fragmented,
        chapters=read_chapters(raw.get("chapters", [])),
        video=video,
        audio=audio,
        subtitles=read_subtitles(streams),
        attachments=read_attachments(streams),
        tags=read_tags(told.get("tags", {})),
        class_=_class(video),
        warnings=(*warnings, *_warnings(video, length, frame)),
    )


def _check_kind(source: Source) -> None:
    if is_picture(source.path):
        raise _no_video()
    if is_encrypted(source.path):
        raise SourceError(
            "the file is copy-protected: its picture or sound is encrypted; upload a "
            "copy without the protection",
            code="encrypted",
        )


def _film(
    streams: list[Json], formats: tuple[str, ...], source: Source, tools: Tools
) -> Json:
    """Return the stream that is the film, if it can be decoded here."""
    if "webp_pipe" in formats and is_animated_webp(source.path):
        raise SourceError(
            "the file is an animated WebP, which this ffmpeg cannot decode; "
            "convert it to GIF or MP4",
            code="unsupported_codec",
        )
    picture = _picture(streams, formats)
    _check_codec(picture, tools)
    _check_base_layer(picture)
    return picture


def _first_frame(stream: Json, source: Source, tools: Tools) -> Json:
    """Decode one frame; return what ffprobe tells of it."""
    told = look(
        source.path,
        tools,
        *("-select_streams", str(stream["index"]), "-read_intervals", "%+#1"),
        *("-show_frames", "-show_entries", FRAME_ENTRIES),
    )
    return next(iter(told.get("frames", [])), {})


def _picture(streams: list[Json], formats: tuple[str, ...]) -> Json:
    """Return the stream that is the film: never cover art, never an empty track."""
    if STILL_FORMATS & set(formats):
        raise _no_video()
    if not streams:
        raise SourceError(
            "the file is cut short or damaged: nothing is in it; upload it again",
            code="corrupt",
        )
    found = [
        stream
        for stream in streams
        if stream.get("codec_type") == "video"
        and not stream.get("disposition", {}).get("attached_pic")
        and not stream.get("disposition", {}).get("timed_thumbnails")
        and number(stream.get("nb_frames")) != 0
    ]
    if found:
        return max(found, key=_rank)
    kinds = sorted({s.get("codec_type", "data") for s in streams} - {"video"})
    raise SourceError(
        f"the file has no video stream, only {', '.join(kinds) or 'a cover picture'}",
        code="no_video",
    )


def _no_video() -> SourceError:
    return SourceError("the file is a picture, not a video", code="no_video")


def _rank(stream: Json) -> tuple[bool, int, int]:
    default = bool(stream.get("disposition", {}).get("default"))
    pixels = (whole(stream.get("width")) or 0) * (whole(stream.get("height")) or 0)
    return (default, pixels, -stream["index"])


def _check_codec(stream: Json, tools: Tools) -> None:
    codec = stream.get("codec_name")
    if codec in {None, "unknown", "none"}:
        codec = stream.get("codec_tag_string") or "unknown"
    elif codec in decoders_of(tools.ffmpeg):
        return
    raise SourceError(
        f"the video's codec, {codec}, cannot be decoded here; "
        "convert it to H.264, HEVC, VP9 or AV1",
        code="unsupported_codec",
    )


def _check_base_layer(stream: Json) -> None:
    """Refuse Dolby Vision that only its own decoders show in the right colours."""
    for item in stream.get("side_data_list", []):
        if item.get("dv_profile") == DOVI_WITHOUT_BASE:
            raise SourceError(
                "the video is Dolby Vision profile 5, which cannot be decoded here; "
                "convert it to HDR10, HLG or SDR",
                code="unsupported_codec",
            )


def _is_sound(stream: Json, source: Source, tools: Tools) -> bool:
    """Tell whether an audio stream gives any sound: a dead one would end the encode."""
    if stream["codec_name"] not in decoders_of(tools.ffmpeg):
        return False
    interval = f"%+#{TRIED_PACKETS}"
    wanted = ("-select_streams", str(stream["index"]), "-read_intervals", interval)
    counts = ("-count_packets", "-count_frames", "-show_entries", COUNTED)
    try:
        found = look(source.path, tools, *wanted, *counts)
    except EncodeError:  # not within its time: it may still be good
        return True
    counted: Json = next(iter(found.get("streams", [])), {})
    frames = whole(counted.get("nb_read_frames")) or 0
    packets = whole(counted.get("nb_read_packets")) or 0
    return frames > LEAST_HEARD * packets


def _check_size(stream: Json, settings: VideoSettings) -> None:
    width, height = stream.get("width") or 0, stream.get("height") or 0
    if width * height > settings.max_pixels:
        raise SourceError(
            f"the picture is {width} x {height}; at most {settings.max_pixels:,} "
            "pixels are accepted (NEXUS_VIDEO_MAX_PIXELS)",
            code="limits",
        )
    if width <= 0 or height <= 0:
        raise SourceError(
            "the video has no picture size: it is damaged", code="corrupt"
        )


def _check_length(seconds: float, settings: VideoSettings) -> None:
    if seconds > settings.max_duration_s:
        raise SourceError(
            f"the video lasts {seconds:,.0f} s; at most {settings.max_duration_s:,} s "
            "are accepted (NEXUS_VIDEO_MAX_DURATION_S)",
            code="limits",
        )


@dataclass(frozen=True, slots=True)
class _Length:
    """How long the picture is, and who says so; *promised* is what was untrue."""

    told_by: DurationSource
    seconds: float
    promised: float | None = None


def _warnings(video: VideoStream, length: _Length, frame: Json) -> list[str]:
    """Return what a host may want to know of the picture."""
    warnings = []
    if video.vfr:
        warnings.append("vfr")
    if length.told_by != "stream":
        warnings.append("duration_not_in_stream")
    if length.promised:
        warnings.append("shorter_than_header")
    if CAPTIONS in {s.get("side_data_type") for s in frame.get("side_data_list", [])}:
        warnings.append("closed_captions_left_out")
    return warnings


def _told_length(stream: Json, told: Json, source: Source) -> _Length:
    """Return what a header tells; 0 where none does, or where that cannot be."""
    claims: tuple[tuple[DurationSource, float | None], ...] = (
        ("stream", number(stream.get("duration"))),
        ("tag", _clock(stream.get("tags", {}).get("DURATION"))),
        ("format", number(told.get("duration"))),
    )
    for name, seconds in claims:
        if seconds and seconds > 0 and _is_plausible(stream, seconds, source.size):
            return _Length(name, seconds)
    return _Length("packets", 0.0)


def _broken(source: Source) -> Promise | None:
    """Return what the file says of itself if it says that it is larger than it is."""
    promise = promised(source.path)
    return promise if promise and promise.size > source.size else None


def _count_length(
    claim: _Length, stream: Json, counted: Counted, broken: Promise | None
) -> _Length:
    """Believe the packets, which are truer than *claim* and all that *stream* says."""
    rate = Fraction(counted.frames / counted.seconds).limit_denominator(1001)
    said = number(stream.get("avg_frame_rate"))
    if said is None or abs(said - rate) > rate / 100:
        stream["avg_frame_rate"] = str(rate)
    stream["nb_frames"] = counted.frames
    stream["bit_rate"] = round(counted.bits / counted.seconds)
    if counted.parts > 1:  # then what lies between the first and the last tells nothing
        stream["r_frame_rate"] = stream["avg_frame_rate"]
        return _Length("packets", counted.seconds)
    said_s = max(claim.seconds, broken.seconds) if broken else claim.seconds
    if abs(counted.seconds - said_s) < SAME_S:
        return _Length(claim.told_by, counted.seconds)
    is_whole = counted.clean and not broken
    if counted.seconds > (1 - TOLERANCE) * said_s:
        lost = not is_whole and counted.seconds < said_s
        return _Length("packets", counted.seconds, said_s if lost else None)
    if not is_whole:  # cut off; a file whose header only lies is whole
        raise SourceError(
            f"the video is cut short: it says {said_s:.2f} s, but only "
            f"{counted.seconds:.2f} s are there; upload it again",
            code="truncated",
        )
    return _Length("packets", counted.seconds, promised=said_s)


def _is_plausible(stream: Json, seconds: float, size: int) -> bool:
    """Tell whether the file can hold *seconds* of what the header says it holds."""
    fps, frames = number(stream.get("avg_frame_rate")), whole(stream.get("nb_frames"))
    if fps is None or not 0 < fps <= RATES[1]:
        return False
    if (
        frames
        and frames > 1
        and abs(frames / fps - seconds) > max(0.2, seconds * TOLERANCE)
    ):
        return False
    if frames and fps < SLOW_FPS and frames < FEW_FRAMES:
        return False
    return size * 8 / seconds >= LEAST_BITS_PER_SECOND


def _clock(text: str | None) -> float | None:
    """Read ``HH:MM:SS.nnnnnnnnn``."""
    parts = [number(part) for part in (text or "").split(":")]
    if len(parts) != 3 or None in parts:  # noqa: PLR2004 - hours, minutes, seconds
        return None
    hours, minutes, seconds = (part or 0.0 for part in parts)
    return hours * 3600 + minutes * 60 + seconds


def _container(formats: tuple[str, ...]) -> str:
    return "mp4" if formats[0] == "mov" else formats[0]


def _class(video: VideoStream) -> Literal["video", "animation"]:
    return "animation" if video.codec in ANIMATIONS else "video"
