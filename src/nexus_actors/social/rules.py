"""What each platform takes, as data, and the check of a post against it.

All that is wrong is told at once, each with the rule, the value and the limit.  The
numbers are the platforms' published ones; where a platform tells a live limit, the
adapter asks for it and that one counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from nexus_actors.core.errors import InvalidRequestError, RejectedError

from .models import Content, Kind, PostSettings


#: A hashtag or a mention, and where neither is one.
HASHTAG: Final = re.compile(r"(?<![\w/#&])#\w+")
MENTION: Final = re.compile(r"(?<![\w/@.])@[\w.]+")
URL: Final = re.compile(r"https?://\S+")

#: An endpoint of a range that has none.
ANY: Final = float("inf")

Unit = Literal["characters", "bytes", "UTF-16 units"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that a post breaks."""

    rule: str
    value: Any
    limit: Any

    def __str__(self) -> str:
        return f"{self.rule} is {self.value}, and {self.limit} is allowed"

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types."""
        return {"rule": self.rule, "value": self.value, "limit": str(self.limit)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """How long a text may be, and in what that is counted."""

    most: int
    unit: Unit = "characters"

    def size(self, text: str) -> int:
        """Return how long *text* is, counted as the platform does."""
        if self.unit == "bytes":
            return len(text.encode())
        if self.unit == "UTF-16 units":
            return len(text.encode("utf-16-le")) // 2
        return len(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number from *least* to *most*."""

    least: float = 0
    most: float = ANY

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        if self.most == ANY:
            return f"at least {self.least:g}"
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one kind of post on one platform may be.

    Attributes:
        text: Of title, description and hashtags as one; None where they are apart.
        needs: The fields without which there is no such post.
        takes: Fields that are not needed but have a meaning.
        images: How many pictures.
        picture: What each of them may be, where it is looked at before it is sent.
        containers: By ffprobe's names of formats.
        sides: Each side of the picture, in pixels.
        aspect: Width by height.
        words: What else a video must be, as `probe.probe` says it.
        advised: Likewise what it had better be: the platform may fail with another.
        clean: Whether marks in the picture are forbidden.
        waits: Whether the platform shows it at a time by itself.
    """

    text: Text | None = None
    title: Text | None = None
    description: Text | None = None
    tags: Text | None = None
    hashtags: int | None = None
    mentions: int | None = None
    forbidden: str = ""
    privacy: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    images: Range | None = None
    picture: Rules | None = None
    containers: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    size: Range = field(default_factory=Range)
    duration: Range = field(default_factory=Range)
    fps: Range = field(default_factory=Range)
    sides: Range = field(default_factory=Range)
    aspect: Range = field(default_factory=Range)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    advised: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: SAFE)
    clean: bool = False
    waits: bool = False


#: What every platform takes without fail; other files are the usual ones that do not
#: get through its processing.
SAFE: Final[Mapping[str, tuple[str, ...]]] = {
    "index": ("first",),
    "rate": ("fixed",),
    "range": ("SDR",),
    "scan": ("progressive",),
    "chroma": ("4:2:0",),
    "depth": ("8 bit",),
    "sound": ("some",),
}

#: "Content Publishing": image specifications; other widths are scaled.
_INSTAGRAM_PICTURE: Final = Rules(
    containers=("jpeg",),
    size=Range(least=1, most=8 * 2**20),
    aspect=Range(least=0.8, most=1.91),
)

#: "Photo": media specifications.
_TIKTOK_PICTURE: Final = Rules(
    containers=("jpeg", "webp"), size=Range(least=1, most=20 * 10**6)
)

_MP4 = ("mp4", "mov")
_VIDEO = ("video_path",)
_TIKTOK: Final[dict[str, Any]] = {
    "privacy": ("public", "friends", "followers", "private"),
    "containers": (*_MP4, "webm"),
    "codecs": ("h264", "hevc", "vp8", "vp9"),
    "fps": Range(least=23, most=60),
    "sides": Range(least=360, most=4096),
    "duration": Range(least=3, most=600),
    "size": Range(least=1, most=4 * 2**30),
    "clean": True,
}
_CAPTION: Final[dict[str, Any]] = {
    "text": Text(most=2200),
    "hashtags": 30,
    "mentions": 20,
}
_REEL: Final[dict[str, Any]] = {
    "containers": _MP4,
    "codecs": ("h264", "hevc"),
    "fps": Range(least=23, most=60),
    # "Content Publishing": reel and story specifications
    "words": {name: SAFE[name] for name in ("index", "scan", "chroma")},
}

#: By platform and kind; the first kind of a platform is that of a video by default.
RULES: Final[Mapping[str, Mapping[Kind, Rules]]] = {
    "youtube": {
        "video": Rules(
            title=Text(most=100),
            description=Text(most=5000, unit="bytes"),
            tags=Text(most=500),
            hashtags=60,  # with more, none counts
            forbidden="<>",
            privacy=("public", "unlisted", "private"),
            needs=(*_VIDEO, "title", "privacy"),
            takes=("thumbnail_path", "captions"),
            size=Range(least=1, most=256 * 2**30),
            duration=Range(most=43_200),
            advised={name: SAFE[name] for name in ("rate", "scan", "sound")},
            waits=True,
        ),
    },
    "tiktok": {
        "video": Rules(
            text=Text(most=2200, unit="UTF-16 units"),
            needs=(*_VIDEO, "privacy"),
            **_TIKTOK,
        ),
        "draft": Rules(
            text=Text(most=2200, unit="UTF-16 units"),
            needs=("media",),
            takes=("video_path", "image_paths"),
            images=Range(least=1, most=35),
            picture=_TIKTOK_PICTURE,
            **_TIKTOK,
        ),
        "photo": Rules(
            title=Text(most=90, unit="UTF-16 units"),
            description=Text(most=4000, unit="UTF-16 units"),
            privacy=_TIKTOK["privacy"],
            needs=("image_paths", "privacy"),
            images=Range(least=1, most=35),
            picture=_TIKTOK_PICTURE,
        ),
    },
    "instagram": {
        "reel": Rules(
            **_CAPTION,
            **_REEL,
            needs=_VIDEO,
            takes=("thumbnail_path",),
            size=Range(least=1, most=300 * 10**6),
            duration=Range(least=3, most=900),
            aspect=Range(least=0.01, most=10),
        ),
        "photo": Rules(
            **_CAPTION,
            needs=("image_paths",),
            images=Range(least=1, most=1),
            picture=_INSTAGRAM_PICTURE,
        ),
        "carousel": Rules(
            **_CAPTION,
            needs=("image_paths",),
            images=Range(least=2, most=10),
            picture=_INSTAGRAM_PICTURE,
        ),
        "story": Rules(
            **_REEL,
            text=Text(most=0),
            needs=("media",),
            takes=("video_path", "image_paths"),
            images=Range(least=1, most=1),
            picture=Rules(containers=("jpeg",), size=Range(least=1, most=8 * 2**20)),
            size=Range(least=1, most=100 * 10**6),
            duration=Range(least=3, most=60),
            aspect=Range(least=0.1, most=10),
        ),
    },
    "facebook": {
        "video": Rules(
            title=Text(most=255),
            description=Text(most=63_206),
            needs=_VIDEO,
            takes=("thumbnail_path",),
            containers=_MP4,
            codecs=("h264",),
            size=Range(least=1024, most=2 * 10**9),
            duration=Range(most=14_400),
            waits=True,
        ),
        "reel": Rules(
            title=Text(most=255),
            description=Text(most=63_206),
            needs=_VIDEO,
            containers=_MP4,
            codecs=("h264", "hevc", "vp9", "av1"),
            size=Range(least=1024),
            duration=Range(least=3, most=90),
            fps=Range(least=24, most=60),
            sides=Range(least=540),
            aspect=Range(least=0.55, most=0.58),
            # "Reels Publishing": video specifications
            words={name: SAFE[name] for name in ("rate", "scan", "chroma")},
            waits=True,
        ),
        "photo": Rules(
            text=Text(most=63_206),
            needs=("image_paths",),
            images=Range(least=1, most=10),
            # "Page Photos"
            picture=Rules(
                containers=("jpeg", "png", "gif", "bmp", "tiff"),
                size=Range(least=1, most=10 * 10**6),
            ),
            waits=True,
        ),
        "link": Rules(text=Text(most=63_206), takes=("link",), waits=True),
    },
}

#: What a field of the content is called where it is there under another name, too.
SAME: Final = {
    "video_path": ("video_path", "video_id"),
    "media": ("video_path", "video_id", "image_paths"),
}

#: The fields whose absence from a platform's rules is a refusal.
MEDIA: Final = ("video_path", "image_paths", "link", "thumbnail_path", "captions")


def kind_of(platform: str, content: Content, options: PostSettings) -> Kind:
    """Return as what a post is posted: what was asked for, or what its media are."""
    kinds = list(RULES.get(platform, {}))
    if options.kind is not None:
        return options.kind
    if content.video_path or content.video_id:
        return kinds[0] if kinds else "video"
    if content.image_paths:
        several = len(content.image_paths) > 1 and "carousel" in kinds
        return "carousel" if several else "photo"
    return "link"


def refuse(platform: str, content: Content, options: PostSettings) -> None:
    """Refuse what can be told to be wrong without a look at the media.

    Of a platform without rules here nothing can be told.

    Raises:
        InvalidRequestError: Naming every rule that is broken.
    """
    if found := list(broken(platform, content, options)):
        raise _refusal(platform, found, InvalidRequestError)


def refuse_media(platform: str, kind: Kind, media: Mapping[str, Any]) -> None:
    """Refuse a video that the platform does not take, by what a probe has read.

    Args:
        platform: The platform.
        kind: As what it is posted.
        media: What `probe.probe` returns, as far as it is known.

    Raises:
        RejectedError: Naming every rule that is broken.
    """
    rules = RULES.get(platform, {}).get(kind, Rules())
    found = list(_broken_media(rules, media))
    if found:
        raise _refusal(platform, found, RejectedError)


def refuse_pictures(
    platform: str, kind: Kind, pictures: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse pictures that the platform does not take, likewise.

    Args:
        platform: The platform.
        kind: As what they are posted.
        pictures: What `probe.probe_picture` returns of each; empty where nothing is
            known.

    Raises:
        RejectedError: Naming every rule that one of them breaks, and which.
    """
    rules = RULES.get(platform, {}).get(kind, Rules()).picture or Rules()
    found = [
        replace(violation, rule=f"image_paths.{number}.{violation.rule}")
        for number, picture in enumerate(pictures)
        for violation in _broken_media(rules, picture)
    ]
    if found:
        raise _refusal(platform, found, RejectedError)


