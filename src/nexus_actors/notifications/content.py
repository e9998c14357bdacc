"""What is delivered: rendered, addressed, and ready for any provider of its channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class Channel(StrEnum):
    """A way to a person, or to a person's program."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    CHAT = "slack"  # the original's word, whoever carries it
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Mail:
    """A mail to one person.

    Attributes:
        sender: An address, or ``Name <address>``.
        text: The plain part; never empty.
        html: The other part, styles inlined; a mail may do without.
        category: What the vendor's statistics call it; nothing personal.
        headers: Beside the usual, such as ``List-Unsubscribe``.
    """

    to: str
    to_name: str | None = None
    sender: str
    reply_to: str | None = None
    subject: str
    text: str
    html: str | None = None
    category: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sms:
    """A text message; *to* is ``+`` and digits (E.164)."""

    to: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Push:
    """A message to one device, or to all that follow a topic.

    Attributes:
        kind: What *target* is.  FCM is replacing registration tokens (``token``) by
            installation ids (``fid``).
        data: For the app; text by text.
        link: What opens on a tap, where the platform can.
        urgent: Whether it may wake the device.
    """

    target: str
    kind: Literal["token", "fid", "topic"] = "token"
    title: str
    body: str
    image: str | None = None
    link: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChatMessage:
    """A message in a channel, or to a person, by id or ``#name``.

    Attributes:
        text: What a screen reader and a phone's notice say; already escaped.
        blocks: The layout, in the vendor's form.
        thread: The message that this one answers, as the provider named it.
    """

    to: str
    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    thread: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WebhookMessage:
    """An event for a program.

    Attributes:
        keys: What it is signed with, the newest first.
        plain: Whether it also carries the plain signature, by the first key's text.
        type: What happened: ``video.processed``.
        at: When that was.
    """

    url: str
    keys: tuple[str, ...]
    plain: bool = False
    type: str
    at: datetime
    data: Mapping[str, Any]


Content = Mail | Sms | Push | ChatMessage | WebhookMessage
