"""What goes into the domain's actors."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
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
from nexus_actors.video.settings import (
    AnyPosition,
    Margin,
    Opacity,
    Preset,
    Size,
    VideoBitrate,
)


#: What may stand in an object key: a host's id without a path in it.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

#: Where outputs of one job lie; parts are ids, joined by slashes.
PREFIX_PATTERN = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,15}"
)

#: The URI of an object in a bucket.
OBJECT = re.compile(r"s3://[^/]+/.+")

Format = Literal["hls", "dash", "mp4", "hls_ts"]

StillFormat = Literal["jpeg", "webp", "avif"]

VideoCodec = Literal["h264", "hevc", "av1"]

#: Which renditions to make; `ladder` holds their figures.
LadderName = Literal["default", "mobile", "premium", "single", "custom"]


def _path_or_known_url(value: str) -> str:
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


#: Where a file is; a URL may be a secret.
InputPath = Annotated[
    str,
    Field(min_length=1, max_length=4096),
    AfterValidator(_path_or_known_url),
]


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


class CaptionOptions(Message):
    """A file of captions that comes with the video.

    Attributes:
        input_path: A SubRip or WebVTT file, found like the video.
        language: The language, as ``en`` or ``pt-BR``.
        label: What viewers read; by default, what its speakers call the language.
    """

    input_path: Annotated[InputPath, Field(repr=False)]
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")]
    label: Annotated[str | None, Field(min_length=1, max_length=100)] = None


class TranscodeVideoOptions(Message):
    """What films to make of the source.

    Attributes:
        formats: Which of ``hls``, ``dash`` and ``mp4`` to make; all by default.
        ladder: Which renditions to make: ``default`` has 240 to 1080 lines, ``mobile``
            240 to 720 for small screens and weak networks, ``premium`` 240 to 2160 at
            higher quality, ``single`` one of the source's size, up to 2160,
            ``custom`` those of *renditions*.  None is larger than the source.
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
        mp4_renditions: Whether ``all`` H.264 renditions become an MP4, or the ``top``
            one, the largest, alone.
        captions: Files of captions.  In HLS and DASH, text tracks of the source follow
            them.
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
    mp4_renditions: Literal["all", "top"] = "all"
    captions: Annotated[tuple[CaptionOptions, ...], Field(max_length=32)] = ()

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


class ThumbnailOptions(Message):
    """Which stills to make: of the picture as it is shown, never larger than that.

    Attributes:
        sizes: The longer sides, in pixels; by default 1280, 640 and 320, which are
            called ``large``, ``medium`` and ``small``.
        formats: The formats of each size; the poster is a JPEG.
        at: The moment to show, in seconds; by default the best one is chosen: not
            black, not blurred, neither dark nor glaring.
        image_path: A picture to show instead of a frame, such as a cover that a user
            has made: a JPEG, PNG or WebP, found like *input_path*.
        sprites: Whether to make sheets of small stills, and the WebVTT by which a
            player shows them beside its seek bar.
    """

    sizes: (
        Annotated[
            tuple[Annotated[int, Field(ge=16, le=4096)], ...],
            Field(min_length=1, max_length=12),
        ]
        | None
    ) = None
    formats: Annotated[tuple[StillFormat, ...], Field(min_length=1)] = ("jpeg",)
    at: Annotated[float | None, Field(ge=0)] = None
    image_path: Annotated[InputPath | None, Field(repr=False)] = None
    sprites: bool = False

    @field_validator("formats", "sizes")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return value and tuple(dict.fromkeys(value))