def advice(platform: str, kind: Kind, media: Mapping[str, Any]) -> list[Violation]:
    """Return for what a platform may fail to process a video that it takes."""
    rules = RULES.get(platform, {}).get(kind)
    return list(_other_words(rules.advised, media)) if rules else []


def broken(
    platform: str, content: Content, options: PostSettings
) -> Iterator[Violation]:
    """Yield each rule that content and settings break."""
    kinds, kind = RULES.get(platform, {}), kind_of(platform, content, options)
    if not kinds:
        return
    if kind not in kinds:
        yield Violation(rule="kind", value=kind, limit=", ".join(kinds))
        return
    rules = kinds[kind]
    for name in rules.needs:
        names = SAME.get(name, (name,))
        given = [getattr(content, n, None) or getattr(options, n, None) for n in names]
        if not any(g.strip() if isinstance(g, str) else g for g in given):
            yield Violation(rule=name, value="missing", limit="none but a given one")
    for name in MEDIA:
        if getattr(content, name) and name not in (*rules.needs, *rules.takes):
            yield Violation(rule=name, value="given", limit=f"none with a {kind}")
    yield from _broken_settings(rules, options)
    if rules.images and content.image_paths:
        count = len(content.image_paths)
        if count not in rules.images:
            yield Violation(rule="images", value=count, limit=rules.images)
    yield from _broken_texts(rules, content)


