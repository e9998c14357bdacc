"""The canonical record of a source: a stable, versioned part of the public API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from nexus_actors.core.models import Model


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
    aspect.  ``rotation`` is in degrees, counter-clockwise, one of 0, 90, 180, 270;
    ``has_matrix`` tells whether the container has one that turns or mirrors.
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
    has_matrix: bool = True
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