class WatermarkOptions(Message):
    """A mark on the picture; what is left out is as the worker's settings say.

    Attributes:
        image_path: The mark: a JPEG, PNG or WebP, found like *input_path*.
        text: The mark: one line of text.  Without it and *image_path*, the worker's
            own is taken.
        position: One of nine places, such as ``bottom-right``, in any spelling.
        size: Its height as a share of the picture's shorter side; by default 0.12 of an
            image, 0.05 of a text.
        margin: Its distance from the edge, likewise.
        opacity: How much it covers, up to 1.
        start: When it appears, in seconds.
        end: When it disappears; never by default.
    """

    image_path: Annotated[InputPath | None, Field(repr=False)] = None
    text: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    position: AnyPosition | None = None
    size: Size | None = None
    margin: Margin | None = None
    opacity: Opacity | None = None
    start: Annotated[float, Field(ge=0)] = 0.0
    end: Annotated[float | None, Field(gt=0)] = None

    @field_validator("text")
    @classmethod
    def _is_one_line(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("must be one line of text that prints")
        if value is not None and info.data.get("image_path") is not None:
            raise ValueError("goes without image_path: a mark is one of them")
        return value

    @field_validator("end")
    @classmethod
    def _comes_after_the_start(
        cls, value: float | None, info: ValidationInfo
    ) -> float | None:
        if value is not None and value <= info.data.get("start", 0):
            raise ValueError("must be later than start")
        return value


class ProcessVideoOptions(TranscodeVideoOptions):
    """What to make of the source.

    Attributes:
        thumbnails: Whether to make the poster and the thumbnails, or which.
        watermark: Whether to put the worker's mark on the picture, or which;
            ``WATERMARK_ENABLED`` decides by default.
        clean_rendition: Whether to make one more MP4, of the largest size and without
            the mark, for platforms that forbid marks.  Where there is no mark, it is
            the largest rendition.
    """

    thumbnails: bool | ThumbnailOptions = True
    watermark: bool | WatermarkOptions | None = None
    clean_rendition: bool = False


class OptimizeVideoOptions(Message):
    """How to encode what cannot stay as it is.

    Attributes:
        preset: The encoder's trade of time against size; ``FFMPEG_PRESET`` by default.
    """

    preset: Preset | None = None


class AddWatermarkOptions(WatermarkOptions):
    """Which mark to put on the picture, and how to encode it.

    Attributes:
        preset: The encoder's trade of time against size; ``FFMPEG_PRESET`` by default.
    """

    preset: Preset | None = None


class SourceRequest(Message):
    """What every message says: which video, and where it lies.

    Attributes:
        video_id: The host's name of the video; part of every output's key.
        input_path: A path or ``file://`` URL that the *worker* can read, an
            ``https://`` URL on the public internet, or ``s3://bucket/key`` in a store
            that is set for the worker.
        user_id: Whose video it is: users take turns, unless the message has a group.
    """

    video_id: Annotated[str, Field(pattern=ID_PATTERN)]
    input_path: Annotated[InputPath, Field(repr=False)]
    user_id: Annotated[str | None, Field(max_length=255)] = None


class ExtractMetadataRequest(SourceRequest):
    """The body of an `extract_metadata` message."""


class OutputRequest(SourceRequest):
    """What every message says whose job stores something.

    Attributes:
        options: What to make of it.
        output_prefix: The key under which outputs go, instead of *video_id*.
    """

    output_prefix: str | None = None

    @field_validator("options", mode="before", check_fields=False)
    @classmethod
    def _none_means_defaults(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("output_prefix")
    @classmethod
    def _is_a_key(cls, value: str | None) -> str | None:
        if value is not None and not PREFIX_PATTERN.fullmatch(value):
            raise ValueError(
                "must be made of letters, digits, dots, dashes and underscores, "
                "in parts joined by slashes"
            )
        return value


class ProcessVideoRequest(OutputRequest):
    """The body of a `process_video` message.

    Attributes:
        title: What people call the video; stands in the events of its end.
    """

    title: Annotated[str | None, Field(max_length=300)] = None
    options: ProcessVideoOptions = ProcessVideoOptions()


class TranscodeVideoRequest(OutputRequest):
    """The body of a `transcode_video` message."""

    options: TranscodeVideoOptions = TranscodeVideoOptions()


class GenerateThumbnailsRequest(OutputRequest):
    """The body of a `generate_thumbnails` message."""

    options: ThumbnailOptions = ThumbnailOptions()


class OptimizeVideoRequest(OutputRequest):
    """The body of an `optimize_video` message."""

    options: OptimizeVideoOptions = OptimizeVideoOptions()


class AddWatermarkRequest(OutputRequest):
    """The body of an `add_watermark` message."""

    options: AddWatermarkOptions = AddWatermarkOptions()
