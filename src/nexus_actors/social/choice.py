"""Which file is sent, and what was read of it before a byte is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nexus_actors.core.errors import RejectedError
from nexus_actors.core.urls import is_web

from .probe import probe, probe_picture
from .rules import advice, refuse_pictures
from .run import Run


def choose(
    run: Run, check_media: Callable[[Run, Mapping[str, Any]], None]
) -> dict[str, Any]:
    """Return the video to send and what was read of it: the best that is taken.

    Raises:
        RejectedError: None is; names what is wrong with the smallest.  Or a picture of
            ours is not taken.
    """
    content = run.content
    if content.video_id is not None:
        candidates = run.source.renditions(content.video_id, check=run.check)
    elif content.video_path and run.options.transfer == "upload":
        candidates = [content.video_path]
    else:
        _look_at_pictures(run)
        return {"media": None}  # the platform looks at what it fetches
    refused: RejectedError | None = None
    for candidate in candidates:
        path = run.source.bring(candidate, check=run.check)
        media = probe(path, run.settings.ffprobe)
        try:
            check_media(run, media or {})
        except RejectedError as error:
            refused = error
        else:
            return {"video": candidate, "media": media}
    raise refused or RejectedError("there is no video", code="not_found")


def note(run: Run, chosen: Mapping[str, Any]) -> None:
    """Write which video is sent, and for what the platform may yet fail."""
    hold, request = run.hold, {**run.hold.row.request, **chosen}
    if chosen["media"] is None:
        hold.stage(request=request)
        return
    notes = hold.row.notes
    if found := advice(hold.row.platform, run.kind, chosen["media"]):
        told = [violation.to_json() for violation in found]
        notes = hold.note("may_fail", violations=told)
    hold.write(request=request, notes=notes)


def _look_at_pictures(run: Run) -> None:
    """Refuse pictures of ours that are not taken; others' are the platform's matter.

    Raises:
        RejectedError: Naming every rule that is broken.
    """
    found: list[dict[str, Any]] = []
    for path in run.content.image_paths:
        if is_web(path):
            found.append({})
            continue
        file = run.source.bring(path, check=run.check)
        found.append(probe_picture(file, run.settings.ffprobe))
    refuse_pictures(run.hold.row.platform, run.kind, found)
