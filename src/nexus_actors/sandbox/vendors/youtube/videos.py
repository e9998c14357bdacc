"""YouTube's videos: what may be said of one, and how it is shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, get_args

from nexus_actors.sandbox.base import Clock, Post, iso
from nexus_actors.sandbox.media import MediaFile

from . import errors
from .settings import Channel, Failure, Rejection


#: What a caller may write of each part, and as what; the rest is ignored or refused.
WRITABLE: Final[dict[str, dict[str, type]]] = {
    "snippet": {
        "title": str,
        "description": str,
        "tags": list,
        "categoryId": str,
        "defaultLanguage": str,
        "defaultAudioLanguage": str,
    },
    "status": {
        "privacyStatus": str,
        "publishAt": str,
        "license": str,
        "embeddable": bool,
        "publicStatsViewable": bool,
        "selfDeclaredMadeForKids": bool,
        "containsSyntheticMedia": bool,
    },
    "recordingDetails": {"recordingDate": str, "locationDescription": str},
    "localizations": {},
    "paidProductPlacementDetails": {"hasPaidProductPlacement": bool},
}

#: What is shown of these parts, but is not the caller's to say.
READ_ONLY: Final = {
    "snippet": {
        "publishedAt",
        "channelId",
        "channelTitle",
        "thumbnails",
        "liveBroadcastContent",
        "localized",
    },
    "status": {"uploadStatus", "failureReason", "rejectionReason", "madeForKids"},
    "recordingDetails": {"location"},
}

#: Parts that can be read, and those that only the owner can read.
PARTS: Final = {*WRITABLE, "id", "contentDetails", "statistics", "player"}
OWNERS_PARTS: Final = {"fileDetails", "processingDetails"}

#: The categories that a video may be in, of the United States.
CATEGORIES: Final = {
    "1": "Film & Animation",
    "2": "Autos & Vehicles",
    "10": "Music",
    "15": "Pets & Animals",
    "17": "Sports",
    "19": "Travel & Events",
    "20": "Gaming",
    "22": "People & Blogs",
    "23": "Comedy",
    "24": "Entertainment",
    "25": "News & Politics",
    "26": "Howto & Style",
    "27": "Education",
    "28": "Science & Technology",
    "29": "Nonprofits & Activism",
}
DEFAULT_CATEGORY: Final = "22"

TITLE_CHARS: Final = 100
DESCRIPTION_BYTES: Final = 5000
TAGS_CHARS: Final = 500


@dataclass(slots=True, eq=False)
class Video:
    """One upload.

    Attributes:
        metadata: The writable parts.
        outcome: What processing comes to, at *processed_at*.
    """

    id: str
    channel: str
    metadata: dict[str, dict[str, Any]]
    file: MediaFile
    file_name: str
    created_at: float
    processed_at: float
    outcome: str
    locked_private: bool = False
    has_thumbnail: bool = False
    captions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def succeeds(self) -> bool:
        """Tell whether processing comes to a good end."""
        return self.outcome == "processed"

    def publish_at(self) -> float | None:
        """Return when it becomes public by itself."""
        text = self.metadata["status"].get("publishAt")
        return None if text is None else parse_time(text)

    def privacy(self, clock: Clock) -> str:
        """Return who may see it now."""
        if self.locked_private:
            return "private"
        at = self.publish_at()
        if at is not None and clock.now() >= at:
            return "public"
        # absent means public
        return str(self.metadata["status"].get("privacyStatus", "public"))

    def status(self, clock: Clock) -> dict[str, Any]:
        """Return the part ``status`` as it is now."""
        written, privacy = self.metadata["status"], self.privacy(clock)
        shown = {
            "license": "youtube",
            "embeddable": True,
            "publicStatsViewable": True,
            "madeForKids": written.get("selfDeclaredMadeForKids", False),
            **written,
            "privacyStatus": privacy,
            "uploadStatus": "uploaded",
        }
        if privacy != "private":
            shown.pop("publishAt", None)
        if clock.now() < self.processed_at:
            return shown
        if self.outcome in get_args(Failure):
            return shown | {"uploadStatus": "failed", "failureReason": self.outcome}
        if self.outcome in get_args(Rejection):
            return shown | {"uploadStatus": "rejected", "rejectionReason": self.outcome}
        return shown | {"uploadStatus": "processed"}

    def post(self, channel: str, clock: Clock) -> Post:
        """Return it as the page shows it."""
        status, snippet, at = self.status(clock), self.metadata["snippet"], None
        if "publishAt" in status:
            at = iso(parse_time(status["publishAt"]))
        return Post(
            id=self.id,
            kind="video",
            account=channel,
            text=f"{snippet['title']}\n{snippet.get('description', '')}".strip(),
            state=f"{status['uploadStatus']}, {status['privacyStatus']}",
            at=iso(self.created_at),
            publish_at=at,
            media=self.file.id,
            media_type=self.file.kind,
        )


def resource(
    video: Video, channel: Channel, parts: set[str], clock: Clock
) -> dict[str, Any]:
    """Return the video resource with *parts*."""
    shown = {
        name: READERS[name](video, channel, clock)
        if name in READERS
        else video.metadata.get(name)
        for name in sorted(parts - {"id"})
    }
    shown = {name: part for name, part in shown.items() if part}
    return tagged("video", video.id, **shown)


def stats(
    video: Video, parts: set[str], statistics: Mapping[str, str], clock: Clock
) -> dict[str, Any]:
    """Return what ``batchGetStats`` tells of a video."""
    details = _content_details(video, _NOBODY, clock)
    whole: dict[str, Any] = {
        "snippet": {"publishTime": format_time(video.created_at)},
        "contentDetails": {"duration": details["duration"]},
        "statistics": {n: v for n, v in statistics.items() if n != "favoriteCount"},
    }
    shown = {name: part for name, part in whole.items() if name in parts}
    return tagged("videoStats", video.id, **shown)


_NOBODY: Final = Channel()


def tagged(kind: str, id_: str | None = None, **content: Any) -> dict[str, Any]:
    """Return a resource of *kind*, with the tag that changes with its content."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    shown = {"kind": f"youtube#{kind}", "etag": digest[:27]}
    return shown | ({"id": id_} if id_ else {}) | content