def _broken_settings(rules: Rules, options: PostSettings) -> Iterator[Violation]:
    if options.privacy and options.privacy not in rules.privacy:
        allowed = ", ".join(rules.privacy) or "none"
        yield Violation(rule="privacy", value=options.privacy, limit=allowed)
    if options.schedule_mode == "platform":
        if not rules.waits:
            yield Violation(rule="schedule_mode", value="platform", limit="queue")
        elif options.privacy not in {None, "public"}:
            # what the platform shows by itself, it shows to all
            limit = "public with schedule_mode platform"
            yield Violation(rule="privacy", value=options.privacy, limit=limit)


def _broken_texts(rules: Rules, content: Content) -> Iterator[Violation]:
    texts = {
        "text": (rules.text, content.text()),
        "title": (rules.title, content.title),
        "description": (rules.description, content.description),
        "tags": (rules.tags, _quoted(content.tags)),
    }
    for name, (rule, text) in texts.items():
        if rule and rule.size(text) > rule.most:
            most = f"{rule.most} {rule.unit}"
            yield Violation(rule=name, value=rule.size(text), limit=most)
        if rule and (found := sorted(set(rules.forbidden) & set(text))):
            yield Violation(rule=name, value=" ".join(found), limit="none of them")
    counted = {
        "hashtags": (rules.hashtags, HASHTAG),
        "mentions": (rules.mentions, MENTION),
    }
    one = content.text() if rules.text else f"{content.title}\n{content.description}"
    for name, (allowed, pattern) in counted.items():
        count = len(pattern.findall(URL.sub("", one)))
        if allowed is not None and count > allowed:
            yield Violation(rule=name, value=count, limit=allowed)


