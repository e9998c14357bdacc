"""The actors of the video domain."""

from __future__ import annotations

from operator import itemgetter, methodcaller
from typing import Any, Final

from nexus_actors.engine.actor import actor


#: The queue of all video actors; its name is the original system's.
QUEUE: Final = "video-processing"


@actor(
    queue_name=QUEUE,
    request="nexus_actors.video.models:ProcessVideoRequest",
    time_limit=float("inf"),  # a job guards itself: it knows how long its video is
    slots=True,
    dedupe_key=itemgetter("video_id"),
    group=methodcaller("get", "user_id"),
    find_by=("video_id",),
)
def process_video(
    *,
    video_id: str,
    input_path: str,
    user_id: str | None = None,
    options: dict[str, Any] | None = None,
    output_prefix: str | None = None,
) -> dict[str, Any]:
    """Make HLS, DASH, MP4, thumbnails and a metadata record of one video.

    The arguments are those of `ProcessVideoRequest`; the return value is a
    `ProcessVideoResult` as plain JSON.
    """
    from .connect import process

    body = {"user_id": user_id, "options": options, "output_prefix": output_prefix}
    return process({"video_id": video_id, "input_path": input_path, **body})
