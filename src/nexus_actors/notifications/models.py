"""What goes into the notifications domain and what comes out of it."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from nexus_actors.core.errors import ForbiddenUrlError
from nexus_actors.core.models import Model
from nexus_actors.core.urls import WebUrl

from .quiet import check_zone
from .text import CONTROL


Type = Literal["email", "sms", "push", "slack", "webhook"]

#: What the templates of a notification may be given, or a webhook may tell, as JSON.
MAX_DATA: Final = 256 * 1024

#: How many people one bulk message names.
MAX_RECIPIENTS: Final = 1000

#: A key that a host chooses; ``#`` parts it from what we add.
KEY_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$"

#: What is sealed in a message, where there is a key to seal with.
PRIVATE: Final = (*get_args(Type), "template_data", "recipients")

#: What a sealed value belongs to.
CONTEXT: Final = "notification"

ADDRESS: Final = re.compile(
    r"[^\s@<>(),:;\"\\\[\]\x00-\x1f\x7f]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
)


def _address(value: str) -> str:
    if not ADDRESS.fullmatch(value) or len(value) > 254:  # noqa: PLR2004 - RFC 5321
        raise ValueError("is no address, such as ann@example.com")
    return value


def _whole(value: str) -> str:
    # halves of characters, which are left where a text is cut by UTF-16 units
    return value.encode(errors="replace").decode()


def _line(value: str) -> str:
    if CONTROL.search(value) or "\n" in value:
        raise ValueError("must be one line, without control characters")
    return value


def _url(value: str) -> str:
    try:
        WebUrl.parse(value)
    except ForbiddenUrlError as error:
        raise ValueError(error.message) from error
    return value


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must hold what JSON can hold, and nothing else") from None
    if size > MAX_DATA:
        raise ValueError(f"is larger than {MAX_DATA // 1024} kB")
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must have a time zone, such as 2026-03-01T09:00:00Z")
    return value.astimezone(UTC)


Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, AfterValidator(_whole)]
Line = Annotated[Text, Field(max_length=998), AfterValidator(_line)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
Data = Annotated[dict[str, Any], AfterValidator(_json)]
Instant = Annotated[datetime, AfterValidator(_aware)]
Zone = Annotated[str, AfterValidator(check_zone)]
Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]


class Message(Model):
    """A message's body: snake_case, with the original system's camelCase accepted."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        )
    )


class EmailTarget(Message):
    """A mail to one person.

    Attributes:
        name: Whose the address is.
        subject: In place of the template's.
        text: Without a template, the plain part.
        html: Without a template, the other part.
        reply_to: Where answers go.
    """

    to: Address
    name: Annotated[Line | None, Field(max_length=200)] = None
    subject: Line | None = None
    text: Text | None = None
    html: Text | None = None
    reply_to: Address | None = None


class SmsTarget(Message):
    """A text message to one number.

    Attributes:
        to: ``+``, country code and number (E.164); none is guessed.
        body: Without a template, the text.
    """

    to: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$")]
    body: Annotated[Text | None, Field(max_length=1600)] = None


class PushTarget(Message):
    """A push message to one device, or to all that follow a topic.

    Attributes:
        token: FCM's registration token of the app on the device.
        fid: Its Firebase installation id, which replaces the token.
        title: Without a template, or in place of its own; so are those below.
        link: What opens on a tap.
        data: For the app.
    """

    token: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    fid: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    topic: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.~%-]{1,900}$")] = None
    title: Text | None = None
    body: Text | None = None
    image: Url | None = None
    link: str | None = None
    data: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(bool(each) for each in (self.token, self.fid, self.topic)) != 1:
            raise ValueError("give one of token, fid and topic")
        return self


class SlackTarget(Message):
    """A message in a channel, or to a person.

    Attributes:
        channel: An id such as ``C0123456789``; a ``#name`` cannot be looked at when
            it is not known what came of a call.
        text: Without a template, what is said; Slack's mrkdwn.
        blocks: Without a template, the layout.
        thread: The message that this one answers.
    """

    channel: Annotated[str, Field(pattern=r"^[#A-Za-z0-9._-]{1,80}$")]
    text: Annotated[Text | None, Field(max_length=40_000)] = None
    blocks: Annotated[list[dict[str, Any]], Field(max_length=50)] = Field(
        default_factory=list
    )
    thread: Annotated[str | None, Field(pattern=r"^[0-9]{1,12}\.[0-9]{6}$")] = None


class WebhookTarget(Message):
    """A signed event for a program.

    Attributes:
        url: Where it goes; must lead to the public internet.
        event: What happened, in words with full stops: ``video.processed``.
        data: What there is to tell of it.
        keys: What it is signed with, the newest first: ``whsec_…`` or ``whsk_…``; by
            default ``NEXUS_WEBHOOK_KEYS``.
        plain: Also sign in the plain form, ``X-Signature: sha256=…``.
    """

    url: Url
    event: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$")]
    data: Data = Field(default_factory=dict)
    keys: tuple[str, ...] = ()
    plain: bool = False


