"""What is going to be a post, and what has become one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nexus_actors.sandbox.base import Clock, Post, iso
from nexus_actors.sandbox.forms import Form
from nexus_actors.sandbox.media import MediaFile
from nexus_actors.sandbox.vendors.meta import errors
from nexus_actors.sandbox.vendors.meta.graph import flag, graph_time, listed
from nexus_actors.sandbox.vendors.meta.rupload import Upload

from .settings import FAILURES, Account, InstagramSettings


FILMS: Final = {"REELS", "VIDEO", "STORIES"}
KINDS: Final = {*FILMS, "CAROUSEL", "IMAGE"}

CAPTION_CHARS: Final = 2200
HASHTAGS: Final = 30
MENTIONS: Final = 20
TAGS: Final = 20
CAROUSEL: Final = range(2, 11)
COLLABORATORS: Final = 3
ALT_CHARS: Final = 1000
IMAGE_BYTES: Final = 8 * 2**20
REEL_BYTES: Final = 300 * 10**6
STORY_BYTES: Final = 100 * 10**6

SHORTEST_S: Final = 3

VIDEOS: Final = {"video/mp4", "video/quicktime"}


@dataclass(slots=True, eq=False)
class Container:
    """Media on its way to a post.

    Attributes:
        kind: Its ``media_type``; ``IMAGE`` where none was given.
        failure: The sub-code with which it fails, if it does.
        upload: The file, if it is sent.
        file: The file, if it was fetched.
    """

    id: str
    account: Account
    kind: str
    caption: str
    is_item: bool
    created_at: float
    settings: InstagramSettings
    details: dict[str, str]
    ready_at: float | None = None
    failure: int | None = None
    upload: Upload | None = None
    file: MediaFile | None = None
    children: list[Container] = field(default_factory=list)
    media: str | None = None

    def status(self, clock: Clock) -> str:
        """Return the ``status_code``."""
        if self.media:
            return "PUBLISHED"
        if clock.now() >= self.created_at + self.settings.container_s:
            return "EXPIRED"
        if self.ready_at is None or clock.now() < self.ready_at:
            return "IN_PROGRESS"
        return "ERROR" if self.failure else "FINISHED"

    def node(self, clock: Clock) -> dict[str, Any]:
        """Return what can be read of it."""
        code = self.status(clock)
        return {
            "id": self.id,
            "status_code": code,
            "status": _told(code, self.failure),
            "video_status": self._video_status(code) if self.kind in FILMS else None,
            "copyright_check_status": {"status": "completed", "matches_found": False},
        }

    def _video_status(self, code: str) -> dict[str, Any]:
        file = self.upload.file if self.upload else self.file
        complete = not self.upload or self.upload.complete
        state = {"ERROR": "error", "IN_PROGRESS": "in_progress"}.get(code, "complete")
        return {
            "uploading_phase": {
                "status": "complete" if complete else "in_progress",
                self.settings.bytes_field: file.size if file else 0,
            },
            "processing_phase": {"status": state if complete else "not_started"},
        }

    @property
    def files(self) -> list[MediaFile]:
        """Return its media, and those of its items."""
        own = self.upload.file if self.upload else self.file
        inner = [file for child in self.children for file in child.files]
        return ([own] if own else []) + inner

    @property
    def product(self) -> str:
        """Return the ``media_product_type``."""
        if self.kind == "STORIES":
            return "STORY"
        # a film in the feed is a reel
        return "REELS" if self.kind in {"REELS", "VIDEO"} else "FEED"

    @property
    def media_type(self) -> str:
        """Return the ``media_type`` of the post."""
        if self.kind == "CAROUSEL":
            return "CAROUSEL_ALBUM"
        film = any((file.kind or "").startswith("video/") for file in self.files)
        return "VIDEO" if film else "IMAGE"


@dataclass(slots=True, eq=False)
class Media:
    """A post."""

    id: str
    container: Container
    shortcode: str
    published_at: float
    comments: list[dict[str, Any]] = field(default_factory=list)

    @property
    def permalink(self) -> str:
        """Return its address."""
        place = {"STORY": "stories/sandbox", "REELS": "reel"}
        kind = place.get(self.container.product, "p")
        return f"https://www.instagram.com/{kind}/{self.shortcode}/"

    def node(self) -> dict[str, Any]:
        """Return what can be read of it."""
        container = self.container
        return {
            "id": self.id,
            "caption": container.caption or None,
            "media_type": container.media_type,
            "media_product_type": container.product,
            "permalink": self.permalink,
            "shortcode": self.shortcode,
            "timestamp": graph_time(self.published_at),
            "username": container.account.username,
            "owner": {"id": container.account.id},
            "media_url": f"https://scontent.example/{self.id}",
            "thumbnail_url": f"https://scontent.example/{self.id}.jpg",
            "is_comment_enabled": True,
            "like_count": 0,
            "comments_count": len(self.comments),
        }

    def post(self) -> Post:
        """Return it as the page shows it."""
        files = self.container.files
        return Post(
            id=self.id,
            kind=self.container.product,
            account=f"@{self.container.account.username}",
            text=self.container.caption,
            state="PUBLISHED",
            at=iso(self.published_at),
            media=files[0].id if files else None,
            media_type=files[0].kind if files else None,
        )


def check_creation(form: Form, account: Account) -> str:
    """Check the parameters of a container; return its kind.

    Raises:
        Refusal: One of them breaks a rule.
    """
    fields = form.fields
    if "scheduled_publish_time" in fields:
        raise errors.refusal(3, "(#3) User must be on whitelist")
    kind = fields.get("media_type", "IMAGE")
    if kind not in KINDS:
        text = "The media type is unknown"
        raise errors.invalid(text, 2207023)
    is_item = flag(form, "is_carousel_item", default=False)
    if is_item and "is_ai_generated" in fields:
        raise errors.invalid("is_ai_generated goes with the carousel")
    _check_caption(fields.get("caption", ""))
    _check_tags(listed(form, "user_tags"), kind)
    if len(listed(form, "collaborators")) > COLLABORATORS:
        raise errors.invalid("Too many collaborators")
    if len(fields.get("alt_text", "")) > ALT_CHARS:
        raise errors.invalid("alt_text is too long")
    if "trial_params" in fields and not account.trial_reels:
        text = "The account cannot make trial reels"
        raise errors.invalid(text, 2207081)
    for name in ("image_url", "video_url", "cover_url"):
        if not fields.get(name, "").isascii():
            raise errors.refusal(9004, f"Invalid {name}", subcode=2207052)
    return kind


def source_of(form: Form, kind: str) -> str | None:
    """Return the URL of the media; None for a file that will be sent.

    Raises:
        Refusal: There is none, or two.
    """
    given = [form.fields.get(name) for name in ("image_url", "video_url")]
    urls = [url for url in given if url]
    resumable = form.fields.get("upload_type") == "resumable"
    if resumable and kind in FILMS and not urls:
        return None
    wanted = {"IMAGE": given[:1], "STORIES": given}.get(kind, given[1:])
    if resumable or len(urls) != 1 or urls[0] not in wanted:
        raise errors.invalid("The parameter image_url or video_url is required")
    return urls[0]


def check_image(file: MediaFile) -> None:
    """Check a picture that was fetched.

    Raises:
        Refusal: It is too large, or no JPEG.
    """
    if file.size > IMAGE_BYTES:
        text = "The image is too large to download. It should be less than 8 MiB."
        raise errors.refusal(36000, text, subcode=2207004)
    if file.kind != "image/jpeg":
        text = "The image format is not supported"
        raise errors.refusal(36001, text, subcode=2207005)


def flaw(container: Container, file: MediaFile) -> int | None:
    """Return the sub-code with which a film fails, by what it is."""
    story = container.kind == "STORIES"
    longest, largest = (60, STORY_BYTES) if story else (900, REEL_BYTES)
    seconds = file.duration_s
    wrong_length = seconds is not None and not SHORTEST_S <= seconds <= longest
    if file.kind not in VIDEOS or file.size > largest or wrong_length:
        return FAILURES["unsupported_format"]
    return None


def _check_caption(caption: str) -> None:
    tags = re.findall(r"(?<!\S)#\w+", caption)
    mentions = re.findall(r"(?<!\S)@\w+", caption)
    if len(caption) > CAPTION_CHARS or len(tags) > HASHTAGS or len(mentions) > MENTIONS:
        text = "The caption was too long, or had too many hashtags or mentions"
        raise errors.refusal(36004, text, subcode=2207010)


def _check_tags(tags: Sequence[Any], kind: str) -> None:
    if len(tags) > TAGS:
        raise errors.invalid("Too many tags", 2207040)
    for tag in tags:
        if not isinstance(tag, Mapping) or "username" not in tag:
            raise errors.invalid("Param user_tags must be an array of tags")
        where = [tag.get(axis) for axis in ("x", "y")]
        if kind == "IMAGE" and not all(_is_share(value) for value in where):
            raise errors.invalid("The tag needs a position", 2207035)


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 1


def _told(code: str, failure: int | None) -> str:
    words = {
        "PUBLISHED": "Published: Media has been published.",
        "EXPIRED": "Expired: Media was not published within 24 hours.",
        "IN_PROGRESS": "In Progress: Media is still being processed.",
        "FINISHED": "Finished: Media has been uploaded and is ready to be published.",
    }
    return words.get(code, f"Error: Media upload has failed with error code {failure}")
