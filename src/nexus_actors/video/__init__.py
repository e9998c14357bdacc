"""Video: a file in; HLS, DASH, MP4, stills and metadata out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_actors.core.lazy import lazy_names

from .actors import (
    add_watermark,
    extract_metadata,
    generate_thumbnails,
    optimize_video,
    process_video,
    transcode_video,
)


if TYPE_CHECKING:
    from .base import Packager, Workbench, packagers
    from .errors import DiskFullError, EncodeError, OutputError, SourceError
    from .models import (
        AddWatermarkOptions,
        AddWatermarkRequest,
        AddWatermarkResult,
        CaptionOptions,
        ExtractMetadataRequest,
        ExtractMetadataResult,
        GenerateThumbnailsRequest,
        GenerateThumbnailsResult,
        MediaInfo,
        OptimizeVideoOptions,
        OptimizeVideoRequest,
        OptimizeVideoResult,
        Presentation,
        ProcessVideoOptions,
        ProcessVideoRequest,
        ProcessVideoResult,
        RenditionOptions,
        Segment,
        ThumbnailOptions,
        Track,
        TranscodeVideoOptions,
        TranscodeVideoRequest,
        TranscodeVideoResult,
        WatermarkOptions,
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
                "AddWatermarkOptions",
                "AddWatermarkRequest",
                "AddWatermarkResult",
                "CaptionOptions",
                "ExtractMetadataRequest",
                "ExtractMetadataResult",
                "GenerateThumbnailsRequest",
                "GenerateThumbnailsResult",
                "MediaInfo",
                "OptimizeVideoOptions",
                "OptimizeVideoRequest",
                "OptimizeVideoResult",
                "Presentation",
                "ProcessVideoOptions",
                "ProcessVideoRequest",
                "ProcessVideoResult",
                "RenditionOptions",
                "Segment",
                "ThumbnailOptions",
                "Track",
                "TranscodeVideoOptions",
                "TranscodeVideoRequest",
                "TranscodeVideoResult",
                "WatermarkOptions",
            ),
            ".publish": ("fresh_url",),
            ".settings": ("VideoSettings",),
        },
    )


__all__ = [
    "AddWatermarkOptions",
    "AddWatermarkRequest",
    "AddWatermarkResult",
    "CaptionOptions",
    "DiskFullError",
    "EncodeError",
    "ExtractMetadataRequest",
    "ExtractMetadataResult",
    "GenerateThumbnailsRequest",
    "GenerateThumbnailsResult",
    "MediaInfo",
    "OptimizeVideoOptions",
    "OptimizeVideoRequest",
    "OptimizeVideoResult",
    "OutputError",
    "Packager",
    "Presentation",
    "ProcessVideoOptions",
    "ProcessVideoRequest",
    "ProcessVideoResult",
    "RenditionOptions",
    "Segment",
    "SourceError",
    "ThumbnailOptions",
    "Track",
    "TranscodeVideoOptions",
    "TranscodeVideoRequest",
    "TranscodeVideoResult",
    "VideoSettings",
    "WatermarkOptions",
    "Workbench",
    "add_watermark",
    "extract_metadata",
    "fresh_url",
    "generate_thumbnails",
    "optimize_video",
    "packagers",
    "process_video",
    "transcode_video",
]
