"""How each codec is encoded: H.264, which every player knows, and others beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from .models import VideoCodec, VideoRendition
from .settings import Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """What differs from H.264, whose figures the ladders hold.

    For the same look, *crf* is added to H.264's, as far as *worst*, and *rate* is the
    share of its cap.  A picture must have *least_side* pixels on each side.
    """

    encoder: str
    crf: int = 0
    worst: int = 51
    rate: Fraction = Fraction(1)
    least_side: int = 2


#: H.264 comes first, and is always made.
CODECS: Final[Mapping[VideoCodec, Codec]] = {
    "h264": Codec(encoder="libx264"),
    "hevc": Codec(encoder="libx265", crf=3, rate=Fraction(5, 8), least_side=16),
    "av1": Codec(
        encoder="libsvtav1", crf=11, worst=63, rate=Fraction(1, 2), least_side=64
    ),
}

#: All encoders that may be asked for.
ENCODERS: Final = frozenset(codec.encoder for codec in CODECS.values())

#: SVT-AV1's presets of about the same place between fast and small.
SVT_PRESETS: Final[Mapping[Preset, int]] = {
    "ultrafast": 12,
    "superfast": 11,
    "veryfast": 10,
    "faster": 9,
    "fast": 8,
    "medium": 7,
    "slow": 6,
    "slower": 5,
    "veryslow": 4,
}


def in_codec(
    renditions: tuple[VideoRendition, ...], name: VideoCodec
) -> tuple[VideoRendition, ...]:
    """Return what looks like *renditions*, in another codec and for fewer bits."""
    codec = CODECS[name]
    return tuple(
        replace(
            rendition,
            name=f"{rendition.name}-{name}",
            codec=name,
            progressive=False,
            crf=min(codec.worst, rendition.crf + codec.crf),
            maxrate=int(rendition.maxrate * codec.rate),
            bufsize=int(rendition.bufsize * codec.rate),
        )
        for rendition in renditions
        if min(rendition.width, rendition.height) >= codec.least_side
    )


def encoder_options(
    rendition: VideoRendition, number: int, *, preset: Preset, threads: int
) -> dict[str, Any]:
    """Return what ffmpeg is told of its video stream *number*."""
    options = {
        "c": CODECS[rendition.codec].encoder,
        "preset": preset,
        "crf": rendition.crf,
        "maxrate": rendition.maxrate,
        "bufsize": rendition.bufsize,
        "g": rendition.gop,
        "keyint_min": rendition.gop,
    }
    if rendition.codec == "h264":
        options |= {"profile": "high"}
    elif rendition.codec == "hevc":
        # Apple's players refuse the tag that ffmpeg writes by itself
        options |= {"profile": "main", "tag": "hvc1"}
        options["x265-params"] = _x265(rendition.gop, threads)
    else:
        options["preset"] = SVT_PRESETS[preset]
        lanes = f":lp={threads}" if threads else ""
        options["svtav1-params"] = f"scd=0{lanes}"
    return {f"{name}:v:{number}": value for name, value in options.items()}


def _x265(gop: int, threads: int) -> str:
    """Return the parameters that close each group of pictures."""
    params: dict[str, Any] = {
        "keyint": gop,
        "min-keyint": gop,
        "scenecut": 0,
        "open-gop": 0,
        "repeat-headers": 0,
        # without it, what a cap leaves depends on how far the threads are
        "const-vbv": 1,
        "log-level": "error",
    }
    if threads:
        params["pools"] = threads
    return ":".join(f"{name}={value}" for name, value in params.items())
