"""What goes into a publication: content, settings, credentials."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from nexus_actors.core.keyring import Secret
from nexus_actors.core.models import Model
from nexus_actors.core.urls import is_web
from nexus_actors.platforms.vault import MessageToken, open_token


Kind = Literal["video", "reel", "story", "photo", "carousel", "draft", "link"]
Privacy = Literal["public", "unlisted", "private", "friends", "followers"]

#: How a key begins that is made of what the post says, since the host gave none.
DERIVED: Final = "sha256-"


#: A null byte, or one half of a pair in UTF-16.
BROKEN: Final = re.compile(r"[\0\ud800-\udfff]")


class _Message(Model):
    """A part of a message; the original system's camelCase names are accepted."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        ),
    )


class Credentials(_Message):
    """Tokens that come with the message, in place of a stored account.

    When ``NEXUS_SECRET_KEY`` is set, the message carries them encrypted.  They are
    never refreshed: a token that has expired ends the publication.

    Attributes:
        account_id: The platform's id of the account; read from the platform if it is
            not given.
    """

    access_token: MessageToken
    account_id: str | None = None

    def token(self) -> Secret:
        """Return the token as the platform knows it.

        Raises:
            ConfigurationError: It is sealed, and ``NEXUS_SECRET_KEY`` does not open it.
        """
        return Secret(open_token(self.access_token))


class Caption(_Message):
    """A file of captions.

    Attributes:
        path: As that of a video.
        language: Such as ``en`` or ``pt-BR``.
        name: What viewers call the track.
    """

    path: str
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
    name: str = ""


class Content(_Message):
    """What the creator wants to say.

    Attributes:
        video_path: A path, a URL of a store, or an ``https://`` URL.
        video_id: Of a video that `process_video` has processed, in its place.
        image_paths: Pictures, likewise; several make a carousel or an album.
        link: What a post without media points to.
        title: Of the video; where a platform has none, the first line of the text.
        description: The text.
        tags: YouTube's tags; elsewhere hashtags at the end of the text.
        thumbnail_path: The still shown before play, where a platform takes one.
    """

    video_path: str | None = None
    video_id: str | None = None
    image_paths: Annotated[tuple[str, ...], Field(max_length=35)] = ()
    link: str | None = None
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    thumbnail_path: str | None = None
    captions: tuple[Caption, ...] = ()

    @model_validator(mode="after")
    def _one_medium(self) -> Self:
        given = [self.video_path, self.video_id, self.image_paths or None]
        if sum(value is not None for value in given) > 1:
            raise ValueError("give one of video_path, video_id and image_paths")
        if not any(given) and not (self.link or self.title or self.description):
            raise ValueError("has neither media, nor a link, nor text")
        return self

    def text(self) -> str:
        """Return what a platform shows that has one text for all."""
        tags = " ".join(tag if tag.startswith("#") else f"#{tag}" for tag in self.tags)
        parts = [self.title, self.description, tags]
        return "\n".join(part for part in parts if part)

    def body(self) -> str:
        """Return the text for a platform that has the title apart."""
        return self.text().removeprefix(self.title).lstrip("\n")


def _given(value: object) -> object:
    return {} if value is None else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class PostSettings(_Message):
    """How it is posted; what a platform cannot express is refused.

    Attributes:
        allow_comments: TikTok's switch, as are those for duet and stitch: off unless
            the creator turns them on.
        made_for_kids: YouTube's declaration.
        ai_generated: Whether to label it as made or altered by AI, where there is such
            a label.
        paid_partnership: TikTok's and YouTube's disclosure.
        own_brand: TikTok's disclosure of the creator's own business.
        category: YouTube's id of one; 22 by default.
        playlist_id: Of a playlist of YouTube's that it is added to.
        notify_subscribers: YouTube's.
        share_to_feed: Instagram's, of a reel.
        thumbnail_offset_ms: The frame that TikTok and Instagram show before play.
        kind: By default a video is posted as the platform's main kind of video, one
            picture as a photo, several as a carousel.
        privacy: Who may see it; ``PUBLIC`` and its like, in any case.  TikTok and
            YouTube have no default: nobody but the creator may choose.
        transfer: ``url`` lets the platform fetch the media from a public address.
        schedule_mode: ``platform`` hands `publish_at` to a platform that can wait.
        extra: What only this platform has, by its own names; sent as it is.
    """

    kind: Kind | None = None
    privacy: Annotated[Privacy | None, BeforeValidator(_lower)] = None
    allow_comments: bool | None = None
    allow_duet: bool | None = None
    allow_stitch: bool | None = None
    made_for_kids: bool = False
    ai_generated: bool | None = None
    paid_partnership: bool = False
    own_brand: bool = False
    category: str | None = None
    playlist_id: str | None = None
    notify_subscribers: bool = True
    share_to_feed: bool = True
    thumbnail_offset_ms: Annotated[int | None, Field(ge=0)] = None
    transfer: Literal["upload", "url"] = "upload"
    schedule_mode: Literal["queue", "platform"] = "queue"
    extra: dict[str, Any] = Field(default_factory=dict)


