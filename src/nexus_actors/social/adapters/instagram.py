"""Instagram: a container first, then the call that makes a post of it.

Source: Meta for Developers, "Instagram Platform: Content Publishing".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.errors import NexusError, Postponed, RejectedError
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.platforms import meta
from nexus_actors.platforms.settings import PlatformSettings
from nexus_actors.platforms.verdicts import (
    SessionLostError,
    Verdict,
    field,
    told,
)

from .. import rupload
from ..base import Publisher
from ..models import alike, form_text
from ..row import Phase, State
from ..run import Found, Outcome, Part, Run


#: How often a container is looked at that is not ready, by how long it is not.
LOOKS_S: Final = ((20, 5), (60, 10), (300, 30))
LATER_S: Final = 60

#: After how long a container with a picture, or with a film, will not get ready.
STUCK_S: Final = 300
FILM_STUCK_S: Final = 1800

#: How long to wait where the day's posts are used up and nothing says how long.
QUOTA_PAUSE: Final = timedelta(hours=1)

#: By how much Instagram's clock may be behind ours.
SKEW: Final = timedelta(minutes=10)

#: What stands before the id of a container whose post has no known id.
BY_CONTAINER: Final = "container:"

SUBCODE: Final = re.compile(r"\b(22\d{5})\b")


class InstagramPublisher(Publisher):
    name = "instagram"

    @staticmethod
    @override
    def make_client(settings: PlatformSettings, token: str) -> ApiClient:
        return meta.client(settings, "instagram", token)

    @override
    def prepare(self, run: Run) -> None:
        if "owner" not in run.checkpoint:
            run.note(owner=run.account_id(_owner))
            self._check_quota(run)
        if run.kind == "carousel":
            self._make_children(run)
            form = {"media_type": "CAROUSEL", **_post_form(run)}
            form["children"] = ",".join(run.checkpoint["children"])
            run.save(container=self._make(run, form))
        elif run.content.image_paths:
            form = {"image_url": _address(run, 0), **_post_form(run)}
            if run.kind == "story":
                form["media_type"] = "STORIES"
            run.save(container=self._make(run, form))
        else:
            self._make_video(run)

    def _check_quota(self, run: Run) -> None:
        """Wait where the day's posts are used up; the live limit is the one.

        Raises:
            Postponed: They are.
        """
        path = f"/{run.checkpoint['owner']}/content_publishing_limit"
        wanted = {"fields": "quota_usage,config"}
        limit = field(run.send(Call("GET", path, params=wanted)).json(), "data", 0)
        used, total = field(limit, "quota_usage"), field(limit, "config", "quota_total")
        if used is not None and total is not None and int(used) >= int(total):
            raise Postponed(
                f"instagram: {used} of the day's {total} posts are used",
                code="rate_limited",
                until=clock.now() + QUOTA_PAUSE,
            )

    def _make(self, run: Run, form: Mapping[str, str]) -> str:
        """Make a container, and return its id."""
        return str(told(self._send(run, form), "id"))

    def _send(self, run: Run, form: Mapping[str, str]) -> Answer:
        """Ask for a container; one that is forgotten comes to nothing by itself."""
        path = f"/{run.checkpoint['owner']}/media"
        extra: dict[str, str] = {}
        if "is_carousel_item" not in form:  # of the post as a whole
            extra = {name: form_text(v) for name, v in run.options.extra.items()}
        call = Call("POST", path, form={**form, **extra}, undone_on_5xx=True)
        return run.send(call)

    def _make_video(self, run: Run) -> None:
        options = run.options
        kind = "STORIES" if run.kind == "story" else "REELS"
        form = {"media_type": kind, **_post_form(run)}
        if kind == "REELS":
            form["share_to_feed"] = str(options.share_to_feed).lower()
            if options.thumbnail_offset_ms is not None:
                form["thumb_offset"] = str(options.thumbnail_offset_ms)
            if cover := run.content.thumbnail_path:
                key = f"{run.hold.row.id}/cover.jpg"
                form["cover_url"] = run.source.address(cover, key=key, check=run.check)
        video = str(run.content.video_path)
        if options.transfer == "url":
            key = f"{run.hold.row.id}/video.mp4"
            form["video_url"] = run.source.address(video, key=key, check=run.check)
            run.save(container=self._make(run, form))
            return
        path = run.source.bring(video, check=run.check)
        made = self._send(run, {**form, "upload_type": "resumable"})
        upload = rupload.begin(run, str(told(made, "uri")), path)
        run.save(container=str(told(made, "id")), **upload)

    def _make_children(self, run: Run) -> None:
        """Make the containers of a carousel's pictures, and wait for them.

        Raises:
            Postponed: One is not ready.
        """
        children = list(run.checkpoint.get("children", []))
        for number in range(len(children), len(run.content.image_paths)):
            form = {"image_url": _address(run, number), "is_carousel_item": "true"}
            children.append(self._make(run, form))
            run.save(children=children)
        for child in children:
            self._wait_for(run, child)

    @override
    def resume(self, run: Run) -> str | None:
        found = self._container(run, str(run.checkpoint["container"]))
        if found.get("status_code") == "PUBLISHED":
            return self._published(run).remote_id
        if found.get("status_code") in {"EXPIRED", "ERROR"}:
            raise SessionLostError(f"instagram: {found.get('status')}")
        if "upload_url" in run.checkpoint:
            run.save(offset=rupload.arrived(found.get("video_status")))
        return None

    @override
    def next_part(self, run: Run) -> Part | None:
        if "upload_url" not in run.checkpoint:
            return None
        path = run.source.bring(str(run.content.video_path), check=run.check)
        return rupload.next_part(run, path)

    @override
    def read_part(self, run: Run, answer: Answer) -> str | None:
        rupload.read_part(run, answer)
        return None

    @override
    def ready(self, run: Run) -> str | None:
        found = self._wait_for(run, str(run.checkpoint["container"]))
        if found.get("status_code") == "PUBLISHED":
            return self._published(run).remote_id
        return None

    @override
    def commit(self, run: Run) -> Call:
        path = f"/{run.checkpoint['owner']}/media_publish"
        form = {"creation_id": str(run.checkpoint["container"])}
        return Call("POST", path, form=form)

    @override
    def read_commit(self, run: Run, answer: Answer) -> str:
        return str(told(answer, "id"))

    @override
    def reconcile(self, run: Run) -> Found:
        found = self._container(run, str(run.checkpoint["container"]))
        status = found.get("status_code")
        seen = {"container": run.checkpoint["container"], "status": status}
        if status == "PUBLISHED":
            return self._published(run)
        if status in {"EXPIRED", "ERROR"}:
            return Found(what="none", resume=Phase.PREPARE, evidence=seen)
        return Found(
            what="unseen" if status == "FINISHED" else "unclear", evidence=seen
        )

    def _published(self, run: Run) -> Found:
        """Return the post of a container that is published, if one alone can be it."""
        container = str(run.checkpoint["container"])
        path = "stories" if run.kind == "story" else "media"
        wanted = {"fields": "id,caption,timestamp,permalink", "limit": "10"}
        call = Call("GET", f"/{run.checkpoint['owner']}/{path}", params=wanted)
        listed = field(run.send(call).json(), "data") or []
        row = run.hold.row
        since = (run.began_at if row.attempt else row.created_at) - SKEW
        caption = _caption(run).get("caption", "")
        same = [
            media
            for media in listed
            if alike(caption, media.get("caption")) and _time(media) >= since
        ]
        seen = {"container": container, "alike": len(same)}
        if len(same) == 1:
            id_, url = str(same[0]["id"]), same[0].get("permalink")
            return Found(what="live", remote_id=id_, url=url, evidence=seen)
        return Found(what="live", remote_id=BY_CONTAINER + container, evidence=seen)

    @override
    def confirm(self, run: Run) -> Outcome:
        return Outcome(state=State.PUBLISHED, locate_s=0)

    @override
    def locate(self, run: Run) -> Outcome | None:
        media = str(run.hold.row.remote_id)
        if media.startswith(BY_CONTAINER):
            found = self._published(run)
            return Outcome(
                state=State.PUBLISHED, remote_id=found.remote_id, url=found.url
            )
        call = Call("GET", f"/{media}", params={"fields": "id,permalink"})
        found = run.send(call).json()
        return Outcome(state=State.PUBLISHED, url=field(found, "permalink"))

    def _container(self, run: Run, container: str) -> Mapping[str, Any]:
        wanted = {"fields": "status_code,status,video_status"}
        answer = run.send(Call("GET", f"/{container}", params=wanted))
        told(answer, "status_code")
        found: Mapping[str, Any] = told(answer)
        return found

    def _wait_for(self, run: Run, container: str) -> Mapping[str, Any]:
        """Return what is known of a container that can be published.

        Raises:
            Postponed: It is not ready.
            NexusError: It never will be.
        """
        found = self._container(run, container)
        match found.get("status_code"):
            case "FINISHED" | "PUBLISHED":
                return found
            case "EXPIRED":
                raise SessionLostError("instagram: the container has expired")
            case "ERROR":
                raise _failure(found)
        age = run.waited(f"container_{container}")
        if age > (STUCK_S if run.content.image_paths else FILM_STUCK_S):
            raise SessionLostError("instagram: the container does not get ready")
        pause = next((look for until, look in LOOKS_S if age < until), LATER_S)
        raise Postponed(
            "instagram: the media are not ready",
            code="not_ready",
            until=clock.now() + timedelta(seconds=pause),
        )


def _owner(run: Run) -> str:
    """Return the account's id: of the ids that it has, the one that paths take."""
    wanted = {"fields": "user_id,username"}
    answer = run.send(Call("GET", "/me", params=wanted))
    return str(told(answer).get("user_id") or told(answer, "id"))


