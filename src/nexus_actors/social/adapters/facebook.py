"""Facebook Pages: videos and reels that have an id first, photos, texts and links.

Source: Meta for Developers, "Video API" and "Pages API: Posts".  The phases of a reel
are written as its guide has them, ``start`` and ``finish``; the specification of Meta's
SDK (facebook-business-sdk-codegen, v25.0) has ``START`` and ``FINISH`` there, and small
letters for those of ``videos``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urljoin

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    InvalidRequestError,
    NexusError,
    RejectedError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, Enclosed, FileSlice
from nexus_actors.core.urls import is_web
from nexus_actors.platforms import meta
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import SessionLostError, body_of, field, told

from .. import rupload
from ..base import Publisher
from ..models import alike, form_text
from ..row import State
from ..run import Found, Outcome, Part, Run


#: A chunk at the wrong place; the answer says which one is wanted.
OUT_OF_STEP: Final = 1363037

#: Words for a publishing phase in which the post is made, or will be.
BEGUN: Final = {"in_progress", "complete", "completed", "error"}
SHOWN: Final = {"published", "scheduled", "error"}

#: How soon and how late the platform itself takes a time.
SOONEST, LATEST = timedelta(minutes=10), timedelta(days=30)

#: How often a video is looked at that is processed, by how long it is.
LOOKS_S: Final = ((60, 10), (600, 30), (3600, 120))
LATER_S: Final = 600

#: How soon a video that is published has its address.
LATE_S: Final = 60

#: By how much Facebook's clock may be behind ours.
SKEW: Final = timedelta(minutes=10)

STATUS: Final = "status,permalink_url,post_id,published"


class FacebookPublisher(Publisher):
    name = "facebook"

    @staticmethod
    @override
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return meta.client(settings, "facebook", token)

    @override
    def prepare(self, run: Run) -> None:
        _check_time(run)
        if "page" not in run.checkpoint:
            run.note(page=run.account_id(_page))
        page = run.checkpoint["page"]
        if run.kind == "photo":
            self._add_photos(run)
        elif run.kind in {"video", "reel"}:
            path = run.source.bring(str(run.content.video_path), check=run.check)
            edge, form = f"/{page}/video_reels", {"upload_phase": "start"}
            if run.kind == "video":
                edge, form["file_size"] = f"/{page}/videos", str(path.stat().st_size)
            call = Call("POST", edge, form=form, undone_on_5xx=True)
            answer = run.send(call)
            made = told(answer)
            upload = rupload.begin(run, str(made.get("upload_url")), path)
            if run.kind == "video":
                upload["session"] = str(told(answer, "upload_session_id"))
                upload |= _window(made)
            run.save(video=str(told(answer, "video_id")), **upload)

    def _add_photos(self, run: Run) -> None:
        """Add each picture unseen: what is forgotten is never shown."""
        photos = list(run.checkpoint.get("photos", []))
        edge = f"/{run.checkpoint['page']}/photos"
        for path in run.content.image_paths[len(photos) :]:
            if is_web(path):
                address = run.source.address(path, key="", check=run.check)
                form = {"published": "false", "url": address}
                call = Call("POST", edge, form=form, undone_on_5xx=True)
            else:
                file = FileSlice.of(run.source.bring(path, check=run.check))
                body, kind = multipart({"published": "false"}, "source", file)
                headers = {"Content-Type": kind}
                call = Call(
                    "POST", edge, body=body, headers=headers, undone_on_5xx=True
                )
            photos.append(str(told(run.send(call), "id")))
            run.save(photos=photos)

    @override
    def resume(self, run: Run) -> str | None:
        if "video" not in run.checkpoint:
            return None
        found = self._video(run)
        if _is_made(found):
            return str(run.checkpoint["video"])
        if run.kind == "reel":
            run.save(offset=rupload.arrived(found.get("status")))
        return None

    @override
    def next_part(self, run: Run) -> Part | None:
        if "video" not in run.checkpoint:
            return None
        path = run.source.bring(str(run.content.video_path), check=run.check)
        if run.kind == "reel":
            return rupload.next_part(run, path)
        start, size = run.checkpoint["start"], run.checkpoint["size"]
        stop = min(run.checkpoint["stop"], size)
        if path.stat().st_size != size:
            raise RejectedError(
                "the file has changed since its upload began", code="source_changed"
            )
        if start >= stop:
            return None
        chunk = FileSlice.of(path, start, stop)
        form = {
            "upload_phase": "transfer",
            "upload_session_id": run.checkpoint["session"],
            "start_offset": str(start),
        }
        body, kind = multipart(form, "video_file_chunk", chunk)
        call = Call(
            "POST",
            f"/{run.checkpoint['page']}/videos",
            body=body,
            headers={"Content-Type": kind},
            idempotent=True,
            accept=(HTTPStatus.BAD_REQUEST,),
        )
        return Part(call=call)

    @override
    def read_part(self, run: Run, answer: Answer) -> str | None:
        if run.kind == "reel":
            rupload.read_part(run, answer)
            return None
        error = field(body_of(answer), "error")
        if field(error, "error_subcode") == OUT_OF_STEP:
            run.save(**_window(field(error, "error_data")))
        elif refused := meta.refusal(answer):
            raise refused
        else:
            run.save(**_window(answer.json()))
        return None

    @override
    def ready(self, run: Run) -> str | None:
        if "video" not in run.checkpoint:
            return None
        found = self._video(run)
        if error := _error(found):
            raise error
        return str(run.checkpoint["video"]) if _is_made(found) else None

    @override
    def commit(self, run: Run) -> Call:
        page, content = run.checkpoint["page"], run.content
        if run.kind == "reel":
            form = {
                "upload_phase": "finish",
                "video_id": run.checkpoint["video"],
                "video_state": "PUBLISHED",
                "title": content.title,
                "description": content.body(),
            }
            if at := run.platform_publishes_at:
                form["video_state"] = "SCHEDULED"
                form["scheduled_publish_time"] = str(int(at.timestamp()))
            return _post(run, f"/{page}/video_reels", form)
        if run.kind == "video":
            form = {
                "upload_phase": "finish",
                "upload_session_id": run.checkpoint["session"],
                "title": content.title,
                "description": content.body(),
                **_showing(run),
            }
            return _post(run, f"/{page}/videos", form)
        form = {"message": content.text(), **_showing(run)}
        if run.kind == "photo":
            media = [{"media_fbid": photo} for photo in run.checkpoint["photos"]]
            form["attached_media"] = json.dumps(media)
        elif content.link:
            form["link"] = content.link
        if run.platform_publishes_at:
            form["unpublished_content_type"] = "SCHEDULED"
        return _post(run, f"/{page}/feed", form)

    @override
    def read_commit(self, run: Run, answer: Answer) -> str:
        if "video" not in run.checkpoint:
            return str(told(answer, "id"))
        if not told(answer, "success"):  # else only its end was heard
            raise UnknownOutcomeError("facebook: the end of the video had no success")
        return str(run.checkpoint["video"])

    @override
    def reconcile(self, run: Run) -> Found:
        if "video" not in run.checkpoint:
            return self._listed(run)
        found = self._video(run)
        phase = field(found, "status", "publishing_phase")
        seen = {"video": run.checkpoint["video"], "publishing_phase": phase}
        if _is_made(found):
            id_ = str(run.checkpoint["video"])
            return Found(what="live", remote_id=id_, evidence=seen)
        return Found(what="unseen", evidence=seen)

    def _listed(self, run: Run) -> Found:
        """Look for the post in the lists; that it is not there proves nothing."""
        fields = "id,message,created_time,permalink_url,attachments{media_type,target}"
        since = run.began_at - SKEW
        same: list[Mapping[str, Any]] = []
        for edge in ("published_posts", "scheduled_posts"):
            path = f"/{run.checkpoint['page']}/{edge}"
            call = Call("GET", path, params={"fields": fields, "limit": "25"})
            same += [
                post
                for post in field(run.send(call).json(), "data") or []
                if _is_same(run, post, since)
            ]
        if len(same) == 1:
            id_ = str(same[0]["id"])
            return Found(what="live", remote_id=id_, url=_url(same[0]))
        return Found(what="unclear", evidence={"alike": len(same)})

    @override
    def confirm(self, run: Run) -> Outcome:
        id_ = str(run.hold.row.remote_id)
        at = run.platform_publishes_at
        if at is not None and clock.now() < at:
            left = (at - clock.now()).total_seconds()
            return Outcome(state=State.PROCESSING, look_s=left + 60)
        if "video" not in run.checkpoint:
            return Outcome(state=State.PUBLISHED, locate_s=0)
        found = self._video(run)
        if error := _error(found):
            return Outcome(state=State.FAILED, error=error, evidence={"video": id_})
        url = _url(found)
        if found.get("published"):
            return Outcome(state=State.PUBLISHED, url=url, locate_s=LATE_S)
        age = run.waited("processing")
        pause = next((look for until, look in LOOKS_S if age < until), LATER_S)
        seen = {"video_status": field(found, "status", "video_status")}
        return Outcome(state=State.PROCESSING, url=url, look_s=pause, evidence=seen)

    @override
    def locate(self, run: Run) -> Outcome | None:
        path = f"/{run.hold.row.remote_id}"
        call = Call("GET", path, params={"fields": "permalink_url"})
        found = run.send(call).json()
        return Outcome(state=State.PUBLISHED, url=_url(found))

    @override
    def steps(self, run: Run) -> Mapping[str, Callable[[Run], None]]:
        return {"thumbnail": _set_thumbnail} if run.content.thumbnail_path else {}

    def _video(self, run: Run) -> Mapping[str, Any]:
        path = f"/{run.checkpoint['video']}"
        answer = run.send(Call("GET", path, params={"fields": STATUS}))
        told(answer, "status")
        found: Mapping[str, Any] = told(answer)
        return found


def _page(run: Run) -> str:
    """Return the id of the Page whose token it is."""
    me = run.send(Call("GET", "/me", params={"fields": "id"}))
    return str(told(me, "id"))


def _set_thumbnail(run: Run) -> None:
    path = run.source.bring(str(run.content.thumbnail_path), check=run.check)
    body, kind = multipart({"is_preferred": "true"}, "source", FileSlice.of(path))
    edge = f"/{run.checkpoint['video']}/thumbnails"
    headers = {"Content-Type": kind}
    run.send(Call("POST", edge, body=body, headers=headers, idempotent=True))


def multipart(
    form: Mapping[str, str], name: str, file: FileSlice
) -> tuple[Enclosed, str]:
    """Return a ``multipart/form-data`` body with one file, and its content type."""
    edge = secrets.token_hex(16)
    head = f"--{edge}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{key}"\r\n\r\n{text}\r\n'.encode() for key, text in form.items()]
    kind = "Content-Type: application/octet-stream"
    parts.append(f'{head}"{name}"; filename="{name}"\r\n{kind}\r\n\r\n'.encode())
    body = Enclosed(b"".join(parts), file, f"\r\n--{edge}--\r\n".encode())
    return body, f"multipart/form-data; boundary={edge}"


def _post(run: Run, path: str, form: Mapping[str, str]) -> Call:
    extra = {name: form_text(value) for name, value in run.options.extra.items()}
    return Call("POST", path, form={**form, **extra})


def _showing(run: Run) -> dict[str, str]:
    """Return when the post is to be seen."""
    if at := run.platform_publishes_at:
        time = str(int(at.timestamp()))
        return {"published": "false", "scheduled_publish_time": time}
    return {"published": "true"}


def _check_time(run: Run) -> None:
    at = run.platform_publishes_at
    if at is not None and not SOONEST <= at - clock.now() <= LATEST:
        raise InvalidRequestError(
            "facebook: it waits by itself for 10 minutes to 30 days: leave out "
            "schedule_mode, or give another publish_at"
        )


def _window(told: Mapping[str, Any] | None) -> dict[str, int]:
    """Return which bytes Facebook wants next."""
    start, stop = field(told, "start_offset"), field(told, "end_offset")
    if start is None or stop is None:
        raise SessionLostError("facebook: the upload has no window")
    return {"start": int(start), "stop": int(stop)}


def _is_made(found: Mapping[str, Any]) -> bool:
    """Tell whether a video's end has been asked for, and was heard."""
    phase = field(found, "status", "publishing_phase") or {}
    return phase.get("status") in BEGUN or phase.get("publish_status") in SHOWN


