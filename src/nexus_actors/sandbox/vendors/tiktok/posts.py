"""A post on its way: what was said of it, its bytes, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nexus_actors.sandbox.base import Clock, Effect, Post, iso
from nexus_actors.sandbox.media import MediaFile

from . import errors
from .settings import Creator, TikTokSettings


#: What the pages call MB may be 10**6 or 2**20 bytes; the narrower reading is taken.
CHUNK_MIN: Final = 5 * 2**20
CHUNK_MAX: Final = 64 * 10**6
CHUNKS_MAX: Final = 1000
VIDEO_BYTES: Final = 4 * 2**30
PHOTO_BYTES: Final = 20 * 10**6
PHOTOS_MAX: Final = 35

#: The limits of text, in UTF-16 code units.
CAPTION: Final = 2200
PHOTO_TITLE: Final = 90
PHOTO_TEXT: Final = 4000

VIDEOS: Final = {"video/mp4", "video/quicktime", "video/webm"}
PHOTOS: Final = {"image/jpeg", "image/webp"}

PUBLIC: Final = "PUBLIC_TO_EVERYONE"

RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """How a file will come."""

    size: int
    chunk: int
    count: int

    def is_end(self, last: int) -> bool:
        """Tell whether a chunk ends with the byte *last*."""
        if last == self.size - 1:
            return True
        number, rest = divmod(last + 1, self.chunk)
        return rest == 0 and number < self.count


@dataclass(slots=True, eq=False)
class Publication:
    """What a publish id stands for.

    Attributes:
        kind: A video or photos.
        draft: Whether a person must finish it in the app.
        pulled: Whether TikTok fetches the media.
        committed_at: When all was there, or the download began.
        failure: Why it fails, if it does.
        finishes_s: After how long a draft is posted.
        post_ids: Those of the post, once it is public.
    """

    id: str
    creator: Creator
    kind: str
    draft: bool
    pulled: bool
    info: dict[str, Any]
    created_at: float
    files: list[MediaFile]
    settings: TikTokSettings
    committed_at: float | None = None
    failure: str | None = None
    cancelled: bool = False
    effect: Effect | None = None
    post_ids: list[int] = field(default_factory=list)

    @property
    def privacy(self) -> str:
        """Return who may see it; a draft has no answer yet."""
        return str(self.info.get("privacy_level", "SELF_ONLY"))

    @property
    def caption(self) -> str:
        """Return its text."""
        texts = (self.info.get("title", ""), self.info.get("description", ""))
        return "\n".join(text for text in texts if text)

    def done_at(self) -> float | None:
        """Return when processing ends."""
        at = self.committed_at
        return None if at is None else at + self.settings.processing_s

    def status(self, clock: Clock) -> str:
        """Return the state, in TikTok's word."""
        done = self.done_at()
        if self.cancelled:
            return "FAILED"
        if done is None or clock.now() < done:
            return "PROCESSING_DOWNLOAD" if self.pulled else "PROCESSING_UPLOAD"
        if self.failure:
            return "FAILED"
        if self.draft:
            finishes = self.settings.user_finishes_s
            if finishes is None or clock.now() < done + finishes:
                return "SEND_TO_USER_INBOX"
        return "PUBLISH_COMPLETE"

    def public_ids(self, clock: Clock) -> list[int]:
        """Return the ids of the post, once moderation has passed it."""
        done = self.done_at()
        if self.status(clock) != "PUBLISH_COMPLETE" or done is None:
            return []
        finished = done + (self.settings.user_finishes_s or 0) * self.draft
        public = self.draft or self.privacy == PUBLIC
        passed = clock.now() >= finished + self.settings.moderation_s
        return self.post_ids if public and passed else []

    def told(self, clock: Clock) -> dict[str, Any]:
        """Return what ``status/fetch`` says."""
        size = sum(file.size for file in self.files)
        data: dict[str, Any] = {"status": self.status(clock)}
        data["downloaded_bytes" if self.pulled else "uploaded_bytes"] = size
        if data["status"] == "FAILED":
            data["fail_reason"] = (
                "publish_cancelled" if self.cancelled else self.failure
            )
        if data["status"] == "PUBLISH_COMPLETE":
            # their spelling
            data["publicaly_available_post_id"] = self.public_ids(clock)
        return data

    def post(self, clock: Clock) -> Post:
        """Return it as the page shows it."""
        media = self.files[0] if self.files else None
        return Post(
            id=self.id,
            kind="draft" if self.draft else self.kind,
            account=f"@{self.creator.username}",
            text=self.caption,
            state=f"{self.status(clock)}, {self.privacy}",
            at=iso(self.created_at),
            media=media.id if media else None,
            media_type=media.kind if media else None,
        )