def _snippet(video: Video, channel: Channel, clock: Clock) -> dict[str, Any]:
    written = video.metadata["snippet"]
    at = video.publish_at()
    public_at = at if at is not None and clock.now() >= at else video.created_at
    description = written.get("description", "")
    return {
        **written,
        "description": description,
        "categoryId": written.get("categoryId", DEFAULT_CATEGORY),
        "channelId": channel.id,
        "channelTitle": channel.title,
        "publishedAt": format_time(public_at),
        "liveBroadcastContent": "none",
        "localized": {"title": written["title"], "description": description},
        "thumbnails": thumbnails(video.id),
    }


def _status(video: Video, _: Channel, clock: Clock) -> dict[str, Any]:
    return video.status(clock)


def _content_details(video: Video, _: Channel, clock: Clock) -> dict[str, Any]:
    known = clock.now() >= video.processed_at
    seconds = int(video.file.duration_s or 0) if known else 0
    return {
        # a day of none, as long as it is not known
        "duration": f"PT{seconds}S" if seconds else "P0D",
        "caption": "true" if video.captions else "false",
        "definition": "hd",
        "dimension": "2d",
        "hasCustomThumbnail": video.has_thumbnail,
        "licensedContent": False,
        "projection": "rectangular",
    }


def _file_details(video: Video, _: Channel, __: Clock) -> dict[str, Any]:
    kind, seconds = video.file.kind or "", video.file.duration_s
    duration = {"durationMs": str(round(seconds * 1000))} if seconds else {}
    return duration | {
        "fileName": video.file_name,
        "fileSize": str(video.file.size),
        "fileType": "video" if kind.startswith("video/") else "other",
    }


def _processing_details(video: Video, _: Channel, clock: Clock) -> dict[str, Any]:
    details = {"fileDetailsAvailability": "available", "processingStatus": "processing"}
    if clock.now() < video.processed_at:
        return details
    if video.outcome in get_args(Failure):
        reason = {"processingFailureReason": "transcodeFailed"}
        return details | {"processingStatus": "failed"} | reason
    return details | {"processingStatus": "succeeded"}


def _player(video: Video, _: Channel, __: Clock) -> dict[str, Any]:
    source = f"//www.youtube.com/embed/{video.id}"
    return {"embedHtml": f'<iframe width="480" height="270" src="{source}"></iframe>'}


READERS: Final[Mapping[str, Callable[[Video, Channel, Clock], dict[str, Any]]]] = {
    "snippet": _snippet,
    "status": _status,
    "contentDetails": _content_details,
    "fileDetails": _file_details,
    "processingDetails": _processing_details,
    "player": _player,
}


def thumbnails(video_id: str) -> dict[str, Any]:
    """Return the addresses under which a video's pictures are."""
    sizes = {"default": (120, 90), "medium": (320, 180), "high": (480, 360)}
    return {
        name: {
            "url": f"https://i.ytimg.com/vi/{video_id}/{name}.jpg",
            "width": width,
            "height": height,
        }
        for name, (width, height) in sizes.items()
    }


