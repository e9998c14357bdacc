"""Everything that the encode is told, decided before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nexus_actors.video.settings import Preset

from .media import Purpose
from .messages import Format, StillFormat, VideoCodec


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
    *heard* are the numbers of the source's channels that become left and right, where
    ffmpeg cannot mix all of them.
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
    heard: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One still to make: *name* is its width class, sizes are in pixels."""

    name: str
    width: int
    height: int
    format: StillFormat = "jpeg"

    @property
    def path(self) -> str:
        """Where it lies, from the root of the outputs."""
        suffix = "jpg" if self.format == "jpeg" else self.format
        return f"thumb/{self.name}.{suffix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprites:
    """Sheets of small stills: one each *interval* seconds, *count* in all."""

    interval: int
    count: int
    width: int
    height: int
    columns: int = 5
    rows: int = 5

    @property
    def sheets(self) -> tuple[str, ...]:
        """Where the sheets lie, from the root of the outputs."""
        number = -(-self.count // (self.columns * self.rows))
        return tuple(f"sprite/sprite_{n:03d}.jpg" for n in range(1, number + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A track of WebVTT, made of the file *input_path* or of a stream of the source."""

    name: str
    input_path: str | None
    source_index: int | None
    language: str | None
    label: str
    forced: bool = False

    @property
    def path(self) -> str:
        """Where it lies, from the root of the outputs."""
        return f"captions/{self.name}.vtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter of ffmpeg's graph, with its options by name."""

    name: str
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """The mark on the top rung.

    *x* and *y* are ffmpeg's expressions for its upper left corner; *opacity* is from
    0 to 1; it is seen from *start* to *end*, in seconds.
    """

    x: str
    y: str
    opacity: float
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMark(Watermark):
    """An image that is fitted into *width* x *height* pixels."""

    path: Path
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMark(Watermark):
    """A line of text, *height* pixels high; *font* is a file."""

    text: str
    height: int
    font: Path | None


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
        moment: When the stills are taken, in seconds; ``None`` chooses.
        picture: What stills are made of instead of a frame.
        segment_gops: How many groups of pictures make one segment.
        flatten: Whether the picture has transparent parts, to be laid on white.
        has_matrix: Whether the container has a matrix that turns the picture.
        pre_filters: The filter chain before the first scale (deinterlace, tone
            map or colour).
        tail_frames: How long the last frame may stand, to reach the duration.
        threads: Of each encoder; 0 leaves their number to ffmpeg.
        feed_threads: Of the decoder, and of the filters, likewise.
    """

    hash: str
    duration: float
    video_index: int
    video: tuple[VideoRendition, ...]
    clean: VideoRendition | None
    audio: tuple[AudioRendition, ...]
    loudness: float | None
    thumbnails: tuple[Thumbnail, ...]
    sprites: Sprites | None = None
    moment: float | None = None
    picture: str | None = None
    formats: tuple[Format, ...]
    captions: tuple[Caption, ...] = ()
    segment_gops: int
    preset: Preset
    flatten: bool = False
    has_matrix: bool = True
    pre_filters: tuple[Filter, ...]
    tail_frames: int = 2
    watermark: Watermark | None
    threads: int
    feed_threads: int
    warnings: tuple[str, ...]

    @property
    def extra(self) -> tuple[VideoRendition, ...]:
        """What is encoded without a mark, and stands in no manifest."""
        return (self.clean,) if self.clean and self.watermark else ()
