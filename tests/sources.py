"""Canonical records of sources that no file need exist for."""

from __future__ import annotations

from typing import Any

from nexus_actors.video.models import (
    AudioStream,
    Color,
    Hdr,
    MediaInfo,
    VideoStream,
)


#: How the kinds of HDR map their values to light.
TRANSFERS = {"pq": "smpte2084", "hdr10": "smpte2084", "hlg": "arib-std-b67"}


def media(
    *, width: int = 1920, height: int = 1080, hdr: str | None = None, **more: Any
) -> MediaInfo:
    """Return the record of ten seconds of video; *more* are fields of its picture."""
    audio = more.pop("audio", (sound(),))
    sha256 = more.pop("sha256", "0" * 64)
    duration = more.pop("duration", 10.0)
    fields: dict[str, Any] = {
        "index": 0,
        "codec": "h264",
        "profile": "High",
        "level": 40,
        "width": width,
        "height": height,
        "sar": "1:1",
        "rotation": 0,
        "display_width": width,
        "display_height": height,
        "orientation": "landscape",
        "aspect": "16:9",
        "fps": 30.0,
        "fps_q": "30/1",
        "vfr": False,
        "pix_fmt": "yuv420p",
        "bit_depth": 8,
        "chroma": "420",
        "interlaced": False,
        "field_order": None,
        "color": Color(transfer=TRANSFERS.get(hdr or "")),
        "hdr": Hdr.model_validate({"kind": hdr}) if hdr else None,
        "bit_rate": 20_000_000,
        "frames": 300,
        "start": 0.0,
    }
    return MediaInfo(
        container="mp4",
        format_names=("mov", "mp4"),
        size=1_000_000,
        sha256=sha256,
        duration=duration,
        duration_source="stream",
        start_time=0.0,
        bit_rate=more.get("bit_rate", 20_000_000),
        faststart=True,
        fragmented=False,
        video=VideoStream(**(fields | more)),
        audio=audio,
        class_="video",
    )


def sound(**more: Any) -> AudioStream:
    """Return a stereo track; *more* are its fields."""
    fields: dict[str, Any] = {
        "index": 1,
        "codec": "aac",
        "profile": "LC",
        "channels": 2,
        "layout": "stereo",
        "sample_rate": 48000,
        "bit_rate": 128_000,
        "language": "eng",
        "default": False,
        "start": 0.0,
        "duration": 10.0,
    }
    return AudioStream(**(fields | more))
