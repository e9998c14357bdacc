"""How YouTube behaves: its numbers, and who may do what."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from nexus_actors.sandbox.base import Settings
from nexus_actors.sandbox.growth import Growth
from nexus_actors.sandbox.oauth import Client, Consent


AUTH: Final = "https://www.googleapis.com/auth/"
UPLOAD: Final = AUTH + "youtube.upload"
MANAGE: Final = AUTH + "youtube"
FORCE_SSL: Final = AUTH + "youtube.force-ssl"
READONLY: Final = AUTH + "youtube.readonly"
ANALYTICS: Final = AUTH + "yt-analytics.readonly"

#: Every scope that may be asked for.
SCOPES: Final = (
    UPLOAD,
    MANAGE,
    FORCE_SSL,
    READONLY,
    ANALYTICS,
    AUTH + "yt-analytics-monetary.readonly",
    "openid",
    "email",
    "profile",
)

#: Why a video fails to be processed, and why one is taken down afterwards.
Failure = Literal[
    "codec", "conversion", "emptyFile", "invalidFile", "tooSmall", "uploadAborted"
]
Rejection = Literal[
    "claim",
    "copyright",
    "duplicate",
    "inappropriate",
    "legal",
    "length",
    "termsOfUse",
    "trademark",
    "uploaderAccountClosed",
    "uploaderAccountSuspended",
]


class Channel(Settings):
    """A Google account with its channel.

    Attributes:
        email: What ``login_hint`` may name.
        state: ``none`` is an account without a channel.
        may_set_thumbnails: Whether the channel is verified for custom thumbnails.
        long_uploads: ``status.longUploadsStatus``.
    """

    id: str = "UCsandbox0000000000000001"
    title: str = "Sandbox channel"
    email: str = "creator@example.com"
    access_token: str = "ya29.sandbox-access-token"
    refresh_token: str = "1//sandbox-refresh-token"
    scopes: tuple[str, ...] = (UPLOAD, MANAGE, FORCE_SSL, READONLY, ANALYTICS)
    state: Literal["open", "none", "suspended", "closed"] = "open"
    may_set_thumbnails: bool = True
    long_uploads: Literal["allowed", "eligible", "disallowed"] = "allowed"

    @property
    def uploads(self) -> str:
        """Return the id of the playlist of all its uploads."""
        return "UU" + self.id.removeprefix("UC")


class YouTubeSettings(Settings):
    """How YouTube behaves.

    Attributes:
        access_token_s: How long an access token lives.
        refresh_token_s: How long a refresh token lives; 604800 for a project whose
            consent screen is in testing, None for no end.
        session_s: How long an upload session lives.
        stores_at_most: Of one request's bytes; None is all.  A server may keep fewer
            bytes than it was sent.
        processing_s: From the last byte to the end of processing.
        outcome: What processing comes to.  A file that is no video fails anyway.
        listed_after_s: How much later than it was made a video is listed.
        uploads_per_day: Of the project; each session that is opened counts.
        units_per_day: Of the project, for everything else.
        stats_per_day: Calls of ``batchGetStats``, likewise.
        reports_late_days: After how many days the Analytics API tells of one.
        retired_metrics: Names of metrics that reports take no more.
        insert_units: What ``videos.insert`` costs of these.
        uploads_per_channel: Within 24 hours.
        requests_per_minute: Of the project; None is no limit.
        thumbnail_bytes: The largest thumbnail.
        unaudited: Whether uploads of the project are locked as private.
        likes_hidden: Whether creators hide how many like their videos.
        comments_off: Whether creators have turned comments off.
        subscribers_hidden: Whether channels hide how many have subscribed.
        seed: Of the figures of videos and channels, which grow with time.
        growth: How they do.
    """

    clients: tuple[Client, ...] = (
        Client(
            id="sandbox.apps.googleusercontent.com",
            secret="GOCSPX-sandbox",
            redirect_uris=(
                "https://app.example/callback",
                "http://127.0.0.1:*/callback",
                "http://localhost:*/callback",
            ),
        ),
    )
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)] = (Channel(),)
    consent: Consent = Consent()
    access_token_s: NonNegativeFloat = 3599
    refresh_token_s: NonNegativeFloat | None = None
    session_s: NonNegativeFloat = 604_800
    stores_at_most: NonNegativeInt | None = None
    processing_s: NonNegativeFloat = 2
    outcome: Literal["processed"] | Failure | Rejection = "processed"
    listed_after_s: NonNegativeFloat = 0
    uploads_per_day: NonNegativeInt = 100
    units_per_day: NonNegativeInt = 10_000
    stats_per_day: NonNegativeInt = 10_000
    reports_late_days: NonNegativeInt = 2
    retired_metrics: tuple[str, ...] = ()
    insert_units: NonNegativeInt = 0
    uploads_per_channel: NonNegativeInt = 100
    requests_per_minute: NonNegativeInt | None = None
    thumbnail_bytes: NonNegativeInt = 2_097_152
    unaudited: bool = False
    likes_hidden: bool = False
    comments_off: bool = False
    subscribers_hidden: bool = False
    seed: str = "sandbox"
    growth: Growth = Growth()
