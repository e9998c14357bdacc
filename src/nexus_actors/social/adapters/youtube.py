"""YouTube: a resumable session whose last byte is the post.

Source: YouTube Data API v3, "Resumable Uploads" and "videos.insert".
"""

from __future__ import annotations

import json
import mimetypes
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, FileSlice
from nexus_actors.platforms import youtube
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import SessionLostError, field, told

from ..base import Publisher
from ..models import Caption
from ..row import Phase, State
from ..run import Found, Outcome, Part, Run
from ..sources import fingerprint


#: Statuses of the upload servers that are answers: more to come, gone.
INCOMPLETE: Final = 308
GONE: Final = (404, 410)

RANGE: Final = re.compile(r"bytes=0-(\d+)")

#: Why a video comes to nothing after it was taken; it exists, and is not shown.
BAD_ENDS: Final = {
    "deleted": "uploadStatus",
    "failed": "failureReason",
    "rejected": "rejectionReason",
}

#: How often a video is looked at that is processed, by its age; a look costs a unit.
LOOKS_S: Final = ((60, 5), (600, 20), (3600, 60))
LATER_S: Final = 300

#: After how long a video that YouTube does not find is gone for good.
GONE_S: Final = 600

#: How many of the newest uploads are looked through for one that was lost.
NEWEST: Final = 10


