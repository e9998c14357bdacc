"""What goes into the video domain and what comes out of it.

Messages, records and results are pydantic models: they cross a boundary as JSON.
The plan and the measured tracks stay inside and are frozen dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    AliasGenerator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic.alias_generators import to_camel

from nexus_actors.core.errors import ForbiddenUrlError
from nexus_actors.core.models import Model
from nexus_actors.core.urls import WebUrl, is_web

from .settings import Preset, VideoBitrate


#: What may stand in an object key: a host's id without a path in it.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

#: Where outputs of one job lie; parts are ids, joined by slashes.
PREFIX_PATTERN = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,15}"
)

#: The URI of an object in a bucket.
OBJECT = re.compile(r"s3://[^/]+/.+")

Format = Literal["hls", "dash", "mp4"]

VideoCodec = Literal["h264", "hevc", "av1"]

#: Which renditions to make; `ladder` holds their figures.
LadderName = Literal["default", "mobile", "premium", "custom"]


class Message(Model):
    """A message's body: snake_case, with the original system's camelCase accepted."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        )
    )


class RenditionOptions(Message):
    """One rendition of the ``custom`` ladder.

    Attributes:
        resolution: The short side of the picture, in pixels, even: 720 is 1280 x 720,
            and 720 x 1280 of an upright video.  What is larger than the source is left
            out, with a warning.
        max_bitrate: The most that it may spend, in bit/s or such as ``3500k``; that of
            the default ladder by default.
        crf: The quality below that, as x264 counts: lower is better.
        max_fps: The most frames a second; reached by whole division of the source's
            rate.
    """

    resolution: Annotated[int, Field(ge=16, le=4096, multiple_of=2)]
    max_bitrate: VideoBitrate | None = None
    crf: Annotated[int | None, Field(ge=1, le=51)] = None
    max_fps: Annotated[int, Field(ge=1, le=60)] = 60