def _time(media: Mapping[str, Any]) -> datetime:
    """Return when a post was made; what does not say so was never."""
    text = media.get("timestamp")
    never = datetime.min.replace(tzinfo=UTC)
    return never if text is None else datetime.fromisoformat(text)


def _failure(found: Mapping[str, Any]) -> NexusError:
    """Return what the text of a container's status means."""
    text = str(found.get("status"))
    match = SUBCODE.search(text)
    verdict = meta.verdict_of(None, int(match[1])) if match else Verdict.CONTENT
    if verdict in {Verdict.LOST, Verdict.RETRY}:
        return SessionLostError(f"instagram: {text}")
    return RejectedError(f"instagram: {text}", code="invalid_content", reason=text)


def _post_form(run: Run) -> dict[str, str]:
    """Return what is said of the post as a whole: of a carousel, with the parent."""
    label = {"is_ai_generated": "true"} if run.options.ai_generated else {}
    return _caption(run) | label


def _caption(run: Run) -> dict[str, str]:
    text = run.content.text()
    return {"caption": text} if text and run.kind != "story" else {}


def _address(run: Run, number: int) -> str:
    path, key = run.content.image_paths[number], f"{run.hold.row.id}/{number}.jpg"
    return run.source.address(path, key=key, check=run.check)
