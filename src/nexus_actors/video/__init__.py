"""Video: a file in; HLS, DASH, MP4, stills and metadata out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import process_video


if TYPE_CHECKING:
    from .base import Packager, Workbench, packagers
    from .errors import DiskFullError, EncodeError, OutputError, SourceError
    from .models import (
        MediaInfo,
        Presentation,
        ProcessVideoOptions,
        ProcessVideoRequest,
        ProcessVideoResult,
        Segment,
        Track,
    )
    from .publish import fresh_url
    from .settings import VideoSettings
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            ".base": ("Packager", "Workbench", "packagers"),
            ".errors": ("DiskFullError", "EncodeError", "OutputError", "SourceError"),
            ".models": (
                "MediaInfo",
                "Presentation",
                "ProcessVideoOptions",
                "ProcessVideoRequest",
                "ProcessVideoResult",
                "Segment",
                "Track",
            ),
            ".publish": ("fresh_url",),
            ".settings": ("VideoSettings",),
        },
    )


__all__ = [
    "DiskFullError",
    "EncodeError",
    "MediaInfo",
    "OutputError",
    "Packager",
    "Presentation",
    "ProcessVideoOptions",
    "ProcessVideoRequest",
    "ProcessVideoResult",
    "Segment",
    "SourceError",
    "Track",
    "VideoSettings",
    "Workbench",
    "fresh_url",
    "packagers",
    "process_video",
]