class YouTubePublisher(Publisher):
    name = "youtube"

    @staticmethod
    @override
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return youtube.client(settings, token)

    @override
    def prepare(self, run: Run) -> None:
        path = run.source.bring(str(run.content.video_path), check=run.check)
        size = path.stat().st_size
        metadata = metadata_of(run)
        answer = run.send(
            Call(
                "POST",
                "/upload/youtube/v3/videos",
                params={
                    "uploadType": "resumable",
                    "part": ",".join(metadata),
                    "notifySubscribers": str(run.options.notify_subscribers).lower(),
                },
                headers={
                    "Content-Type": "application/json; charset=UTF-8",
                    "X-Upload-Content-Length": str(size),
                    "X-Upload-Content-Type": _type(path, "video/*"),
                    "Slug": f"{run.marker}.mp4",
                },
                json=metadata,
                undone_on_5xx=True,
            )
        )
        session = answer.headers.get("Location")
        if session is None:
            raise RemoteUnavailableError("YouTube: the answer names no upload session")
        run.save(
            session=session,
            size=size,
            sha256=fingerprint(path, run.check),
            offset=0,
        )

    @override
    def resume(self, run: Run) -> str | None:
        return self.read_part(run, self._probe(run))

    @override
    def next_part(self, run: Run) -> Part | None:
        start, size = run.checkpoint["offset"], run.checkpoint["size"]
        path = run.source.bring(str(run.content.video_path), check=run.check)
        if path.stat().st_size != size:
            raise RejectedError(
                "the file has changed since its upload began", code="source_changed"
            )
        bytes_ = FileSlice.of(path, start, start + run.settings.chunk_bytes)
        headers = {
            "Content-Range": bytes_.content_range,
            "Content-Type": "application/octet-stream",
        }
        last = bytes_.stop == size
        call = Call(
            "PUT",
            run.checkpoint["session"],
            headers=headers,
            body=bytes_,
            idempotent=not last,
            accept=(INCOMPLETE, *GONE),
        )
        return Part(call=call, is_commit=last)

    @override
    def read_part(self, run: Run, answer: Answer) -> str | None:
        if answer.status in GONE:
            if run.hold.row.attempt is not None:
                raise UnknownOutcomeError("YouTube: the upload session is not known")
            raise SessionLostError("YouTube: the upload session is gone")
        if answer.status == INCOMPLETE:
            run.save(offset=_stored(answer))
            return None
        return str(told(answer, "id"))

    @override
    def commit(self, run: Run) -> Call:
        raise NotImplementedError  # the last part is

    @override
    def read_commit(self, run: Run, answer: Answer) -> str:
        raise NotImplementedError  # likewise

    @override
    def reconcile(self, run: Run) -> Found:
        answer = self._probe(run)
        if answer.status == INCOMPLETE:
            stored = _stored(answer)
            run.save(offset=stored)
            seen = {"stored": stored, "size": run.checkpoint["size"]}
            return Found(what="none", resume=Phase.TRANSFER, evidence=seen)
        if answer.status not in GONE:
            return Found(what="live", remote_id=str(told(answer, "id")))
        for video in self._newest(run):
            if field(video, "fileDetails", "fileName") == f"{run.marker}.mp4":
                return Found(what="live", remote_id=str(video["id"]))
        return Found(what="unclear", evidence={"session": "gone"})

    def _probe(self, run: Run) -> Answer:
        """Ask how much of the upload is there; the answer may be the video."""
        return run.send(
            Call(
                "PUT",
                run.checkpoint["session"],
                headers={
                    "Content-Length": "0",
                    "Content-Range": f"bytes */{run.checkpoint['size']}",
                },
                body=b"",
                idempotent=True,
                accept=(INCOMPLETE, *GONE),
            )
        )

    def _newest(self, run: Run) -> list[dict[str, Any]]:
        """Return the channel's newest uploads, as their owner sees them."""
        mine = {"part": "contentDetails", "mine": "true"}
        channels = run.send(Call("GET", "/youtube/v3/channels", params=mine)).json()
        path = ("items", 0, "contentDetails", "relatedPlaylists", "uploads")
        listed: dict[str, str | int] = {
            "part": "contentDetails",
            "playlistId": str(field(channels, *path)),
            "maxResults": NEWEST,
        }
        items = run.send(Call("GET", "/youtube/v3/playlistItems", params=listed)).json()
        listed_ids = [
            field(item, "contentDetails", "videoId")
            for item in field(items, "items") or []
        ]
        ids = [str(id_) for id_ in listed_ids if id_]
        if not ids:
            return []
        wanted = {"part": "fileDetails,snippet,status", "id": ",".join(ids)}
        found = run.send(Call("GET", "/youtube/v3/videos", params=wanted)).json()
        return list(field(found, "items") or [])

    @override
    def confirm(self, run: Run) -> Outcome:
        id_ = str(run.hold.row.remote_id)
        wanted = {"part": "status,processingDetails", "id": id_}
        found = run.send(Call("GET", "/youtube/v3/videos", params=wanted)).json()
        if field(found, "items") == [] and run.waited("video") > GONE_S:
            error = RejectedError(f"YouTube has no video {id_} any more", code="gone")
            return Outcome(state=State.FAILED, error=error, evidence={"video": id_})
        status = field(found, "items", 0, "status") or {}
        url = f"https://www.youtube.com/watch?v={id_}"
        state = status.get("uploadStatus")
        if state in BAD_ENDS:
            reason = status.get(BAD_ENDS[state])
            error = RejectedError(
                f"YouTube has taken the video and {state} it: {reason}",
                code="invalid_content",
                reason=reason,
            )
            return Outcome(state=State.FAILED, error=error, evidence={"video": id_})
        if state != "processed":
            age = run.waited("processing")
            pause = next((look for until, look in LOOKS_S if age < until), LATER_S)
            return Outcome(
                state=State.PROCESSING,
                url=url,
                look_s=pause,
                evidence={"uploadStatus": state},
            )
        at = run.platform_publishes_at
        if at is not None and status.get("privacyStatus") == "private":
            left = (at - clock.now()).total_seconds()
            return Outcome(
                state=State.PROCESSING,
                url=url,
                look_s=max(60, left),
                evidence={"privacyStatus": "private"},
            )
        asked, shown = run.options.privacy, status.get("privacyStatus")
        seen = {} if at or shown == asked else {"privacy": shown, "asked": asked}
        return Outcome(state=State.PUBLISHED, url=url, evidence=seen)

    @override
    def steps(self, run: Run) -> Mapping[str, Callable[[Run], None]]:
        content, options = run.content, run.options
        steps: dict[str, Callable[[Run], None]] = {}
        if content.thumbnail_path:
            steps["thumbnail"] = _set_thumbnail
        for caption in content.captions:
            name = f"captions_{caption.language}"
            if name in steps:  # another track of that language
                name = f"{name}_{caption.name}"
            steps[name] = partial(_add_caption, caption=caption)
        if options.playlist_id:
            steps["playlist"] = _add_to_playlist
        return steps