def _url(found: Any) -> str | None:
    """Return where a post is seen; of a video, the platform tells the path alone."""
    told = field(found, "permalink_url")
    return urljoin("https://www.facebook.com", told) if told else None


def _error(found: Mapping[str, Any]) -> NexusError | None:
    """Return what is wrong with a video: any error is final, whatever the status."""
    for name in ("uploading_phase", "processing_phase", "publishing_phase"):
        phase = field(found, "status", name) or {}
        errors = phase.get("errors") or ([phase["error"]] if "error" in phase else [])
        if errors or phase.get("status") == "error":
            told = errors[0] if errors else {}
            words = f"{told.get('message') or name} ({told.get('code')})"
            return RejectedError(
                f"facebook: the video came to nothing: {words}",
                code="invalid_content",
                reason=str(told.get("code")),
            )
    return None


def _is_same(run: Run, post: Mapping[str, Any], since: datetime) -> bool:
    """Tell whether a listed post can be ours: photos by their ids, else by the text."""
    photos = run.checkpoint.get("photos")
    items = field(post, "attachments", "data") or []
    if photos:
        return any(field(item, "target", "id") in photos for item in items)
    created = post.get("created_time")
    if created is None or datetime.fromisoformat(created) < since:
        return False
    links = {field(item, "target", "url") for item in items}
    same_link = run.content.link is None or run.content.link in links
    return alike(run.content.text(), post.get("message")) and same_link
