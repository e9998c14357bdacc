"""Settings of the video domain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from nexus_actors.core.settings import Settings, own, shared


#: libx264's presets, from fast to small.
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


class VideoSettings(Settings):
    """How videos are processed; limits are refusals, not truncations."""

    ffmpeg: Annotated[
        Path | None, own("FFMPEG", "the ffmpeg program; found on PATH by default")
    ] = None
    ffprobe: Annotated[
        Path | None, own("FFPROBE", "the ffprobe program; found on PATH by default")
    ] = None
    ffmpeg_preset: Annotated[
        Preset, shared("FFMPEG_PRESET", "libx264's trade of time against size")
    ] = "veryfast"
    audio_bitrate: Annotated[
        str,
        shared("AUDIO_BITRATE", "of a stereo track, in bit/s; k and M are understood"),
        Field(pattern=r"^[1-9][0-9]*[kM]?$"),
    ] = "128k"
    watermark_enabled: Annotated[
        bool, shared("WATERMARK_ENABLED", "mark videos whose message does not say")
    ] = False
    watermark_path: Annotated[
        Path | None, shared("WATERMARK_PATH", "the mark: a PNG, JPEG or WebP image")
    ] = None
    watermark_position: Annotated[
        Position,
        shared("WATERMARK_POSITION", "such as bottom-right, in any spelling"),
        BeforeValidator(lambda text: re.sub(r"[-_\s]", "", str(text)).lower()),
    ] = "bottomright"
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