class PublishPostRequest(_Message):
    """The body of `publish_post`.

    Attributes:
        platform: ``youtube``, ``tiktok``, ``instagram``, ``facebook``, or one that
            another package has added.
        account: An account in the credential store; or *credentials*.
        publish_at: When, with a time zone; by default now.
        idempotency_key: The host's name for this post: sent twice, it is published
            once.  By default it is derived from account, content and settings.
    """

    platform: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")]
    account: str | None = None
    credentials: Credentials | None = None
    content: Content
    settings: Annotated[PostSettings, BeforeValidator(_given)] = PostSettings()
    publish_at: AwareDatetime | None = None
    idempotency_key: Annotated[
        str | None, Field(min_length=1, max_length=200, pattern=r"^\S+$")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if found := sorted(_broken_texts(value)):
            raise ValueError(f"a null byte, or half an emoji, is in {', '.join(found)}")
        return value

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        if (self.account is None) == (self.credentials is None):
            raise ValueError("give account or credentials")
        return self

    def key(self) -> str:
        """Return what this post is known by, once and for all."""
        if self.idempotency_key is not None:
            return f"{self.platform}:{self.idempotency_key}"
        owner = self.account
        if self.credentials is not None:
            token = self.credentials.token().get_secret_value()
            owner = self.credentials.account_id or digest("token", token)
        said = self.model_dump(mode="json", include={"content", "settings"})
        at = self.publish_at.timestamp() if self.publish_at else None
        body = json.dumps([self.platform, owner, said, at], sort_keys=True)
        return f"{self.platform}:{DERIVED}{digest('post', body)}"


def _broken_texts(value: Any, at: str = "") -> Iterator[str]:
    """Yield where in plain JSON types there is what can be neither sent nor stored."""
    if isinstance(value, str) and BROKEN.search(value):
        yield at
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _broken_texts(inner, f"{at}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _broken_texts(inner, f"{at}.{number}")


class PublicationRequest(Model):
    """The body of what is about one publication."""

    publication: Annotated[str, Field(pattern=r"^[^\x00]+$")]


class ReschedulePostRequest(_Message):
    """The body of `reschedule_post`."""

    publication: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    publish_at: AwareDatetime


class RefreshCredentialsRequest(_Message):
    """The body of `refresh_credentials`; without names, all that are due."""

    platform: str | None = None
    account: str | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.platform is None) != (self.account is None):
            raise ValueError("give platform and account, or neither")
        return self


class SweepPublicationsRequest(Model):
    """The body of `sweep_publications`: nothing."""


class SweepCredentialsRequest(Model):
    """The body of `sweep_credentials`: nothing."""


class PublicationResult(Model):
    """A publication, as a host is told of it.

    Attributes:
        key: The idempotency key.
        state: ``scheduled``, ``publishing``, ``processing``, ``published``,
            ``awaiting_user``, ``unconfirmed``, ``failed``, ``parked``, ``held`` or
            ``cancelled``.
        phase: Which step comes next: ``prepare``, ``transfer``, ``commit``,
            ``confirm`` or ``done``.
        remote_id: The platform's name for the post.
        error: ``code`` and ``message``, of a state that is no good one.
        attempts: How often the irreversible call was made; more than once only if it
            had certainly come to nothing.
        notes: What was seen on the way, the oldest first.
        steps: What became of thumbnail, captions and the like.
    """

    id: str
    key: str
    platform: str
    account: str | None
    state: str
    phase: str
    remote_id: str | None
    url: str | None
    error: dict[str, Any] | None
    attempts: int
    notes: tuple[dict[str, Any], ...]
    steps: dict[str, Any]
    publish_at: str | None
    created_at: str
    updated_at: str


class PublishPostResult(PublicationResult):
    """What `publish_post` returns."""


class ReschedulePostResult(PublicationResult):
    """What `reschedule_post` returns."""


class RefreshCredentialsResult(Model):
    """What became of the tokens that were due: accounts as ``platform/account``.

    Attributes:
        failed: Accounts whose tokens could not be renewed, with the error's code.
        skipped: Why nothing was done.
    """

    renewed: tuple[str, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)
    skipped: str | None = None


class SweepCredentialsResult(RefreshCredentialsResult):
    """What `sweep_credentials` returns."""


class SweepPublicationsResult(Model):
    """How many publications a sweep has sent messages for; or why none."""

    sent: int = 0
    skipped: str | None = None


def alike(ours: str, theirs: object, *, cut: int | None = None) -> bool:
    """Tell whether a platform shows *ours* as *theirs*; spaces and forms may differ.

    Args:
        ours: What was said.
        theirs: What is shown; None is nothing.
        cut: Where it may be cut off: how many characters there are at least.
    """
    said, shown = _plain(ours), _plain(str(theirs or ""))
    if cut is not None and len(shown) >= cut:
        return said.startswith(shown)
    return said == shown


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip("\ufffd…")


def form_text(value: Any) -> str:
    """Return a value as a field of a form: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def digest(what: str, text: str) -> str:
    """Return what tells whether two texts are the same, and no more."""
    return hashlib.sha256(f"nexus {what}:{text}".encode()).hexdigest()


def is_remote(path: str) -> bool:
    """Tell whether *path* is a URL, of a store or of the web."""
    return is_web(path) or path.startswith("s3://")


def instant(text: str | None) -> datetime | None:
    """Return the time that a stored request names."""
    return None if text is None else datetime.fromisoformat(text)
