"""Settings of the video domain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from nexus_actors.core.settings import Settings, own, shared


#: What the letters behind a number of bits mean.
UNITS: Final = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}


def bits(value: object) -> object:
    """Return the bit/s that ``128k`` or ``1M`` means; what is no text as it is."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,9})([kKM]?)", value)
    if not found:
        raise ValueError("must be a number of bits a second, such as 128k or 6M")
    return int(found[1]) * UNITS[found[2]]


#: A bit rate in bit/s, as a number or with a unit.  The bounds are what a picture and a
#: stereo track can be encoded at.
VideoBitrate = Annotated[int, BeforeValidator(bits), Field(ge=50_000, le=200_000_000)]
AudioBitrate = Annotated[int, BeforeValidator(bits), Field(ge=16_000, le=512_000)]

#: The encoders' presets, from fast to small.
Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
]


#: Where the mark stands.
Position = Literal[
    "topleft",
    "top",
    "topright",
    "left",
    "center",
    "right",
    "bottomleft",
    "bottom",
    "bottomright",
]


AnyPosition = Annotated[
    Position,
    BeforeValidator(lambda text: re.sub(r"[-_\s]", "", str(text)).lower()),
]

#: How large a mark is, and how far from the edge, as shares of the shorter side.
Size = Annotated[float, Field(gt=0, le=1)]
Margin = Annotated[float, Field(ge=0, le=0.5)]

#: From nearly nothing to all.
Opacity = Annotated[float, Field(gt=0, le=1)]


class VideoSettings(Settings):
    """How videos are processed; limits are refusals, not truncations."""

    ffmpeg: Annotated[
        Path | None, own("FFMPEG", "the ffmpeg program; found on PATH by default")
    ] = None
    ffprobe: Annotated[
        Path | None, own("FFPROBE", "the ffprobe program; found on PATH by default")
    ] = None
    ffmpeg_preset: Annotated[
        Preset, shared("FFMPEG_PRESET", "the encoder's trade of time against size")
    ] = "veryfast"
    encoder_threads: Annotated[
        int | None,
        own(
            "VIDEO_ENCODER_THREADS",
            "of each encoder; by default its share of the cores; with 1, what is "
            "encoded again comes to the same bytes, but takes longer",
        ),
        Field(ge=1, le=128),
    ] = None
    video_bitrate: Annotated[
        VideoBitrate,
        shared(
            "VIDEO_BITRATE",
            "the most that 1080 lines of the default ladder may spend, in bit/s, such "
            "as 4M; the caps of all ladders follow in proportion",
        ),
    ] = 6_000_000
    audio_bitrate: Annotated[
        AudioBitrate,
        shared("AUDIO_BITRATE", "of a stereo track, in bit/s, such as 128k"),
    ] = 128_000
    normalize_audio: Annotated[
        bool, own("NORMALIZE_AUDIO", "make videos equally loud whose message is silent")
    ] = False
    loudness: Annotated[
        float,
        own("LOUDNESS", "what normalized sound is brought to, in LUFS"),
        Field(ge=-31, le=-9),
    ] = -16.0
    watermark_enabled: Annotated[
        bool, shared("WATERMARK_ENABLED", "mark videos whose message does not say")
    ] = False
    watermark_path: Annotated[
        Path | None, shared("WATERMARK_PATH", "the mark: a PNG, JPEG or WebP image")
    ] = None
    watermark_text: Annotated[
        str | None,
        own("WATERMARK_TEXT", "the mark, where WATERMARK_PATH is not set"),
        Field(max_length=200),
    ] = None
    watermark_font: Annotated[
        Path | None,
        own("WATERMARK_FONT", "the font file of texts; the system's by default"),
    ] = None
    watermark_position: Annotated[
        AnyPosition,
        shared("WATERMARK_POSITION", "such as bottom-right, in any spelling"),
    ] = "bottomright"
    watermark_size: Annotated[
        Size | None,
        own(
            "WATERMARK_SIZE",
            "the mark's height as a share of the picture's shorter side; 0.12 of an "
            "image, 0.05 of a text",
        ),
    ] = None
    watermark_margin: Annotated[
        Margin, own("WATERMARK_MARGIN", "the mark's distance from the edge, likewise")
    ] = 0.02
    watermark_opacity: Annotated[
        Opacity, own("WATERMARK_OPACITY", "how much the mark covers, up to 1")
    ] = 0.8
    child_memory_bytes: Annotated[
        int | None,
        own(
            "VIDEO_CHILD_MEMORY_BYTES",
            "the most memory of one ffmpeg; without it, all that there is",
        ),
        Field(ge=100_000_000),
    ] = None
    child_nice: Annotated[
        int,
        own(
            "VIDEO_CHILD_NICE",
            "how far each ffmpeg lets others have the processors first, up to 19",
        ),
        Field(ge=0, le=19),
    ] = 0
    max_input_bytes: Annotated[
        int, own("VIDEO_MAX_INPUT_BYTES", "the largest file accepted"), Field(gt=0)
    ] = 10 * 1024**3
    max_duration_s: Annotated[
        int, own("VIDEO_MAX_DURATION_S", "the longest video accepted"), Field(gt=0)
    ] = 6 * 3600
    max_pixels: Annotated[
        int,
        own("VIDEO_MAX_PIXELS", "width times height, at most"),
        Field(gt=0),
    ] = 8192 * 8192
