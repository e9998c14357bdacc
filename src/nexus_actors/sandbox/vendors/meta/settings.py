"""Who may do what, for both of Meta's vendors."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from nexus_actors.sandbox.base import Settings
from nexus_actors.sandbox.growth import Growth
from nexus_actors.sandbox.oauth import Client, Consent


#: Every permission of Facebook Login that may be asked for.
PERMISSIONS: Final = (
    "public_profile",
    "business_management",
    "pages_show_list",
    "pages_read_engagement",
    "pages_manage_posts",
    "pages_manage_engagement",
    "read_insights",
    "instagram_basic",
    "instagram_content_publish",
    "instagram_manage_comments",
    "instagram_manage_contents",
    "instagram_manage_insights",
    "ads_management",
    "ads_read",
)

#: Why Meta ends a session, and the sub-code that says so.
SESSIONS: Final = {
    "removed": 458,
    "checkpoint": 459,
    "password_changed": 460,
    "unconfirmed": 464,
    "invalid": 467,
}
Session = Literal[
    "good", "removed", "checkpoint", "password_changed", "unconfirmed", "invalid"
]


class Page(Settings):
    """A Facebook Page.

    Attributes:
        access_token: A Page token that has no end; it carries *scopes*.
        tasks: What the person may do there.
        instagram: The id of the Instagram account that is linked to it.
    """

    id: str = "110000000000001"
    name: str = "Sandbox page"
    username: str = "sandboxpage"
    access_token: str = "EAA-sandbox-page-token"
    scopes: tuple[str, ...] = PERMISSIONS
    tasks: tuple[str, ...] = ("ANALYZE", "CREATE_CONTENT", "MODERATE", "MANAGE")
    instagram: str | None = "17841400000000001"


class Person(Settings):
    """A person on Facebook.

    Attributes:
        access_token: A long-lived user token; it carries *scopes*.
        session: Whether their tokens are good, or why not; that of a Page goes along.
        pages: The ids of those of the pages that they may use.
    """

    id: str = "120000000000001"
    name: str = "Sandbox person"
    access_token: str = "EAA-sandbox-user-token"
    scopes: tuple[str, ...] = PERMISSIONS
    session: Session = "good"
    pages: tuple[str, ...] = ("110000000000001",)


class MetaSettings(Settings):
    """How the Graph API and Facebook Login behave.

    Attributes:
        clients: The apps.
        short_token_s: How long the token lives that comes for a code.
        long_token_s: How long the one lives that comes for that.
        needs_proof: Whether each call must bring ``appsecret_proof``.
        versions: Those that exist, the oldest first; an older one is served by it.
        calls_per_hour: For one account; each answer tells the percentage.
        hour_s: How long that hour is.
        usage_percent: Told in its place.
        regain_minutes: ``estimated_time_to_regain_access`` at 100 per cent.
        batch_fails_every: Every so-manieth call in a batch is not made in time.
        insights_after_s: How much later than it was made a post has figures.
        retired_metrics: Names of insights that are taken no more.
        seed: Of the figures of posts and accounts, which grow with time.
        growth: How they do.
        fetches_from: The hosts that can be reached from Meta.
        processing_s: From the last byte to the end of processing.
        bytes_field: There are two spellings of how much has arrived.
    """

    clients: tuple[Client, ...] = (
        Client(
            id="130000000000001",
            secret="sandbox-facebook-secret",
            redirect_uris=(
                "https://app.example/callback",
                "http://localhost:*/callback",
            ),
        ),
    )
    people: Annotated[tuple[Person, ...], Field(min_length=1)] = (Person(),)
    pages: tuple[Page, ...] = (Page(),)
    consent: Consent = Consent()
    short_token_s: NonNegativeFloat = 5400
    long_token_s: NonNegativeFloat = 5_183_944
    needs_proof: bool = False
    versions: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "v23.0",
        "v24.0",
        "v25.0",
        "v26.0",
    )
    calls_per_hour: Annotated[int, Field(gt=0)] = 4800
    hour_s: Annotated[float, Field(gt=0)] = 3600
    usage_percent: NonNegativeInt | None = None
    regain_minutes: NonNegativeInt = 60
    batch_fails_every: NonNegativeInt = 0
    insights_after_s: NonNegativeFloat = 0
    retired_metrics: tuple[str, ...] = ()
    seed: str = "sandbox"
    growth: Growth = Growth()
    fetches_from: tuple[str, ...] = ("127.0.0.1", "localhost")
    processing_s: NonNegativeFloat = 2
    bytes_field: Literal["bytes_transferred", "bytes_transfered"] = "bytes_transferred"