def checked(body: Any, parts: set[str]) -> dict[str, dict[str, Any]]:
    """Return the writable parts of a video's metadata.

    Raises:
        Refusal: It says what YouTube does not take.
    """
    if not isinstance(body, dict):
        raise errors.bad_request("Invalid JSON payload received.")
    known = {*WRITABLE, *PARTS, *OWNERS_PARTS, "kind", "etag"}
    for name in body:
        if name not in known:
            raise _unknown_name(name, "video")
        if name in WRITABLE and name not in parts:
            message = f"The request metadata contains the part {name}."
            raise errors.refusal(
                400, "unexpectedPart", message, domain="youtube.part", location="part"
            )
    metadata = {n: _checked_part(n, body.get(n, {})) for n in parts & set(WRITABLE)}
    for name in ("snippet", "status"):
        metadata.setdefault(name, {})
    _check_recording(metadata.get("recordingDetails", {}))
    if metadata.get("localizations") and "defaultLanguage" not in metadata["snippet"]:
        raise errors.invalid("defaultLanguageNotSet", "localizations")
    return metadata


def _checked_part(name: str, part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise _unknown_name(name, "video")
    if name == "localizations":
        return part
    kinds = WRITABLE[name]
    for key, value in part.items():
        if key not in kinds and key not in READ_ONLY.get(name, ()):
            raise _unknown_name(key, f"video.{name}")
        if key in kinds and not isinstance(value, kinds[key]):
            raise errors.bad_request(
                f"Invalid value at 'video.{name}.{key}' ({kinds[key].__name__})"
            )
    return {key: value for key, value in part.items() if key in kinds}


def _unknown_name(name: str, place: str) -> Exception:
    return errors.bad_request(
        f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': "
        "Cannot find field."
    )


def check_snippet(snippet: Mapping[str, Any]) -> None:
    """Check title, description, tags and category.

    Raises:
        Refusal: One of them breaks a rule.
    """
    title = snippet.get("title", "")
    if not 1 <= len(title) <= TITLE_CHARS or not title.strip() or _angled(title):
        text = "The request metadata specifies an invalid or empty video title."
        raise errors.invalid("invalidTitle", "snippet.title", text)
    description = snippet.get("description", "")
    if len(description.encode()) > DESCRIPTION_BYTES or _angled(description):
        text = "The request metadata specifies an invalid video description."
        raise errors.invalid("invalidDescription", "snippet.description", text)
    tags = snippet.get("tags", [])
    if not all(isinstance(tag, str) for tag in tags) or _size(tags) > TAGS_CHARS:
        text = "The request metadata specifies invalid video keywords."
        raise errors.invalid("invalidTags", "snippet.tags", text)
    if snippet.get("categoryId", DEFAULT_CATEGORY) not in CATEGORIES:
        text = "The request metadata specifies an invalid category ID."
        raise errors.invalid("invalidCategoryId", "snippet.categoryId", text)


def check_status(status: Mapping[str, Any], *, was_public: bool = False) -> None:
    """Check privacy, schedule and licence.

    Raises:
        Refusal: One of them breaks a rule.
    """
    privacy = status.get("privacyStatus", "public")
    if privacy not in {"public", "unlisted", "private"}:
        raise errors.bad_request("Invalid value at 'video.status.privacyStatus'")
    if status.get("license", "youtube") not in {"youtube", "creativeCommon"}:
        raise errors.bad_request("Invalid value at 'video.status.license'")
    if "publishAt" in status:
        try:
            parse_time(status["publishAt"])
            bad = privacy != "private" or was_public
        except ValueError:
            bad = True
        if bad:
            text = (
                "The request metadata specifies an invalid scheduled publishing time."
            )
            raise errors.invalid("invalidPublishAt", "status.publishAt", text)


def _check_recording(details: Mapping[str, Any]) -> None:
    try:
        parse_time(details.get("recordingDate", "2000-01-01T00:00:00Z"))
    except ValueError:
        place = "recordingDetails.recordingDate"
        raise errors.invalid("invalidRecordingDetails", place) from None


def _angled(text: str) -> bool:
    return "<" in text or ">" in text


def _size(tags: list[str]) -> int:
    """Count as YouTube does: commas between, and quotes around a tag with a space."""
    return sum(len(t) + 2 * (" " in t) for t in tags) + max(0, len(tags) - 1)


def parse_time(text: str) -> float:
    """Return the seconds since the epoch of an RFC 3339 time.

    Raises:
        ValueError: It is none, or without its offset.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None or "T" not in text.upper():
        raise ValueError("not RFC 3339")
    return time.timestamp()


def format_time(seconds: float) -> str:
    """Return RFC 3339, as YouTube writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
