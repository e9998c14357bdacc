"""The actors of the video domain: plain JSON in, plain JSON out."""

from __future__ import annotations

from operator import itemgetter, methodcaller
from typing import Any, Final

from nexus_actors.engine.actor import actor

from .told import told_of_job


#: The queue of all video actors; its name is the original system's.
QUEUE: Final = "video-processing"

#: What holds for every actor here.  A job guards itself: it knows how long its video
#: is.  Users take turns.
COMMON: Final[dict[str, Any]] = {
    "queue_name": QUEUE,
    "time_limit": float("inf"),
    "slots": True,
    "group": methodcaller("get", "user_id"),
    "find_by": ("video_id",),
}

MODELS: Final = "nexus_actors.video.models"


def _run(request: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do what the fields *body* of the model called *request* ask for."""
    from .connect import process

    return process(request, body)


@actor(request=f"{MODELS}:ExtractMetadataRequest", **COMMON)
def extract_metadata(
    *, video_id: str, input_path: str, user_id: str | None = None
) -> dict[str, Any]:
    """Read what a file is: picture, sounds, subtitles, length.  Stores nothing.

    The arguments are those of `ExtractMetadataRequest`; the return value is an
    `ExtractMetadataResult` as plain JSON.
    """
    return _run("ExtractMetadataRequest", locals())


@actor(
    request=f"{MODELS}:ProcessVideoRequest",
    dedupe_key=itemgetter("video_id"),
    ends_as=told_of_job,
    **COMMON,
)
def process_video(  # noqa: PLR0913 - each a field of the message
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    title: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make HLS, DASH, MP4, thumbnails and a metadata record of one video.

    The arguments are those of `ProcessVideoRequest`; the return value is a
    `ProcessVideoResult` as plain JSON.
    """
    return _run("ProcessVideoRequest", locals())


@actor(request=f"{MODELS}:TranscodeVideoRequest", **COMMON)
def transcode_video(
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make HLS, DASH and MP4 of one video: no stills, no mark.

    The arguments are those of `TranscodeVideoRequest`; the return value is a
    `TranscodeVideoResult` as plain JSON.
    """
    return _run("TranscodeVideoRequest", locals())


@actor(request=f"{MODELS}:GenerateThumbnailsRequest", **COMMON)
def generate_thumbnails(
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make a poster and thumbnails of one video, without encoding it.

    The arguments are those of `GenerateThumbnailsRequest`; the return value is a
    `GenerateThumbnailsResult` as plain JSON.
    """
    return _run("GenerateThumbnailsRequest", locals())


@actor(request=f"{MODELS}:OptimizeVideoRequest", **COMMON)
def optimize_video(
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make one MP4 that every browser plays at once.

    What can stay as it is is copied, which takes seconds; else it is encoded.

    The arguments are those of `OptimizeVideoRequest`; the return value is an
    `OptimizeVideoResult` as plain JSON.
    """
    return _run("OptimizeVideoRequest", locals())


@actor(request=f"{MODELS}:AddWatermarkRequest", **COMMON)
def add_watermark(
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make one MP4 of one video, as large as it is, with a mark on the picture.

    The arguments are those of `AddWatermarkRequest`; the return value is an
    `AddWatermarkResult` as plain JSON.
    """
    return _run("AddWatermarkRequest", locals())
