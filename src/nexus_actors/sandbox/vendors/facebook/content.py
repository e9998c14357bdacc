"""What is on a Page: films, photos and posts, and when each is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from nexus_actors.sandbox.base import Clock, Post, iso
from nexus_actors.sandbox.forms import Form
from nexus_actors.sandbox.media import MediaFile
from nexus_actors.sandbox.vendors.meta import errors
from nexus_actors.sandbox.vendors.meta.graph import flag, graph_time
from nexus_actors.sandbox.vendors.meta.rupload import Upload
from nexus_actors.sandbox.vendors.meta.settings import Page

from .settings import FAILURES, FacebookSettings


MESSAGE_CHARS: Final = 63_206
TITLE_CHARS: Final = 255
VIDEO_MIN: Final = 1024

#: How long a film may be; a story's lower limit is a reel's.
LENGTHS_S: Final = {"reel": (3, 90), "story": (3, 60), "video": (0, 14_400)}

VIDEOS: Final = {"video/mp4", "video/quicktime"}
PHOTOS: Final = {"image/jpeg", "image/png", "image/gif", "image/bmp", "image/tiff"}


@dataclass(frozen=True, slots=True)
class Showing:
    """Whether and when something is seen.

    Attributes:
        at: From when on; None is never, as for a draft.
        scheduled: Whether Facebook waits for that moment.
    """

    at: float | None
    scheduled: bool = False

    def is_public(self, clock: Clock) -> bool:
        """Tell whether it is seen now."""
        return self.at is not None and clock.now() >= self.at

    def waits(self, clock: Clock) -> bool:
        """Tell whether it is scheduled and not yet seen."""
        return self.scheduled and not self.is_public(clock)


def read_showing(form: Form, settings: FacebookSettings, now: float) -> Showing:
    """Return when something is to be seen, by ``published`` and its schedule.

    Raises:
        Refusal: The time makes no sense, or lies outside the window.
    """
    published = flag(form, "published", default=True)
    if "scheduled_publish_time" not in form.fields:
        return Showing(now if published else None)
    if published:
        text = "You cannot specify a scheduled publish time on a published post"
        raise errors.invalid(text)
    return Showing(read_schedule(form, settings, now), scheduled=True)


def read_schedule(form: Form, settings: FacebookSettings, now: float) -> float:
    """Return ``scheduled_publish_time``.

    Raises:
        Refusal: It makes no sense, or lies outside the window.
    """
    text = form.fields.get("scheduled_publish_time", "")
    try:
        at = (
            float(text)
            if text.isdecimal()
            else datetime.fromisoformat(text).timestamp()
        )
    except ValueError:
        raise errors.invalid(
            "The specified scheduled publish time is invalid"
        ) from None
    if not settings.schedule_min_s <= at - now + 1 <= settings.schedule_max_s + 1:
        raise errors.invalid("The specified scheduled publish time is invalid")
    return at


@dataclass(slots=True, eq=False)
class Video:
    """A film of a Page.

    Attributes:
        kind: The way it goes: ``reel``, ``story`` or ``video``.
        showing: None until it is finished.
        ready_at: When processing ends; None until all bytes are there.
        failure: The code with which it fails, if it does.
        post_id: The post that it is seen in.
    """

    id: str
    page: Page
    kind: Literal["reel", "story", "video"]
    upload: Upload
    settings: FacebookSettings
    created_at: float
    post_id: str
    title: str = ""
    description: str = ""
    showing: Showing | None = None
    ready_at: float | None = None
    failure: int | None = None
    thumbnails: int = 0
    captions: list[str] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)

    def arrived(self, now: float) -> None:
        """Begin to process it: all bytes are there."""
        file, settings = self.upload.file, self.settings
        self.ready_at = now + settings.processing_s
        if file.kind not in VIDEOS:
            self.failure = FAILURES["format"]
        elif not self._lasts_well():
            self.failure = FAILURES["duration"]
        else:
            self.failure = FAILURES.get(settings.outcome)

    def _lasts_well(self) -> bool:
        shortest, longest = LENGTHS_S[self.kind]
        seconds = self.upload.file.duration_s
        return seconds is None or shortest <= seconds <= longest

    def seen_at(self) -> float | None:
        """Return from when on it is seen."""
        at = self.showing.at if self.showing else None
        if at is None or self.ready_at is None or self.failure:
            return None
        return max(at, self.ready_at)

    def is_public(self, clock: Clock) -> bool:
        """Tell whether it is seen now."""
        at = self.seen_at()
        return at is not None and clock.now() >= at

    def waits(self, clock: Clock) -> bool:
        """Tell whether it is scheduled and not yet seen."""
        scheduled = self.showing is not None and self.showing.scheduled
        return scheduled and not self.failure and not self.is_public(clock)

    def node(self, clock: Clock) -> dict[str, Any]:
        """Return what can be read of it."""
        public, showing = self.is_public(clock), self.showing
        scheduled = showing.at if showing and showing.scheduled else None
        way = {"reel": "reel", "story": "stories"}.get(self.kind, "watch")
        matches = {"status": "completed", "matches_found": False}
        return {
            "id": self.id,
            "title": self.title or None,
            "description": self.description or None,
            "published": public,
            "status": self.status(clock),
            "permalink_url": f"/{way}/{self.id}/",
            "post_id": self.post_id if public else None,
            "created_time": graph_time(self.seen_at() or self.created_at),
            "updated_time": graph_time(self.seen_at() or self.created_at),
            "scheduled_publish_time": None if scheduled is None else int(scheduled),
            "from": {"id": self.page.id, "name": self.page.name},
            "copyright_check_information": {"status": matches},
        }

    def status(self, clock: Clock) -> dict[str, Any]:
        """Return the field ``status``."""
        done = self.settings.phase_word
        ready = self.ready_at is not None and clock.now() >= self.ready_at
        sent = {"status": done if self.upload.complete else "in_progress"}
        uploading = sent | {self.settings.bytes_field: self.upload.file.size}
        processing: dict[str, Any] = {"status": "not_started"}
        word = "processing" if self.upload.complete else "uploading"
        if ready:
            word, processing = "ready", {"status": done}
        elif self.ready_at is not None and not self.settings.error_early:
            processing = {"status": "in_progress"}
        if self.failure and (ready or self.settings.error_early):
            told = {"code": self.failure, "message": f"Error {self.failure}"}
            processing |= {"errors": [told]}
            if ready:
                word, processing = "error", processing | {"status": "error"}
        return {
            "video_status": word,
            "processing_progress": 100 if ready else 0,
            "uploading_phase": uploading,
            "processing_phase": processing,
            "publishing_phase": self._publishing(clock),
            "copyright_check_status": {"status": done, "matches_found": False},
        }

    def _publishing(self, clock: Clock) -> dict[str, Any]:
        showing, done = self.showing, self.settings.phase_word
        ready = self.ready_at is not None and clock.now() >= self.ready_at
        if showing is None:
            return {"status": "not_started"}
        if self.failure and ready:
            return {"status": "error", "publish_status": "error"}
        if showing.at is None:
            return {"status": "not_started", "publish_status": "draft"}
        if self.is_public(clock):
            at = graph_time(self.seen_at() or 0)
            seen = {"publish_status": "published", "publish_time": at}
            return {"status": done, **seen}
        if showing.scheduled:
            at = graph_time(showing.at)
            waiting = {"publish_status": "scheduled", "publish_time": at}
            return {"status": "not_started", **waiting}
        return {"status": "in_progress"}

    def as_post(self, clock: Clock) -> dict[str, Any]:
        """Return the post that it is seen in."""
        address = f"https://www.facebook.com/reel/{self.id}/"
        target = {"id": self.id, "url": address}
        return {
            **_post_node(self.post_id, self.description, self.seen_at(), address),
            "full_picture": _picture(self.post_id),
            "is_published": self.is_public(clock),
            "attachments": {"data": [{"media_type": "video", "target": target}]},
        }

    def post(self, clock: Clock) -> Post:
        """Return it as the page shows it."""
        status = self.status(clock)
        phase = status["publishing_phase"]
        state = phase.get("publish_status", phase["status"])
        text = f"{self.title}\n{self.description}".strip()
        scheduled = self.waits(clock) and self.showing and self.showing.at
        return Post(
            id=self.id,
            kind=self.kind,
            account=self.page.name,
            text=text,
            state=f"{status['video_status']}, {state}",
            at=iso(self.created_at),
            publish_at=iso(scheduled) if scheduled else None,
            media=self.upload.file.id,
            media_type=self.upload.file.kind,
        )


@dataclass(slots=True, eq=False)
class Photo:
    """A picture; *used* when it was shown in a post."""

    id: str
    page: Page
    file: MediaFile
    used: bool = False


@dataclass(slots=True, eq=False)
class PagePost:
    """A text, a link, or photos."""

    id: str
    page: Page
    kind: Literal["status", "link", "photo", "story"]
    message: str
    showing: Showing
    created_at: float
    link: str | None = None
    photos: list[Photo] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)

    def node(self, clock: Clock) -> dict[str, Any]:
        """Return what can be read of it."""
        at = self.showing.at
        address = f"https://www.facebook.com/{self.id.replace('_', '/posts/')}"
        items = [
            {"media_type": "photo", "target": {"id": photo.id, "url": address}}
            for photo in self.photos
        ]
        if self.link:
            items = [{"media_type": "link", "target": {"url": self.link}}]
        scheduled = self.showing.scheduled and at
        return {
            **_post_node(self.id, self.message, at or self.created_at, address),
            "is_published": self.showing.is_public(clock),
            "scheduled_publish_time": int(scheduled) if scheduled else None,
            "full_picture": _picture(self.id) if items else None,
            "attachments": {"data": items} if items else None,
        }

    def post(self, clock: Clock) -> Post:
        """Return it as the page shows it."""
        waits, public = self.showing.waits(clock), self.showing.is_public(clock)
        at = self.showing.at if waits else None
        file = self.photos[0].file if self.photos else None
        text = "\n".join(part for part in (self.message, self.link) if part)
        return Post(
            id=self.id,
            kind=self.kind,
            account=self.page.name,
            text=text,
            state="scheduled" if waits else "published" if public else "unpublished",
            at=iso(self.created_at),
            publish_at=None if at is None else iso(at),
            media=file.id if file else None,
            media_type=file.kind if file else None,
        )


def _post_node(
    id_: str, message: str, at: float | None, address: str
) -> dict[str, Any]:
    return {
        "id": id_,
        "message": message or None,
        "created_time": None if at is None else graph_time(at),
        "permalink_url": address,
    }


def _picture(post: str) -> str:
    return f"https://scontent.example/{post}.jpg"


def check_text(form: Form) -> None:
    """Check the lengths of what is said.

    Raises:
        Refusal: One is too long.
    """
    for name in ("message", "description", "caption"):
        if len(form.fields.get(name, "")) > MESSAGE_CHARS:
            raise errors.invalid(f"The parameter {name} is too long")
    if len(form.fields.get("title", "")) > TITLE_CHARS:
        raise errors.invalid("The parameter title is too long")