def _quoted(tags: tuple[str, ...]) -> str:
    """Return tags as YouTube counts them: with commas, and quotes around spaces."""
    return ",".join(f'"{tag}"' if " " in tag else tag for tag in tags)


def _broken_media(rules: Rules, media: Mapping[str, Any]) -> Iterator[Violation]:
    words = {"container": rules.containers, "codec": rules.codecs, **rules.words}
    yield from _other_words(words, media)
    width, height = media.get("width"), media.get("height")
    aspect = round(width / height, 4) if width and height else None
    numbers = {
        "size": (rules.size, media.get("size")),
        "duration_s": (rules.duration, media.get("duration_s")),
        "fps": (rules.fps, media.get("fps")),
        "width": (rules.sides, width),
        "height": (rules.sides, height),
        "aspect": (rules.aspect, aspect),
    }
    for name, (limit, value) in numbers.items():
        if value is not None and value not in limit:
            yield Violation(rule=name, value=value, limit=limit)


def _other_words(
    words: Mapping[str, tuple[str, ...]], media: Mapping[str, Any]
) -> Iterator[Violation]:
    for name, known in words.items():
        if known and media.get(name) and media[name] not in known:
            yield Violation(rule=name, value=media[name], limit=", ".join(known))


def _refusal(
    platform: str,
    found: list[Violation],
    kind: type[InvalidRequestError | RejectedError],
) -> InvalidRequestError | RejectedError:
    text = "; ".join(map(str, found))
    told = [violation.to_json() for violation in found]
    return kind(
        f"{platform} does not take this post: {text}",
        code="invalid_content",
        violations=told,
    )
