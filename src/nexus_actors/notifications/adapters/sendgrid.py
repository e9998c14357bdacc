"""SendGrid: mail, by ``POST /v3/mail/send``.

The SDK spells the mail.  It is sent over our own connections: the SDK opens a new one
for each mail, reads all certificates again, and knows no time limit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self

from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.eventwebhook.eventwebhook_header import EventWebhookHeader
from sendgrid.helpers.mail import (
    Category,
    Content,
    CustomArg,
    Email,
    Header,
    ReplyTo,
    To,
)
from sendgrid.helpers.mail import Mail as SendGridMail

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import (
    SHORTEST_PAUSE,
    Answer,
    ApiClient,
    Call,
    time_there,
)
from nexus_actors.notifications.base import LIMITS, Allowance, Provider, Receipt
from nexus_actors.notifications.content import Channel, Mail
from nexus_actors.notifications.errors import SignatureError
from nexus_actors.notifications.events import DeliveryEvent, Kind
from nexus_actors.notifications.lists import Reason
from nexus_actors.notifications.settings import SendGridSettings


#: A limit's end that is farther away than this is not believed, in seconds.
LONGEST_LIMIT_S: Final = 3600


#: How old a signature of events may be, in seconds; they are repeated for a day, each
#: time signed anew.
MAX_AGE_S: Final = 600

#: SendGrid's words for what happened, ours, and whether the address is dead.
EVENTS: Final[dict[str, tuple[Kind, Reason | None]]] = {
    "processed": ("sent", None),
    "deferred": ("deferred", None),
    "delivered": ("delivered", None),
    "bounce": ("bounced", Reason.HARD_BOUNCE),
    "blocked": ("blocked", None),  # for now
    "dropped": ("dropped", None),
    "open": ("opened", None),
    "click": ("clicked", None),
    "spamreport": ("complained", Reason.COMPLAINT),
    "unsubscribe": ("unsubscribed", Reason.UNSUBSCRIBE),
    "group_unsubscribe": ("unsubscribed", None),
}

#: Why SendGrid did not even try: it keeps lists of its own.  What is wrong with a mail
#: ("Invalid SMTPAPI header") says nothing of the address.  "Event Webhook Reference".
DROPPED: Final = (
    (re.compile("bounced address", re.IGNORECASE), Reason.HARD_BOUNCE),
    (re.compile("unsubscribed address", re.IGNORECASE), Reason.UNSUBSCRIBE),
    (re.compile("spam reporting address", re.IGNORECASE), Reason.COMPLAINT),
    (re.compile("invalid( address)?", re.IGNORECASE), Reason.INVALID),
)

#: What a recipient's name may not have; "Limitations" of Mail Send.
SEPARATORS: Final = re.compile(r"\s*[,;]\s*")


class SendGridClient(ApiClient):
    """Reads SendGrid's answers."""

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means."""
        match answer.status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return _limited(answer) or super().judge(answer)
            case HTTPStatus.BAD_REQUEST | HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                return RejectedError(f"refused the mail: {_field(answer)}")
            case HTTPStatus.UNAUTHORIZED:
                text = "does not know the API key: set SENDGRID_API_KEY"
                return AuthorizationError(text)
            case HTTPStatus.FORBIDDEN:
                return AuthorizationError(
                    "forbids it: the API key may not send, or EMAIL_FROM is no "
                    "verified sender"
                )
            case HTTPStatus.SERVICE_UNAVAILABLE:
                # turned away at the door; 500, 502 and 504 may come from behind it
                return RemoteUnavailableError("is not available")
        return super().judge(answer)

    def request_id(self, answer: Answer) -> str | None:
        """Return the id of a mail that was taken."""
        return answer.headers.get("X-Message-Id")


class SendGridProvider(Provider[Mail]):
    name: ClassVar[str] = "sendgrid"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})

    def __init__(self, settings: SendGridSettings) -> None:
        self._settings = settings
        self._client = SendGridClient(
            name="SendGrid",
            base_url=settings.at("sendgrid_url", "sendgrid"),
            headers={"Authorization": f"Bearer {settings.key()}"},
            limits=LIMITS,
        )

    @classmethod
    def connect(cls) -> Self:
        return cls(SendGridSettings.load())

    def deliver(self, content: Mail, *, delivery_id: str) -> Receipt:
        body = self._spelled(content, delivery_id)
        answer = self._client.send(Call("POST", "/v3/mail/send", json=body))
        return Receipt(
            provider_id=answer.request_id or delivery_id, allowance=_allowance(answer)
        )

    @classmethod
    def read_events(
        cls, headers: Mapping[str, str], body: bytes, *, url: str | None
    ) -> list[DeliveryEvent]:
        del url
        _verify(headers, body)
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, list):
            raise SignatureError("SendGrid: the events cannot be read")
        # some are of the account, and not of a mail; new kinds may have other fields
        return [_event(each) for each in told if isinstance(each, dict)]

    def _spelled(self, mail: Mail, delivery_id: str) -> dict[str, Any]:
        spelled = SendGridMail()
        spelled.from_email = _email(mail.sender)
        name = SEPARATORS.sub(" ", mail.to_name).strip() if mail.to_name else None
        to = To(mail.to, name or None)
        to.custom_args = None
        spelled.add_to(to)
        # In the personalization: at the top the published document types it wrongly.
        # Its events bring it back, which are the only reliable name of a mail.
        spelled.add_custom_arg(CustomArg("delivery_id", delivery_id, p=0))
        spelled.subject = mail.subject
        spelled.add_content(Content("text/plain", mail.text))
        if mail.html:
            spelled.add_content(Content("text/html", mail.html))
        if mail.reply_to:
            name, address = _parts(mail.reply_to)
            spelled.reply_to = ReplyTo(address, name)
        if mail.category:
            spelled.add_category(Category(mail.category))
        for name, value in mail.headers.items():
            spelled.add_header(Header(name, value))
        body: dict[str, Any] = spelled.get()
        # our own links are what a person shall see
        off = {"enable": False}
        body["tracking_settings"] = {
            "click_tracking": {**off, "enable_text": False},
            # SendGrid's own List-Unsubscribe would stand beside ours
            "subscription_tracking": off,
        }
        if self._settings.sendgrid_sandbox_mode:
            body["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return body


@functools.lru_cache(maxsize=64)  # senders, of which a host has few
def _email(written: str) -> Email:
    name, address = _parts(written)
    return Email(address, name)


def _parts(written: str) -> tuple[str | None, str]:
    name, address = parseaddr(written)
    return name or None, address


def _limited(answer: Answer) -> Postponed | None:
    """Return how long SendGrid limits us: its header names the end, not the length."""
    until = _reset(answer)
    if until is None:
        return None
    text = "has had too many requests from us for now"
    return Postponed(text, code="rate_limited", until=until)


def _allowance(answer: Answer) -> Allowance | None:
    """Return how many mails SendGrid still takes, which each answer tells."""
    left, reset = answer.headers.get("X-RateLimit-Remaining", ""), _reset(answer)
    if reset is None or not re.fullmatch(r"[0-9]{1,9}", left):
        return None
    return Allowance(int(left), reset)


def _reset(answer: Answer) -> datetime | None:
    """Return when SendGrid counts anew, by our clock, if that is to be believed."""
    told = answer.headers.get("X-RateLimit-Reset", "")
    if not re.fullmatch(r"[0-9]{1,10}", told):
        return None
    wait = clock.from_ms(int(told) * 1000) - time_there(answer.headers)
    if wait.total_seconds() > LONGEST_LIMIT_S:
        return None
    return clock.now() + max(wait, SHORTEST_PAUSE)


def _field(answer: Answer) -> str:
    """Return the first field at fault; its message may hold an address."""
    try:
        errors = answer.json()["errors"]
        return str(errors[0].get("field") or "it does not say which field is wrong")
    except (NexusError, LookupError, TypeError, AttributeError):
        return f"{answer.status}"


def _verify(headers: Mapping[str, str], body: bytes) -> None:
    key = SendGridSettings.load().sendgrid_webhook_key
    if not key:
        raise ConfigurationError(
            "NEXUS_SENDGRID_WEBHOOK_KEY is not set: events are not believed without it"
        )
    found = {name.lower(): value for name, value in headers.items()}
    signature = found.get(EventWebhookHeader.SIGNATURE.lower(), "")
    timestamp = found.get(EventWebhookHeader.TIMESTAMP.lower(), "")
    try:
        webhook = EventWebhook(key)
    except ValueError:
        raise ConfigurationError(
            "NEXUS_SENDGRID_WEBHOOK_KEY is no public key: copy the verification key of "
            "SendGrid's settings page"
        ) from None
    try:
        is_right = webhook.verify_signature(body.decode(), signature, timestamp)
        age = abs(clock.now_ms() / 1000 - int(timestamp))
    except (ValueError, TypeError):
        is_right, age = False, 0.0
    if not is_right:
        raise SignatureError("SendGrid: the signature of the events is not right")
    if age > MAX_AGE_S:
        raise SignatureError("SendGrid: the events were signed too long ago")


def _event(told: Mapping[str, Any]) -> DeliveryEvent:
    word, reason = str(told.get("event")), str(told.get("reason", "")).strip()
    if word == "bounce" and told.get("type") == "blocked":
        word = "blocked"
    kind, suppress = EVENTS.get(word, ("other", None))
    if word == "dropped":
        suppress = next((why for text, why in DROPPED if text.fullmatch(reason)), None)
    delivery_id, address = told.get("delivery_id"), told.get("email")
    return DeliveryEvent(
        id=str(told.get("sg_event_id") or _digest(told)),
        provider="sendgrid",
        channel=Channel.EMAIL,
        kind=kind,
        word=word,
        at=_time(told),
        delivery_id=str(delivery_id) if delivery_id else None,
        # the id of the request, which its answer had, begins it
        provider_id=str(told.get("sg_message_id", "")).partition(".")[0] or None,
        address=str(address) if address else None,
        code=str(told["status"]) if "status" in told else None,
        suppress=suppress,
    )


def _time(told: Mapping[str, Any]) -> datetime:
    try:
        return clock.from_ms(int(told["timestamp"]) * 1000)
    except (ValueError, LookupError, TypeError, OverflowError):
        return clock.now()


def _digest(told: Mapping[str, Any]) -> str:
    """Return an id of an event that has none: the same when it is told again."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
