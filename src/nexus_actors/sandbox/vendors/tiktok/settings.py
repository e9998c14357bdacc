"""How TikTok behaves: its numbers, and who may do what."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from nexus_actors.sandbox.base import Settings
from nexus_actors.sandbox.growth import Growth
from nexus_actors.sandbox.oauth import Client, Consent


#: Every scope that may be asked for.
SCOPES: Final = (
    "user.info.basic",
    "user.info.profile",
    "user.info.stats",
    "video.list",
    "video.publish",
    "video.upload",
)

#: Why a post fails after it was sent.
Failure = Literal[
    "file_format_check_failed",
    "duration_check_failed",
    "frame_rate_check_failed",
    "picture_size_check_failed",
    "internal",
    "video_pull_failed",
    "photo_pull_failed",
    "publish_cancelled",
    "auth_removed",
    "spam_risk_too_many_posts",
    "spam_risk_user_banned_from_posting",
    "spam_risk_text",
    "spam_risk",
]


class TikTokClient(Client):
    """An app.

    Attributes:
        kind: A desktop app must send a challenge, and its verifier.
    """

    kind: Literal["web", "desktop"] = "web"


class Creator(Settings):
    """A TikTok account.

    Attributes:
        private: Whether only followers see what it posts.
        banned: Whether it may not post.
        max_duration_s: ``max_video_post_duration_sec``.
    """

    id: str = "-000sandbox-open-id"
    username: str = "sandbox"
    nickname: str = "Sandbox creator"
    access_token: str = "act.sandbox-access-token"
    refresh_token: str = "rft.sandbox-refresh-token"
    scopes: tuple[str, ...] = SCOPES
    private: bool = False
    banned: bool = False
    comment_disabled: bool = False
    duet_disabled: bool = False
    stitch_disabled: bool = False
    max_duration_s: NonNegativeInt = 600

    @property
    def privacy_levels(self) -> list[str]:
        """Return who may be let see a post."""
        widest = "FOLLOWER_OF_CREATOR" if self.private else "PUBLIC_TO_EVERYONE"
        return [widest, "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]


class TikTokSettings(Settings):
    """How TikTok behaves.

    Attributes:
        access_token_s: How long an access token lives; older pages say a day.
        refresh_token_s: How long a refresh token lives that is not used.
        old_refresh_token_s: For how long after its use a refresh token is still good:
            the pages say that it stops working at once.
        oauth_error_status: The HTTP status of an error of the token endpoint.
        upload_s: How long an upload URL is good.
        stores_at_most: Of one request's bytes; None is all.  TikTok may keep fewer
            bytes than it was sent.
        processing_s: From the last byte, or the start of a download, to the end.
        moderation_s: From there until a public post has its id.
        post_ids: How many ids it has then.
        outcome: What a post comes to.  A file that is no film fails anyway.
        user_finishes_s: After how long a person posts a draft; None is never.
        verified_hosts: From where TikTok fetches.
        posts_per_day: Of one creator, within 24 hours.
        drafts_per_day: Likewise, and not finished.
        audited: Whether the app may post what others can see.
        retired_fields: Names of a video's fields that are taken no more.
        user_cap_reached: Whether as many creators as the app may have posted today.
        seed: Of the figures of posts and accounts, which grow with time.
        growth: How they do.
    """

    clients: tuple[TikTokClient, ...] = (
        TikTokClient(
            id="sandbox-tiktok-key",
            secret="sandbox-tiktok-secret",
            redirect_uris=("https://app.example/callback",),
        ),
        TikTokClient(
            id="sandbox-tiktok-desktop",
            secret="sandbox-tiktok-secret",
            redirect_uris=(
                "http://127.0.0.1:*/callback",
                "http://localhost:*/callback",
            ),
            kind="desktop",
        ),
    )
    creators: Annotated[tuple[Creator, ...], Field(min_length=1)] = (Creator(),)
    consent: Consent = Consent()
    access_token_s: NonNegativeFloat = 7200
    refresh_token_s: NonNegativeFloat = 15_552_000
    old_refresh_token_s: NonNegativeFloat = 0
    oauth_error_status: Annotated[int, Field(ge=200, le=599)] = 200
    upload_s: NonNegativeFloat = 3600
    stores_at_most: NonNegativeInt | None = None
    processing_s: NonNegativeFloat = 2
    moderation_s: NonNegativeFloat = 2
    post_ids: NonNegativeInt = 1
    outcome: Literal["complete"] | Failure = "complete"
    user_finishes_s: NonNegativeFloat | None = None
    verified_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    posts_per_day: NonNegativeInt = 15
    drafts_per_day: NonNegativeInt = 5
    audited: bool = True
    retired_fields: tuple[str, ...] = ()
    user_cap_reached: bool = False
    seed: str = "sandbox"
    growth: Growth = Growth()