class Recipient(Message):
    """A person, and how to reach them: what a host's function returns of a user's id.

    Attributes:
        zone: Their time zone, such as ``Europe/Berlin``.
        quiet_hours: From when to when they are left alone, by their clock; past
            midnight if the second is earlier.
        template_data: Theirs, beside or in place of what all are given; what a message
            itself says wins over what the host's function returns.
    """

    email: EmailTarget | None = None
    sms: SmsTarget | None = None
    push: PushTarget | None = None
    slack: SlackTarget | None = None
    webhook: WebhookTarget | None = None
    user_id: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    template_data: Data = Field(default_factory=dict)
    locale: Locale | None = None
    zone: Zone | None = None
    quiet_hours: tuple[time, time] | None = None


class Sealing(Message):
    """A message whose private parts are sealed where ``NEXUS_SECRET_KEY`` is set."""

    @model_serializer(mode="wrap")
    def _seal(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        private = {n: written.pop(n) for n in PRIVATE if written.get(n) is not None}
        keyring = keyring_in_use()
        if keyring is None or not private:
            return written | private
        return written | {"sealed": keyring.seal(private, context=CONTEXT)}

    @model_validator(mode="before")
    @classmethod
    def _unseal(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or not value.get("sealed"):
            return value
        keyring = keyring_in_use()
        if keyring is None:
            raise ValueError("the message is sealed and NEXUS_SECRET_KEY is not set")
        rest = {name: each for name, each in value.items() if name != "sealed"}
        return rest | keyring.unseal(value["sealed"], context=CONTEXT)


def keyring_in_use() -> Any:
    """Return what seals, if there is a key; asked often, it looks at no other."""
    key = os.environ.get("NEXUS_SECRET_KEY")
    key = key or os.environ.get("NEXUS_SECRET_KEY_FILE")
    return _made(key) if key else None


@functools.lru_cache(maxsize=2)
def _made(_: str) -> Any:
    from nexus_actors.core.keyring import Keyring
    from nexus_actors.core.settings import CoreSettings

    return Keyring.from_settings(CoreSettings.load())


class SendNotificationRequest(Recipient, Sealing):
    """One notification for one person.

    Attributes:
        type: How it is sent; the block of that name says where to.
        template: Which; without one, the block has the words.
        user_id: Whose preferences count; also finds an address that is not given.
        category: What the person may switch off; by default the template's.
        idempotency_key: The same key, template and address are sent once, however
            often they are asked for; by default each message is its own.
        send_at: Not before this time.
        fallback: How to try next where the person cannot be reached.
        when_unknown: What to do if nobody knows whether it was sent: ``again`` or
            ``never``; by default the channel's and the template's way.
    """

    type: Type
    template: Annotated[str | None, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = None
    category: Annotated[str | None, Field(pattern=r"^[a-z0-9_-]{1,64}$")] = None
    idempotency_key: Annotated[str | None, Field(pattern=KEY_PATTERN)] = None
    send_at: Instant | None = None
    fallback: Annotated[tuple[Type, ...], Field(max_length=4)] = ()
    when_unknown: Literal["again", "never"] | None = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if getattr(self, self.type) is None and self.user_id is None:
            raise ValueError(f"give {self.type}, which says where to, or user_id")
        return self


class SendBulkRequest(Sealing):
    """One notification for many people, each once.

    Attributes:
        recipients: Each with the block that *type* names, or a *user_id*.
        template_data: What all are given.
    """

    type: Type
    template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    template_data: Data = Field(default_factory=dict)
    recipients: Annotated[
        tuple[Recipient, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)
    ]
    category: Annotated[str | None, Field(pattern=r"^[a-z0-9_-]{1,64}$")] = None
    idempotency_key: Annotated[str | None, Field(pattern=KEY_PATTERN)] = None
    send_at: Instant | None = None
    fallback: Annotated[tuple[Type, ...], Field(max_length=4)] = ()
    when_unknown: Literal["again", "never"] | None = None


#: What became of one delivery.
Status = Literal["accepted", "suppressed", "skipped", "cancelled", "failed", "unknown"]


class Delivery(Model):
    """What became of a notification by one channel.

    Attributes:
        status: ``accepted``: the provider has taken it, which is not its arrival.
            ``suppressed``: the address is not to be used.  ``skipped``: the person
            does not want it, or has no such address.
        delivery_id: Its name at the provider, in its events and in the ledger.
        provider_id: The provider's own name for it.
        reason: Why, where it was not accepted.
    """

    channel: Type
    status: Status
    delivery_id: str | None = None
    provider: str | None = None
    provider_id: str | None = None
    reason: str | None = None


class SendNotificationResult(Model):
    """What became of one notification.

    Attributes:
        status: Of the last channel that was tried.
        deliveries: Of each that was tried, in order.
    """

    status: Status
    deliveries: tuple[Delivery, ...]


class SendBulkResult(Model):
    """What became of a notification for many.

    Attributes:
        counts: How many came to each status.
        recipients: Of each, in the order of the message.
    """

    counts: dict[str, int]
    recipients: tuple[SendNotificationResult, ...]