def metadata_of(run: Run) -> dict[str, dict[str, Any]]:
    """Return the parts of a video resource that the post is."""
    content, options = run.content, run.options
    snippet: dict[str, Any] = {
        "title": content.title,
        "description": content.description,
        "categoryId": options.category or "22",
    }
    if content.tags:
        snippet["tags"] = list(content.tags)
    status: dict[str, Any] = {
        "privacyStatus": options.privacy,
        "selfDeclaredMadeForKids": options.made_for_kids,
    }
    if options.ai_generated is not None:
        status["containsSyntheticMedia"] = options.ai_generated
    if (at := run.platform_publishes_at) is not None:
        status["privacyStatus"] = "private"
        status["publishAt"] = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = {"snippet": snippet, "status": status}
    if options.paid_partnership:
        parts["paidProductPlacementDetails"] = {"hasPaidProductPlacement": True}
    for name, more in options.extra.items():
        parts[name] = {**parts.get(name, {}), **more}
    return parts


def _set_thumbnail(run: Run) -> None:
    path = run.source.bring(str(run.content.thumbnail_path), check=run.check)
    run.send(
        Call(
            "POST",
            "/upload/youtube/v3/thumbnails/set",
            params={"videoId": str(run.hold.row.remote_id)},
            headers={"Content-Type": _type(path, "image/jpeg")},
            body=FileSlice.of(path),
            idempotent=True,
        )
    )


def _add_caption(run: Run, *, caption: Caption) -> None:
    """Add a track, unless the video has it already."""
    video, path = str(run.hold.row.remote_id), "/youtube/v3/captions"
    listed = {"part": "snippet", "videoId": video}
    found = run.send(Call("GET", path, params=listed)).json()
    wanted = (caption.language, caption.name)
    for item in field(found, "items") or []:
        if (
            field(item, "snippet", "language"),
            field(item, "snippet", "name"),
        ) == wanted:
            return
    snippet = {"videoId": video, "language": caption.language, "name": caption.name}
    file = run.source.bring(caption.path, check=run.check)
    body, kind = related({"snippet": snippet}, file.read_bytes())
    run.send(
        Call(
            "POST",
            f"/upload{path}",
            params={"uploadType": "multipart", "part": "snippet"},
            headers={"Content-Type": kind},
            body=body,
        )
    )


def _add_to_playlist(run: Run) -> None:
    """Add the video to a playlist, unless it is there already: twice is two items."""
    video, playlist = str(run.hold.row.remote_id), str(run.options.playlist_id)
    path = "/youtube/v3/playlistItems"
    listed: dict[str, str | int] = {"part": "id", "playlistId": playlist}
    found = run.send(Call("GET", path, params={**listed, "videoId": video})).json()
    if field(found, "items"):
        return
    resource = {"kind": "youtube#video", "videoId": video}
    body = {"snippet": {"playlistId": playlist, "resourceId": resource}}
    run.send(Call("POST", path, params={"part": "snippet"}, json=body))


def related(metadata: Mapping[str, Any], media: bytes) -> tuple[bytes, str]:
    """Return a ``multipart/related`` body, and its content type."""
    edge = secrets.token_hex(16)
    parts = [
        f"--{edge}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n".encode(),
        json.dumps(metadata).encode(),
        f"\r\n--{edge}\r\nContent-Type: application/octet-stream\r\n\r\n".encode(),
        media,
        f"\r\n--{edge}--\r\n".encode(),
    ]
    return b"".join(parts), f"multipart/related; boundary={edge}"


def _stored(answer: Answer) -> int:
    """Return how many bytes are there: without the header, none."""
    found = RANGE.fullmatch(answer.headers.get("Range", ""))
    return int(found[1]) + 1 if found else 0


def _type(path: Path, other: str) -> str:
    return mimetypes.guess_type(path.name)[0] or other