class ProcessVideoOptions(Message):
    """What to make of the source.

    Attributes:
        formats: Which of ``hls``, ``dash`` and ``mp4`` to make; all by default.
        ladder: Which renditions to make: ``default`` has 240 to 1080 lines, ``mobile``
            240 to 720 for small screens and weak networks, ``premium`` 240 to 2160 at
            higher quality, ``custom`` those of *renditions*.  None is larger than the
            source.
        renditions: Those of the ``custom`` ladder, each with a resolution of its own.
        codecs: The video codecs; ``h264`` is always among them.  ``hevc`` and ``av1``
            are further renditions in HLS and DASH, for players that know them: the
            same look for fewer bits, and much more time to encode.
        preset: The encoder's trade of time against size; ``FFMPEG_PRESET`` by default.
        audio_tracks: Which of the source's sounds HLS and DASH offer: the best one of
            each of its ``languages``, the ``default`` one alone, or ``all``, with
            commentaries too.  MP4 has the default one.
        surround: Whether what has six channels or more is offered in 5.1 too, beside
            stereo.
        normalize_audio: Whether every video is made equally loud; by default as
            ``NEXUS_NORMALIZE_AUDIO`` says.
        thumbnails: Whether to make the poster and the thumbnails.
        watermark: Whether to put the worker's mark, ``WATERMARK_PATH``, on the picture;
            ``WATERMARK_ENABLED`` decides by default.
        clean_rendition: Whether to make one more MP4, of the largest size and without
            the mark, for platforms that forbid marks.  Where there is no mark, it is
            the largest rendition.
        mp4_renditions: Whether ``all`` H.264 renditions become an MP4, or the ``top``
            one, the largest, alone.
    """

    formats: Annotated[tuple[Format, ...], Field(min_length=1)] = ("hls", "dash", "mp4")
    ladder: LadderName = "default"
    renditions: Annotated[
        tuple[RenditionOptions, ...], Field(max_length=12, validate_default=True)
    ] = ()
    codecs: tuple[VideoCodec, ...] = ("h264",)
    preset: Preset | None = None
    audio_tracks: Literal["languages", "default", "all"] = "languages"
    surround: bool = False
    normalize_audio: bool | None = None
    thumbnails: bool = True
    watermark: bool | None = None
    clean_rendition: bool = False
    mp4_renditions: Literal["all", "top"] = "all"

    @field_validator("formats")
    @classmethod
    def _each_once(cls, value: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("codecs")
    @classmethod
    def _h264_and_others(cls, value: tuple[VideoCodec, ...]) -> tuple[VideoCodec, ...]:
        return tuple(dict.fromkeys(("h264", *sorted(value, reverse=True))))

    @field_validator("renditions")
    @classmethod
    def _are_those_of_a_custom_ladder(
        cls, value: tuple[RenditionOptions, ...], info: ValidationInfo
    ) -> tuple[RenditionOptions, ...]:
        custom = info.data.get("ladder", "custom") == "custom"
        if value and not custom:
            raise ValueError('need "ladder": "custom"')
        if custom and not value and "ladder" in info.data:
            raise ValueError("are missing: the custom ladder is made of them")
        if len({rendition.resolution for rendition in value}) < len(value):
            raise ValueError("must each have a resolution of its own")
        return value


class ProcessVideoRequest(Message):
    """The body of a `process_video` message.

    Attributes:
        video_id: The host's name of the video; part of every output's key.
        input_path: A path or ``file://`` URL that the *worker* can read, an
            ``https://`` URL on the public internet, or ``s3://bucket/key`` in a store
            that is set for the worker.
        user_id: Whose video it is: users take turns, unless the message has a group.
        options: What to make of it.
        output_prefix: The key under which outputs go, instead of *video_id*.
    """

    video_id: Annotated[str, Field(pattern=ID_PATTERN)]
    input_path: Annotated[str, Field(min_length=1, max_length=4096, repr=False)]
    user_id: Annotated[str | None, Field(max_length=255)] = None
    options: ProcessVideoOptions = ProcessVideoOptions()
    output_prefix: str | None = None

    @field_validator("input_path")
    @classmethod
    def _is_a_path_or_a_known_url(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not contain a NUL character")
        if is_web(value):
            try:
                WebUrl.parse(value)
            except ForbiddenUrlError as error:
                raise ValueError(error.message) from None
            return value
        scheme = urlsplit(value).scheme if "://" in value else ""
        if scheme == "s3" and not (OBJECT.fullmatch(value) and value.isprintable()):
            raise ValueError("must name an object, such as s3://bucket/key")
        if scheme not in {"", "file", "s3"}:
            raise ValueError(
                f"{scheme}:// inputs are not supported; give a path, a file:// URL, an "
                "https:// URL or s3://bucket/key"
            )
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _none_means_defaults(cls, value: Any) -> Any:
        return ProcessVideoOptions() if value is None else value

    @field_validator("output_prefix")
    @classmethod
    def _is_a_key(cls, value: str | None) -> str | None:
        if value is not None and not PREFIX_PATTERN.fullmatch(value):
            raise ValueError(
                "must be made of letters, digits, dots, dashes and underscores, "
                "in parts joined by slashes"
            )
        return value


# The canonical record of a source.  A stable, versioned part of the public API.


class Color(Model):
    """How sample values map to light; ``None`` where the file does not say."""

    range: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None


class Hdr(Model):
    """Why a stream counts as high dynamic range."""

    kind: Literal["hdr10", "hlg", "pq", "dovi"]
    max_cll: int | None = None
    max_fall: int | None = None
    mastering: dict[str, str] | None = None


class VideoStream(Model):
    """The stream that is *the* picture of the file.

    ``width`` and ``height`` are as stored; ``display_*`` after rotation and pixel
    aspect.  ``rotation`` is in degrees, counter-clockwise, one of 0, 90, 180, 270.
    ``fps_q`` is exact, ``fps`` a number for people; ``nominal_fps_q`` is the rate of
    the grid that the frames lie on, some of which may be missing.
    """

    index: int
    codec: str
    profile: str | None
    level: int | None
    width: int
    height: int
    sar: str
    rotation: int
    display_width: int
    display_height: int
    orientation: Literal["landscape", "portrait", "square"]
    aspect: str
    fps: float
    fps_q: str
    nominal_fps_q: str | None = None
    vfr: bool
    pix_fmt: str | None
    bit_depth: int
    chroma: str | None
    interlaced: bool
    field_order: str | None
    color: Color
    hdr: Hdr | None
    bit_rate: int | None
    frames: int | None
    start: float


Purpose = Literal["main", "commentary", "description"]


class AudioStream(Model):
    """One audio stream; a *description* tells those who cannot see what is shown."""

    index: int
    codec: str
    profile: str | None
    channels: int
    layout: str | None
    sample_rate: int
    bit_rate: int | None
    language: str | None
    default: bool
    purpose: Purpose = "main"
    start: float
    duration: float | None


class SubtitleStream(Model):
    """One subtitle stream; *text* tells whether it can become WebVTT."""

    index: int
    codec: str | None
    language: str | None
    forced: bool
    text: bool


class Attachments(Model):
    """Streams that are neither picture nor sound of the film."""

    cover_art: int | None = None
    data_streams: tuple[int, ...] = ()


class Chapter(Model):
    """A named stretch of the file, in seconds."""

    start: float
    end: float
    title: str | None


class MediaInfo(Model):
    """The canonical record of a file, read once and trusted from then on."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    container: str
    format_names: tuple[str, ...]
    size: int
    sha256: str
    duration: float
    duration_source: Literal["stream", "format", "frames", "tag", "packets"]
    start_time: float
    bit_rate: int | None
    faststart: bool | None
    fragmented: bool | None
    chapters: tuple[Chapter, ...] = ()
    video: VideoStream | None
    audio: tuple[AudioStream, ...] = ()
    subtitles: tuple[SubtitleStream, ...] = ()
    attachments: Attachments = Attachments()
    tags: Mapping[str, str] = {}
    location: None = None
    class_: Annotated[
        Literal["video", "audio", "image", "animation"], Field(alias="class")
    ]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON, under its public names."""
        return self.model_dump(mode="json", by_alias=True)


# The plan: everything that the encode is told, decided before it starts.


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRendition:
    """One rung of the ladder, as it will be encoded.

    Bit rates are in bit/s.  *gop* is the distance of key frames, in frames.  What is
    *progressive* becomes a plain file, too.
    """

    name: str
    width: int
    height: int
    fps: Fraction
    gop: int
    crf: int
    maxrate: int
    bufsize: int
    codec: VideoCodec = "h264"
    progressive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRendition:
    """One audio track, as it will be encoded; *source_index* is ffprobe's.

    *label* is what viewers read; of one sound, stereo and surround have the same.
    """

    name: str
    source_index: int
    channels: int
    bitrate: int
    sample_rate: int
    language: str | None
    label: str
    default: bool
    purpose: Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One still to make: *name* is its width class, sizes are in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter of ffmpeg's graph, with its options by name."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The mark: an image that fits into *width* x *height* pixels of the top rung.

    *x* and *y* are ffmpeg's expressions for its upper left corner; *opacity* is from
    0 to 1.
    """

    path: Path
    sha256: str
    width: int
    height: int
    x: str
    y: str
    opacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be made of a source.  Two equal plans make the same films.

    Not always the same bytes: threads of x264 that keep to a cap look at what the
    others have spent so far.

    Attributes:
        hash: Of the source's sha256, the options, the settings that matter, the
            planner's version and ffmpeg's.
        duration: Of the output, in seconds.
        video: From the largest to the smallest, in H.264 first, then in the other
            codecs; all have the same aspect, and frame rates that divide the first's.
        clean: What becomes the MP4 without a mark: one more rendition, or the first of
            *video* where that has no mark.
        loudness: What the sounds are brought to, in LUFS; ``None`` leaves them.
        segment_gops: How many groups of pictures make one segment.
        flatten: Whether the picture has transparent parts, to be laid on white.
        pre_filters: The filter chain before the first scale (deinterlace, tone
            map or colour).
    """

    hash: str
    duration: float
    video_index: int
    video: tuple[VideoRendition, ...]
    clean: VideoRendition | None
    audio: tuple[AudioRendition, ...]
    loudness: float | None
    thumbnails: tuple[Thumbnail, ...]
    formats: tuple[Format, ...]
    segment_gops: int
    preset: Preset
    flatten: bool = False
    pre_filters: tuple[Filter, ...]
    watermark: Watermark | None
    threads: int
    warnings: tuple[str, ...]

    @property
    def extra(self) -> tuple[VideoRendition, ...]:
        """What is encoded without a mark, and stands in no manifest."""
        return (self.clean,) if self.clean and self.watermark else ()


# What the index reads from the segments that the encode has made.


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One ``moof`` and its ``mdat``: a group of pictures that starts with a key frame.

    *key_frame_end* is where the first sample ends, counted from the file's start:
    the byte range ``[offset, key_frame_end)`` is what an I-frame playlist names.
    Times are in ticks of the track's timescale.
    """

    offset: int
    key_frame_end: int
    start: int
    duration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a track; presentation times, in ticks of the track's timescale."""

    name: str
    size: int
    start: int
    duration: int
    frames: int
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One encoded rendition as it lies on disk, measured.

    Attributes:
        name: Of the rendition that the plan asked for.
        folder: Where its init and segments lie, from the root of the outputs.
        codecs: The RFC 6381 string, built from the sample entry.
        peak_bitrate: Of the worst segment, in bit/s; *average_bitrate* of all.
    """

    kind: Literal["video", "audio"]
    name: str
    folder: str
    timescale: int
    codecs: str
    segments: tuple[Segment, ...]
    peak_bitrate: int
    average_bitrate: int
    width: int = 0
    height: int = 0
    fps: Fraction = Fraction(0)
    progressive: bool = False
    channels: int = 0
    sample_rate: int = 0
    language: str | None = None
    label: str = ""
    default: bool = False
    purpose: Purpose = "main"

    @property
    def duration(self) -> float:
        """Length on the presentation's time line, in seconds."""
        last = self.segments[-1]
        return (last.start + last.duration) / self.timescale

    @property
    def frames(self) -> int:
        """How many samples the track holds."""
        return sum(segment.frames for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """All tracks that one set of manifests describes, in the plan's order.

    *clean* is without a mark, and in no manifest if the others have one.
    """

    video: tuple[Track, ...]
    audio: tuple[Track, ...]
    clean: Track | None = None

    @property
    def progressive(self) -> tuple[Track, ...]:
        """What becomes a plain file, too."""
        files = tuple(track for track in self.video if track.progressive)
        if self.clean is None or self.clean in files:
            return files
        return (*files, self.clean)

    @property
    def by_codec(self) -> tuple[tuple[Track, ...], ...]:
        """The video of each codec, from large to small; H.264 is the first."""
        groups: dict[str, list[Track]] = {}
        for track in self.video:
            groups.setdefault(track.codecs.partition(".")[0], []).append(track)
        return tuple(tuple(group) for group in groups.values())

    @property
    def duration(self) -> float:
        """Of the longest track, in seconds."""
        return max(track.duration for track in (*self.video, *self.audio))


# What comes out.


class Stored(Model):
    """An object in the store: *uri* names it there, *url* in a browser.

    The *url* of an object in a private bucket is signed, a secret, and ends after a
    while; `fresh_url` makes another.
    """

    uri: str
    url: str


class HlsRendition(Model):
    """One variant of the master; *bitrate* is its peak with audio, in bit/s."""

    name: str
    width: int
    height: int
    fps: float
    bitrate: int
    codecs: str
    playlist: Stored


class HlsAudio(Model):
    """One sound of the master; *label* is what players show.

    Of a sound in 5.1 and the same in stereo, label and *default* are the same.
    """

    name: str
    language: str | None
    label: str
    channels: int
    default: bool
    playlist: Stored


class HlsOutput(Model):
    """HLS: open the master playlist."""

    master: Stored
    renditions: tuple[HlsRendition, ...]
    audio: tuple[HlsAudio, ...] = ()


class DashOutput(Model):
    """DASH: open the manifest."""

    manifest: Stored


class Mp4Output(Stored):
    """One progressive MP4; *size* in bytes."""

    name: str
    width: int
    height: int
    size: int


class Still(Stored):
    """One picture."""

    name: str
    width: int
    height: int
    format: Literal["jpeg"] = "jpeg"


class Outputs(Model):
    """What was made; ``None`` for a format that was not asked for.

    Attributes:
        clean: The MP4 without a mark, where *clean_rendition* asks for one.
    """

    hls: HlsOutput | None = None
    dash: DashOutput | None = None
    mp4: tuple[Mp4Output, ...] | None = None
    clean: Mp4Output | None = None


class ProcessVideoResult(Model):
    """The result of `process_video`.

    Attributes:
        duration: Of the outputs, in seconds.
        warnings: What was not as it should be, in words that stay the same.
        timings: Seconds that each step took.
    """

    video_id: str
    status: Literal["succeeded"] = "succeeded"
    metadata: MediaInfo
    outputs: Outputs
    thumbnails: tuple[Still, ...]
    poster: Stored | None
    duration: float
    warnings: tuple[str, ...]
    timings: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON; formats not asked for are left out."""
        plain = self.model_dump(mode="json", by_alias=True)
        made = plain["outputs"].items()
        plain["outputs"] = {name: value for name, value in made if value is not None}
        return plain
