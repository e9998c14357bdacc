"""Settings of the notifications domain and of its providers."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import NoDecode

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.models import Model
from nexus_actors.core.settings import Settings, own, shared


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def _one_address(value: str | None) -> str | None:
    if value is None:
        return None
    _, address = parseaddr(value)
    if "@" not in address or any(ord(c) < ord(" ") for c in value):
        raise ValueError("must be an address, or Name <address>")
    return value


def page_of(*names: str) -> Callable[[str | None], str | None]:
    """Return what checks the URL of a page with *names* in braces."""

    def check(value: str | None) -> str | None:
        if value is None:
            return None
        url = page(value, **dict.fromkeys(names, "x"))
        if not url.startswith(("https://", "http://")) or set(url) & set("{} \n"):
            allowed = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"must be a URL; it may have {allowed}")
        return value

    return check


def page(pattern: str, **values: str) -> str:
    """Return the URL of the page of *values*."""
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", quote(value, safe=""))
    return pattern


class CircuitSettings(Model):
    """When a provider is left alone, and how those come back who waited.

    Attributes:
        failures: How many in a row; for all of these the default is `Circuit`'s.
        pause_s: For how long, the first time; doubles each time.
        longest_s: For how long at most.
        rate: How many of those who waited come back a second.
    """

    failures: PositiveInt | None = None
    pause_s: PositiveFloat | None = None
    longest_s: PositiveFloat | None = None
    rate: PositiveInt | None = None


class NotificationSettings(Settings):
    """Who delivers what, and how mails look."""

    email_providers: Annotated[
        Words,
        own("EMAIL_PROVIDERS", "who sends mail; the next one where one fails"),
    ] = ("sendgrid",)
    sms_providers: Annotated[
        Words, own("SMS_PROVIDERS", "who sends text messages, likewise")
    ] = ("twilio",)
    push_providers: Annotated[
        Words, own("PUSH_PROVIDERS", "who sends push messages, likewise")
    ] = ("firebase",)
    slack_providers: Annotated[
        Words, own("SLACK_PROVIDERS", "who posts chat messages, likewise")
    ] = ("slack",)
    webhook_providers: Annotated[
        Words, own("WEBHOOK_PROVIDERS", "who sends webhooks, likewise")
    ] = ("webhook",)
    email_from: Annotated[
        str | None,
        shared("EMAIL_FROM", "who mails are from: an address, or Name <address>"),
        BeforeValidator(_one_address),
    ] = None
    email_reply_to: Annotated[
        str | None,
        own("EMAIL_REPLY_TO", "where answers to mails go; by default EMAIL_FROM"),
        BeforeValidator(_one_address),
    ] = None
    app_name: Annotated[str, own("APP_NAME", "how templates call your application")] = (
        "Nexus"
    )
    app_url: Annotated[
        str | None, own("APP_URL", "its address; https:// in templates")
    ] = None
    app_logo_url: Annotated[
        str | None, own("APP_LOGO_URL", "a picture 40 pixels high; the name by default")
    ] = None
    app_support: Annotated[
        str | None, own("APP_SUPPORT", "the address that helps people")
    ] = None
    app_postal_address: Annotated[
        str | None, own("APP_POSTAL_ADDRESS", "stands below each mail; a law's demand")
    ] = None
    preferences_url: Annotated[
        str | None,
        own("PREFERENCES_URL", "where people say what they want to be told"),
    ] = None
    unsubscribe_url: Annotated[
        str | None,
        own(
            "UNSUBSCRIBE_URL",
            "your URL that a mail program posts to: https://…/unsubscribe?t={token}",
        ),
        BeforeValidator(page_of("token")),
    ] = None
    unsubscribe_mailto: Annotated[
        str | None,
        own(
            "UNSUBSCRIBE_MAILTO", "an address that takes such mails, beside it or alone"
        ),
        BeforeValidator(_one_address),
    ] = None
    app_color: Annotated[
        str,
        own("APP_COLOR", "of buttons, dark enough for white text"),
        Field(pattern=r"^#[0-9A-Fa-f]{6}$"),
    ] = "#3446a8"
    default_locale: Annotated[
        str, own("DEFAULT_LOCALE", "of people of whom none is known")
    ] = "en"
    default_zone: Annotated[
        str, own("DEFAULT_ZONE", "time zone of people of whom none is known")
    ] = "UTC"
    templates: Annotated[
        Path | None,
        own("TEMPLATES", "a folder with templates of your own; they win over ours"),
    ] = None
    webhook_keys: Annotated[
        SecretStr | None,
        own(
            "WEBHOOK_KEYS",
            "what webhooks are signed with that bring no key: whsec_ or whsk_, the "
            "newest first",
        ),
    ] = None
    doubt_s: Annotated[
        float,
        own(
            "DOUBT_S",
            "how long to wait before looking what became of a call whose answer was "
            "lost",
        ),
        Field(ge=0, le=86400),
    ] = 60.0
    await_events_s: Annotated[
        float,
        own(
            "AWAIT_EVENTS_S",
            "how long its events may take to tell it, where a vendor cannot be asked",
        ),
        Field(ge=0, le=86400),
    ] = 300.0
    unknown: Annotated[
        dict[str, str],
        own(
            "UNKNOWN",
            "by channel, what to do with a delivery of which nobody knows: again or "
            "never",
        ),
    ] = Field(default_factory=dict)
    provider_rates: Annotated[
        dict[str, Annotated[float, Field(gt=0)]],
        own(
            "PROVIDER_RATES",
            "by provider, how many calls a second all workers may make together",
        ),
    ] = Field(default_factory=dict)
    provider_circuits: Annotated[
        dict[str, CircuitSettings],
        own(
            "PROVIDER_CIRCUITS",
            "by provider, when it is left alone: failures (in a row), pause_s, "
            "longest_s, and rate: how many come back a second",
        ),
    ] = Field(default_factory=dict)
    resolve_recipient: Annotated[
        str | None,
        own(
            "RESOLVE_RECIPIENT",
            "your function of a user's id, as module:function",
        ),
    ] = None

    routes: Annotated[
        Words,
        own("ROUTES", "events that people are told of: video.processed, video.failed…"),
    ] = ()
    route_channels: Annotated[
        Words,
        own("ROUTE_CHANNELS", "how they are told; the next one where one fails"),
    ] = ("email",)
    video_page_url: Annotated[
        str | None,
        own("VIDEO_PAGE_URL", "where a video is seen: https://…/watch/{video_id}"),
        BeforeValidator(page_of("video_id")),
    ] = None
    upload_page_url: Annotated[
        str | None,
        own("UPLOAD_PAGE_URL", "where a video is uploaded again; may have {video_id}"),
        BeforeValidator(page_of("video_id")),
    ] = None
    post_page_url: Annotated[
        str | None,
        own("POST_PAGE_URL", "where a post is changed: https://…/posts/{publication}"),
        BeforeValidator(page_of("publication")),
    ] = None
    account_page_url: Annotated[
        str | None,
        own(
            "ACCOUNT_PAGE_URL",
            "where an account is connected again; may have {platform} and {account}",
        ),
        BeforeValidator(page_of("platform", "account")),
    ] = None
    report_page_url: Annotated[
        str | None,
        own(
            "REPORT_PAGE_URL",
            "where a report is read: https://…/reports/{report}; by default in the "
            "store itself",
        ),
        BeforeValidator(page_of("report")),
    ] = None
    figures_page_url: Annotated[
        str | None,
        own(
            "FIGURES_PAGE_URL",
            "where an account's figures are; may have {platform} and {account}",
        ),
        BeforeValidator(page_of("platform", "account")),
    ] = None
    resolve_owner: Annotated[
        str | None,
        own(
            "RESOLVE_OWNER",
            "your function of a platform and an account, as module:function, that "
            "returns the user's id; by default the account is named so",
        ),
    ] = None

    def providers_of(self, channel: str) -> tuple[str, ...]:
        """Return who delivers by *channel*, in order."""
        found: tuple[str, ...] = getattr(self, f"{channel}_providers")
        return found

    def keys(self) -> tuple[str, ...]:
        """Return what webhooks are signed with that bring no key."""
        text = self.webhook_keys.get_secret_value() if self.webhook_keys else ""
        return tuple(text.replace(",", " ").split())


class VendorSettings(Settings):
    """Of a vendor that a sandbox can stand in for."""

    sandbox_url: Annotated[
        str | None,
        own("SANDBOX_URL", "a sandbox in place of every vendor that has no URL set"),
    ] = None

    def at(self, setting: str, below: str) -> str:
        """Return the URL that *setting* has, or that of the sandbox *below* its own."""
        if self.sandbox_url and setting not in self.model_fields_set:
            return f"{self.sandbox_url.rstrip('/')}/{below}"
        return str(getattr(self, setting)).rstrip("/")


class SendGridSettings(VendorSettings):
    """Of the provider ``sendgrid``."""

    sendgrid_api_key: Annotated[
        SecretStr | None, shared("SENDGRID_API_KEY", "of an account that may send mail")
    ] = None
    sendgrid_url: Annotated[
        str,
        own("SENDGRID_URL", "https://api.eu.sendgrid.com for accounts of the EU"),
    ] = "https://api.sendgrid.com"
    sendgrid_sandbox_mode: Annotated[
        bool, own("SENDGRID_SANDBOX_MODE", "let SendGrid check mails and not send them")
    ] = False
    sendgrid_webhook_key: Annotated[
        str | None,
        own("SENDGRID_WEBHOOK_KEY", "the public key that SendGrid signs events with"),
    ] = None

    def key(self) -> str:
        """Return the API key."""
        return _given(self.sendgrid_api_key, "SENDGRID_API_KEY", "mail")


class TwilioSettings(VendorSettings):
    """Of the provider ``twilio``."""

    twilio_account_sid: Annotated[
        str | None, shared("TWILIO_ACCOUNT_SID", "of the account: AC…")
    ] = None
    twilio_auth_token: Annotated[
        SecretStr | None,
        shared("TWILIO_AUTH_TOKEN", "its token; also proves what Twilio calls back"),
    ] = None
    twilio_api_key: Annotated[
        SecretStr | None,
        own("TWILIO_API_KEY", "SK…:secret of a key, used to send in the token's place"),
    ] = None
    twilio_phone_number: Annotated[
        str | None,
        shared("TWILIO_PHONE_NUMBER", "what messages come from: a number, or MG…"),
    ] = None
    twilio_status_callback: Annotated[
        str | None,
        own("TWILIO_STATUS_CALLBACK", "your URL that is told what became of messages"),
    ] = None
    twilio_webhook_key: Annotated[
        SecretStr | None,
        own(
            "TWILIO_WEBHOOK_KEY",
            "the secret of a shared key, if callbacks are signed with one and not with "
            "the token",
        ),
    ] = None
    twilio_url: Annotated[str, own("TWILIO_URL", "of its API")] = (
        "https://api.twilio.com"
    )

    def login(self) -> tuple[str, str, str]:
        """Return user, password and account."""
        if not self.twilio_account_sid:
            raise ConfigurationError(
                "TWILIO_ACCOUNT_SID is not set: text messages need it"
            )
        if self.twilio_api_key:
            user, _, password = self.twilio_api_key.get_secret_value().partition(":")
            return user, password, self.twilio_account_sid
        token = _given(self.twilio_auth_token, "TWILIO_AUTH_TOKEN", "text messages")
        return self.twilio_account_sid, token, self.twilio_account_sid

    def sender(self) -> dict[str, str]:
        """Return what names the sender: a number, or a messaging service."""
        number = self.twilio_phone_number
        if not number:
            raise ConfigurationError(
                "TWILIO_PHONE_NUMBER is not set: text messages need it"
            )
        service = number.startswith("MG")
        return {"messaging_service_sid" if service else "from_": number}


class FirebaseSettings(VendorSettings):
    """Of the provider ``firebase``."""

    firebase_service_account: Annotated[
        SecretStr | None,
        shared("FIREBASE_SERVICE_ACCOUNT", "its JSON, or the path of a file with it"),
    ] = None
    fcm_url: Annotated[str, own("FCM_URL", "of its API")] = "https://fcm.googleapis.com"

    def account(self) -> str:
        """Return the service account, or where it is."""
        name = "FIREBASE_SERVICE_ACCOUNT"
        return _given(self.firebase_service_account, name, "push messages")


class SlackSettings(VendorSettings):
    """Of the provider ``slack``."""

    slack_bot_token: Annotated[
        SecretStr | None,
        shared("SLACK_BOT_TOKEN", "xoxb-… with chat:write and channels:history"),
    ] = None
    slack_url: Annotated[str, own("SLACK_URL", "of its API")] = "https://slack.com/api"

    def token(self) -> str:
        """Return the token."""
        return _given(self.slack_bot_token, "SLACK_BOT_TOKEN", "Slack messages")


class WebhookSettings(Settings):
    """Of the provider ``webhook``."""

    webhook_plain_header: Annotated[
        str,
        own("WEBHOOK_PLAIN_HEADER", "of the plain signature"),
        Field(pattern=r"^[A-Za-z0-9-]{1,64}$"),
    ] = "X-Signature"


class FileSettings(Settings):
    """Of the provider ``file``."""

    notifications_folder: Annotated[
        Path, own("NOTIFICATIONS_FOLDER", "where the provider `file` writes")
    ] = Path("nexus-notifications")


def _given(secret: SecretStr | None, name: str, what: str) -> str:
    if secret is None:
        raise ConfigurationError(f"{name} is not set: {what} cannot be sent without it")
    return secret.get_secret_value()


#: All of them, for the reference.
ALL: Final = (
    NotificationSettings,
    SendGridSettings,
    TwilioSettings,
    FirebaseSettings,
    SlackSettings,
    WebhookSettings,
    FileSettings,
)
