"""The callbacks that tell the status of a message."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from nexus_actors.sandbox.base import Callback, Event

from .message import Message


#: The statuses at which the carrier has answered.
ANSWERED: Final = frozenset(("delivered", "undelivered"))


def events(message: Message, account: str, url: str, now: float) -> Iterator[Event]:
    """Yield what is told of a message: each status but the one it began with."""
    for number, step in enumerate(message.past(now)):
        if number == 0:
            continue
        fields = {
            "AccountSid": account,
            "ApiVersion": "2010-04-01",
            "From": message.sender or "",
            "To": message.to,
            "MessageSid": message.sid,
            "MessageStatus": step.status,
            "SmsSid": message.sid,
            "SmsStatus": step.status,
        }
        if message.service:
            fields["MessagingServiceSid"] = message.service
        if step.code is not None:
            fields["ErrorCode"] = str(step.code)
        if step.status in ANSWERED:
            done = datetime.fromtimestamp(step.at, UTC)
            fields["RawDlrDoneDate"] = done.strftime("%y%m%d%H%M")
        yield Event(f"{message.sid} {number}", url, step.at, fields)


def callbacks(
    told: Sequence[Event], token: str, shared_key: tuple[str, str] | None
) -> list[Callback]:
    """Return a signed request for each event.

    Args:
        told: What is told.
        token: What is signed with, by SHA-1.
        shared_key: The id of a key and its secret, to be used instead, by SHA-256.
    """
    sent = []
    for event in told:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
        }
        text = event.url + "".join(f"{k}{v}" for k, v in sorted(event.content.items()))
        secret, algorithm = token, "sha1"
        if shared_key:
            key, secret = shared_key
            algorithm = "sha256"
            name = "X-Twilio-Webhooks-Signature-Settings"
            headers[name] = f"key={key},algorithm=HMAC_SHA256"
        digest = hmac.digest(secret.encode(), text.encode(), algorithm)
        headers["X-Twilio-Signature"] = base64.b64encode(digest).decode()
        body = urlencode(event.content).encode()
        sent.append(Callback(event.url, headers, body, (event.id,)))
    return sent