@dataclass(slots=True, eq=False)
class Upload:
    """A file on its way, below a URL of its own that is good for a while."""

    publication: Publication
    plan: ChunkPlan
    file: MediaFile

    def progress(self) -> dict[str, str]:
        """Return the header that says how much is there."""
        # the count of the bytes, as it is documented, and not the number of the last
        return {"Content-Range": f"bytes 0-{self.file.size}/{self.plan.size}"}


def check_plan(source: Mapping[str, Any]) -> ChunkPlan:
    """Return how the file will come.

    Raises:
        Refusal: TikTok does not take a file in such chunks.
    """
    size, chunk = _count(source, "video_size"), _count(source, "chunk_size")
    count = _count(source, "total_chunk_count")
    if size > VIDEO_BYTES:
        raise errors.invalid("The video is too large")
    if count != size // chunk or count > CHUNKS_MAX:
        raise errors.invalid("The total chunk count is invalid")
    if chunk > CHUNK_MAX or (chunk < CHUNK_MIN and chunk != size):
        raise errors.invalid("The chunk size is invalid")
    if size > CHUNK_MAX and count == 1:
        raise errors.invalid("The total chunk count is invalid")
    return ChunkPlan(size, chunk, count)


def _count(source: Mapping[str, Any], name: str) -> int:
    value = source.get(name)
    if not isinstance(value, int) or value < 1:
        raise errors.invalid(f"{name} is invalid")
    return value


def check_video(info: Mapping[str, Any]) -> None:
    """Check the ``post_info`` of a video.

    Raises:
        Refusal: A field is wrong.
    """
    flags = ("disable_duet", "disable_stitch", "disable_comment", "is_aigc")
    _check_kinds(info, flags, "title", "privacy_level")
    _check_length(info, "title", CAPTION)
    if type(info.get("video_cover_timestamp_ms", 0)) is not int:
        raise errors.invalid("video_cover_timestamp_ms is invalid")


def check_photos(info: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    """Check ``post_info`` and ``source_info`` of photos.

    Raises:
        Refusal: A field is wrong.
    """
    flags = ("disable_comment", "auto_add_music")
    _check_kinds(info, flags, "title", "description", "privacy_level")
    _check_length(info, "title", PHOTO_TITLE)
    _check_length(info, "description", PHOTO_TEXT)
    urls = source.get("photo_images")
    if not isinstance(urls, list) or not 1 <= len(urls) <= PHOTOS_MAX:
        raise errors.invalid("The number of photo_images is invalid")
    if source.get("source") != "PULL_FROM_URL":
        raise errors.invalid("source is invalid")
    cover = source.get("photo_cover_index", 0)
    if type(cover) is not int or not 0 <= cover < len(urls):
        raise errors.invalid("photo_cover_index is invalid")


def _check_kinds(info: Mapping[str, Any], flags: tuple[str, ...], *texts: str) -> None:
    brands = ("brand_content_toggle", "brand_organic_toggle")
    for name in (*flags, *brands):
        if not isinstance(info.get(name, False), bool):
            raise errors.invalid(f"{name} is invalid")
    for name in texts:
        if not isinstance(info.get(name, ""), str):
            raise errors.invalid(f"{name} is invalid")
    if info.get("brand_content_toggle") and info.get("privacy_level") == "SELF_ONLY":
        raise errors.invalid("Branded content cannot be private")


def _check_length(info: Mapping[str, Any], name: str, limit: int) -> None:
    if len(info.get(name, "").encode("utf-16-le")) // 2 > limit:
        raise errors.invalid(f"{name} is too long")
