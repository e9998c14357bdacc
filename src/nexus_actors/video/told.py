"""What the end of a job means to others: the domain's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


PROCESSED: Final = "video.processed"
FAILED: Final = "video.failed"


def told_of_job(
    body: Mapping[str, Any],
    *,
    result: Mapping[str, Any] | None,
    error: Mapping[str, Any] | None,
) -> tuple[str, dict[str, Any]]:
    """Return the event of a `process_video` that has ended for good."""
    about = {name: body.get(name) for name in ("video_id", "user_id", "title")}
    if error is not None or result is None:
        return FAILED, about | {"code": (error or {}).get("code")}
    return PROCESSED, about | {
        "duration": result["duration"],
        "renditions": _renditions(result["outputs"]),
        "poster_url": _public(result.get("poster")),
    }


def _renditions(outputs: Mapping[str, Any]) -> list[str]:
    made = (outputs.get("hls") or {}).get("renditions") or outputs.get("mp4") or ()
    return [each["name"] for each in made]


def _public(poster: Mapping[str, Any] | None) -> str | None:
    """Return the poster's URL; not one that is signed, which is a secret, and ends."""
    url = str((poster or {}).get("url", ""))
    return url if url.startswith("https://") and "?" not in url else None
