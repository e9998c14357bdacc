"""How Instagram behaves: its numbers, and who may do what."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from nexus_actors.sandbox.base import Settings
from nexus_actors.sandbox.oauth import Client
from nexus_actors.sandbox.vendors.meta.settings import MetaSettings, Session


#: Every permission of Instagram Login that may be asked for.
PERMISSIONS: Final = (
    "instagram_business_basic",
    "instagram_business_content_publish",
    "instagram_business_manage_comments",
    "instagram_business_manage_insights",
    "instagram_business_manage_messages",
)

#: Why a container comes to nothing, and the sub-code that says so.
FAILURES: Final = {
    "download_timeout": 2207003,
    "upload_failed": 2207053,
    "unsupported_format": 2207026,
    "media_failed": 2207077,
}
Failure = Literal[
    "download_timeout", "upload_failed", "unsupported_format", "media_failed"
]


class Account(Settings):
    """A professional account, known both by Instagram Login and by its Page.

    Attributes:
        app_scoped_id: What ``/me`` calls ``id``; no path takes it.
        access_token: A long-lived token of Instagram Login; it carries *scopes*.
        session: Whether its tokens are good, or why not.
        state: ``blocked`` is one that is suspected of spam.
        trial_reels: Whether it may make any.
    """

    id: str = "17841400000000001"
    app_scoped_id: str = "27000000000000001"
    username: str = "sandbox"
    name: str = "Sandbox account"
    account_type: Literal["BUSINESS", "MEDIA_CREATOR"] = "BUSINESS"
    access_token: str = "IGAA-sandbox-access-token"
    scopes: tuple[str, ...] = PERMISSIONS
    session: Session = "good"
    state: Literal["good", "restricted", "blocked"] = "good"
    trial_reels: bool = True


class InstagramSettings(MetaSettings):
    """How Instagram behaves, below what `MetaSettings` has for all of Meta.

    Attributes:
        instagram_clients: The apps of Instagram Login; theirs are other ids.
        instagram_short_token_s: How long the token lives that comes for a code.
        instagram_long_token_s: How long the one lives that comes for that.
        refresh_after_s: How old a token must be to be refreshed.
        wraps_token: Whether the short token comes in a list, as is documented.
        resumable: Whether Instagram Login may send files; the pages disagree.
        outcome: What a container comes to.  What is no film fails anyway.
        container_s: How long a container can be published.
        quota_total: How many posts an account has in 24 hours.
        containers_per_day: Likewise; a carousel is one, and so is each of its items.
        published_again: What a second ``media_publish`` of a container does; nothing
            is documented, so that the sandbox takes the worst.
        account_insights_after_s: How long after its end a span has an account's
            figures.
        listed_after_s: How much later than it was made a post is listed.
    """

    instagram_clients: tuple[Client, ...] = (
        Client(
            id="140000000000001",
            secret="sandbox-instagram-secret",
            redirect_uris=("https://app.example/callback",),
        ),
    )
    accounts: Annotated[tuple[Account, ...], Field(min_length=1)] = (Account(),)
    instagram_short_token_s: NonNegativeFloat = 3600
    instagram_long_token_s: NonNegativeFloat = 5_184_000
    refresh_after_s: NonNegativeFloat = 86_400
    wraps_token: bool = False
    resumable: bool = True
    outcome: Literal["finished"] | Failure = "finished"
    container_s: NonNegativeFloat = 86_400
    quota_total: NonNegativeInt = 50
    containers_per_day: NonNegativeInt = 400
    published_again: Literal["second", "same", "refused"] = "second"
    account_insights_after_s: NonNegativeFloat = 0
    listed_after_s: NonNegativeFloat = 0
