"""Our apps on the platforms, and where the platforms are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from nexus_actors.core.settings import Settings, own, shared

from .limits import Limit


class PlatformSettings(Settings):
    """What the platforms know us by.

    Each platform's ``…_url`` stands in place of all of its hosts.
    """

    credential_store: Annotated[
        str | None,
        own(
            "CREDENTIAL_STORE",
            "the host's own `CredentialStore`, as module:Class; by default the "
            "accounts are in the database",
        ),
        Field(pattern=r"^[\w.]+:\w+$"),
    ] = None
    youtube_client_id: Annotated[
        str | None, shared("YOUTUBE_CLIENT_ID", "of the Google project's OAuth client")
    ] = None
    youtube_client_secret: Annotated[
        SecretStr | None, shared("YOUTUBE_CLIENT_SECRET", "of that client")
    ] = None
    youtube_redirect_uri: Annotated[
        str | None,
        shared("YOUTUBE_REDIRECT_URI", "where Google sends the creator back to"),
    ] = None
    tiktok_client_id: Annotated[
        str | None, shared("TIKTOK_CLIENT_ID", "TikTok calls it the client key")
    ] = None
    tiktok_client_secret: Annotated[
        SecretStr | None, shared("TIKTOK_CLIENT_SECRET", "of the TikTok app")
    ] = None
    tiktok_redirect_uri: Annotated[
        str | None,
        shared("TIKTOK_REDIRECT_URI", "where TikTok sends the creator back to"),
    ] = None
    instagram_client_id: Annotated[
        str | None,
        shared("INSTAGRAM_CLIENT_ID", "the Instagram app id, not that of the Meta app"),
    ] = None
    instagram_client_secret: Annotated[
        SecretStr | None, shared("INSTAGRAM_CLIENT_SECRET", "of the Instagram app")
    ] = None
    instagram_redirect_uri: Annotated[
        str | None,
        shared("INSTAGRAM_REDIRECT_URI", "where Instagram sends the creator back to"),
    ] = None
    facebook_client_id: Annotated[
        str | None, shared("FACEBOOK_CLIENT_ID", "the id of the Meta app")
    ] = None
    facebook_client_secret: Annotated[
        SecretStr | None, shared("FACEBOOK_CLIENT_SECRET", "of the Meta app")
    ] = None
    facebook_redirect_uri: Annotated[
        str | None,
        shared("FACEBOOK_REDIRECT_URI", "where Facebook sends the creator back to"),
    ] = None
    facebook_appsecret_proof: Annotated[
        bool,
        own(
            "FACEBOOK_APPSECRET_PROOF",
            "whether calls bring `appsecret_proof`, for an app that requires it; each "
            "token must be of the app whose secret is set",
        ),
    ] = False
    meta_version: Annotated[
        str,
        own("META_VERSION", "of the Graph API, for Instagram and Facebook"),
        Field(pattern=r"^v[0-9]+\.[0-9]$"),
    ] = "v25.0"
    limits: Annotated[
        dict[str, tuple[Limit, ...]],
        own(
            "PLATFORM_LIMITS",
            "by platform, what it allows, in place of what is known: a list of `name`, "
            "`calls`, `limit`, `window_s`, `burst`, `per`, `cost`",
        ),
    ] = Field(default_factory=dict)
    limits_share: Annotated[
        float,
        own("PLATFORM_LIMITS_SHARE", "how much of what a platform allows is used"),
        Field(gt=0, le=1),
    ] = 0.9
    sandbox_url: Annotated[
        str | None,
        own("SANDBOX_URL", "a sandbox in place of every vendor that has no URL set"),
    ] = None
    youtube_url: Annotated[
        str | None, own("YOUTUBE_URL", "in place of Google's hosts")
    ] = None
    tiktok_url: Annotated[
        str | None, own("TIKTOK_URL", "in place of TikTok's hosts")
    ] = None
    instagram_url: Annotated[
        str | None, own("INSTAGRAM_URL", "in place of Instagram's hosts")
    ] = None
    facebook_url: Annotated[
        str | None, own("FACEBOOK_URL", "in place of Facebook's hosts")
    ] = None

    def at(self, platform: str, host: str) -> str:
        """Return the base URL to use for *host* of *platform*."""
        if url := getattr(self, f"{platform}_url", None):
            return str(url).rstrip("/")
        if self.sandbox_url:
            return f"{self.sandbox_url.rstrip('/')}/{platform}"
        return f"https://{host}"
