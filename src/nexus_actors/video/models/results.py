"""What comes out of the domain's actors."""

from __future__ import annotations

from typing import Any, Literal

from nexus_actors.core.models import Model

from .media import MediaInfo
from .messages import StillFormat


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


class HlsTsOutput(Model):
    """HLS for old players, one sound in each rendition: open the master playlist."""

    master: Stored
    renditions: tuple[HlsRendition, ...]


class HlsOutput(HlsTsOutput):
    """HLS: open the master playlist."""

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
    format: StillFormat = "jpeg"


class Poster(Stored):
    """The still that stands for the video.

    Attributes:
        time: When it is seen, in seconds; ``null`` for a picture of the user's own.
        color: The colour that most of it has, such as ``#1a2b3c``, to be shown until
            it is loaded.
    """

    time: float | None = None
    color: str | None = None


class SpriteOutput(Model):
    """Small stills for a seek bar.

    Attributes:
        track: The WebVTT that says which part of which sheet belongs to which time.
        interval: Seconds from one still to the next.
    """

    track: Stored
    sheets: tuple[Stored, ...]
    interval: int
    width: int
    height: int


class CaptionOutput(Stored):
    """A track of WebVTT; a *forced* one has what is said in another language alone."""

    name: str
    language: str | None
    label: str
    forced: bool


class Outputs(Model):
    """What was made; ``None`` for a format that was not asked for.

    Attributes:
        clean: The MP4 without a mark, where *clean_rendition* asks for one.
        captions: The tracks of HLS and DASH as files, where there are any.
    """

    hls: HlsOutput | None = None
    hls_ts: HlsTsOutput | None = None
    dash: DashOutput | None = None
    mp4: tuple[Mp4Output, ...] | None = None
    clean: Mp4Output | None = None
    captions: tuple[CaptionOutput, ...] | None = None


class ExtractMetadataResult(Model):
    """The result of `extract_metadata`; every other one has the same and more.

    Attributes:
        warnings: What was not as it should be, in words that stay the same.
        timings: Seconds that each step took.
    """

    video_id: str
    status: Literal["succeeded"] = "succeeded"
    metadata: MediaInfo
    warnings: tuple[str, ...]
    timings: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON; formats not asked for are left out."""
        plain = self.model_dump(mode="json", by_alias=True)
        if "outputs" in plain:
            made = plain["outputs"].items()
            plain["outputs"] = {name: told for name, told in made if told is not None}
        return plain


class TranscodeVideoResult(ExtractMetadataResult):
    """The result of `transcode_video`.

    Attributes:
        duration: Of the outputs, in seconds.
    """

    outputs: Outputs
    duration: float


class GenerateThumbnailsResult(ExtractMetadataResult):
    """The result of `generate_thumbnails`."""

    thumbnails: tuple[Still, ...]
    poster: Poster | None
    sprites: SpriteOutput | None = None


class ProcessVideoResult(TranscodeVideoResult, GenerateThumbnailsResult):
    """The result of `process_video`."""


class AddWatermarkResult(ExtractMetadataResult):
    """The result of `add_watermark`: one MP4.

    Attributes:
        duration: Of the MP4, in seconds.
    """

    output: Mp4Output
    duration: float


class OptimizeVideoResult(AddWatermarkResult):
    """The result of `optimize_video`: one MP4 that browsers play at once.

    Attributes:
        method: ``copy`` where picture and sound stayed as they were, ``copy_video``
            where the sound alone was encoded anew, ``encode`` where both were.
        reasons: What kept the streams from being copied, in words that stay the same.
    """

    method: Literal["copy", "copy_video", "encode"]
    reasons: tuple[str, ...]
