"""Webhooks: signed events for a host's or a customer's own program.

Standard Webhooks 1.0.0, and beside it the plain ``X-Signature`` for older receivers.
The URL is a stranger's: it is reached through the guard alone.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import ClassVar, Self
from urllib.parse import urlsplit

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    NexusError,
    Postponed,
    RemoteUnavailableError,
)
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.notifications.base import LIMITS, Provider, Receipt
from nexus_actors.notifications.content import Channel, WebhookMessage
from nexus_actors.notifications.errors import TargetGoneError
from nexus_actors.notifications.settings import WebhookSettings
from nexus_actors.notifications.signature import sign, sign_plain


class WebhookClient(ApiClient):
    """Reads a receiver's answers."""

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means: all but 2xx and 410 is to be tried again."""
        error = super().judge(answer)
        if error is None or isinstance(error, Postponed):
            return error
        if answer.status == HTTPStatus.GONE:
            return TargetGoneError("the receiver wants no more webhooks (410)")
        return RemoteUnavailableError(f"the receiver answered with {answer.status}")


class WebhookProvider(Provider[WebhookMessage]):
    name: ClassVar[str] = "webhook"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.WEBHOOK})
    #: Its id is the same in each attempt: so the specification, for receivers.
    knows_repeats: ClassVar[bool] = True

    def __init__(self, settings: WebhookSettings, guard: Guard) -> None:
        self._settings = settings
        self._client = WebhookClient(
            name="webhook", limits=LIMITS, session=guard.session
        )

    @classmethod
    def connect(cls) -> Self:
        return cls(WebhookSettings.load(), Guard(GuardSettings.load()))

    def fails_with(self, content: WebhookMessage) -> str:
        return str(urlsplit(content.url).netloc)

    def deliver(self, content: WebhookMessage, *, delivery_id: str) -> Receipt:
        body = written(content)
        timestamp = clock.now_ms() // 1000
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(
                content.keys, id=delivery_id, timestamp=timestamp, body=body
            ),
        }
        if content.plain:
            name = self._settings.webhook_plain_header
            headers[name] = sign_plain(content.keys[0], body)
        call = Call("POST", content.url, body=body, headers=headers)
        answer = self._client.send(call)
        return Receipt(provider_id=delivery_id, details={"status": answer.status})


def written(content: WebhookMessage) -> bytes:
    """Return the body: what is signed is what is sent, byte by byte."""
    event = {
        "type": content.type,
        "timestamp": content.at.isoformat(),
        "data": content.data,
    }
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")  # of half a character
