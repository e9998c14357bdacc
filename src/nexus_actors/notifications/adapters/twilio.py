"""Twilio: text messages, by ``Messages.json`` of the API of 2010-04-01.

The SDK makes the requests; they go over our own connections, by the seam that it has
for this.  Twilio knows no idempotency key: after a lost answer the messages to the
number are looked through for the one that was to be sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import (
    HMAC_SHA1,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)
from twilio.rest import Client

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    InvalidRequestError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call, time_there
from nexus_actors.core.logs import get_logger
from nexus_actors.notifications.base import LIMITS, Provider, Receipt
from nexus_actors.notifications.content import Channel, Sms
from nexus_actors.notifications.errors import SignatureError, TargetGoneError
from nexus_actors.notifications.events import DeliveryEvent, Kind
from nexus_actors.notifications.lists import Reason
from nexus_actors.notifications.settings import TwilioSettings


#: What codes mean that their HTTP status, 400 in most cases, does not tell.  Twilio
#: refines codes over time, so that one which is not here is read by its status.
GONE: Final = frozenset({21211, 21610, 21614, 21635})
OURS: Final = frozenset({20003, 21212, 21603, 21606, 21608, 21659, 21701, 30002})

#: The queue of our number is full: minutes, not seconds.
FULL: Final = frozenset({21611})
FULL_FOR: Final = timedelta(minutes=5)

#: How many of the newest messages to a number are looked through.
LOOKED_AT: Final = 50


#: How coarse Twilio's times are, that of an answer and that of a message.
COARSE: Final = timedelta(seconds=2)

#: Twilio's words for how far a message is, and ours; ``sent`` is to the carrier.
EVENTS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("sending", "sent"), "sent"),
    **dict.fromkeys(("delivered", "partially_delivered"), "delivered"),
    "undelivered": "bounced",
    "failed": "failed",
    "read": "opened",
}

#: Codes of callbacks after which a number is not to be used any more.
DEAD: Final = {
    "21610": Reason.OPT_OUT,
    "21614": Reason.INVALID,
    "30006": Reason.INVALID,  # a landline
}


#: How the events of messages are called that Twilio's Event Streams sends.
STREAM: Final = "com.twilio.messaging.message."


class TwilioClient(ApiClient):
    """Reads Twilio's answers."""

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means."""
        if answer.status < HTTPStatus.BAD_REQUEST:
            return super().judge(answer)
        return _by_code(_code(answer), answer.status) or super().judge(answer)


def _by_code(code: int, status: int) -> NexusError | None:
    if code in GONE:
        return TargetGoneError(f"the number cannot be reached (code {code})")
    if code in OURS or status == HTTPStatus.UNAUTHORIZED:
        return AuthorizationError(
            f"the account or its number may not send (code {code}): see "
            "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_PHONE_NUMBER"
        )
    if code in FULL:
        text = "the number's queue is full"
        return Postponed(text, code="rate_limited", until=clock.now() + FULL_FOR)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return RemoteUnavailableError("is not available")
    if status == HTTPStatus.BAD_REQUEST:
        return RejectedError(f"refused the message (code {code})")
    return None


class _HttpClient(HttpClient):  # type: ignore[misc] # the SDK has no types
    """Carries the SDK's requests; our errors pass through it."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__(get_logger(__name__), is_async=False)
        self._client = client

    def request(  # noqa: PLR0913, PLR0917 - the SDK's signature
        self,
        method: str,
        uri: str,
        params: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - ours is shorter
        allow_redirects: bool = False,  # noqa: ARG002 - never
    ) -> Response:
        sent = dict(headers or {})
        if auth:
            login = base64.b64encode(":".join(auth).encode()).decode()
            sent["Authorization"] = f"Basic {login}"
        call = Call(method, uri, params=params, form=data, headers=sent)
        answer = self._client.send(call)
        return Response(answer.status, answer.body.decode(errors="replace"))


class TwilioProvider(Provider[Sms]):
    name: ClassVar[str] = "twilio"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.SMS})
    can_find: ClassVar[bool] = True

    def __init__(self, settings: TwilioSettings) -> None:
        self._settings = settings
        user, password, account = settings.login()
        self._ahead = timedelta()
        client = TwilioClient(name="Twilio", limits=LIMITS, on_answer=self._read_clock)
        self._sdk = Client(user, password, account, http_client=_HttpClient(client))
        self._sdk.api.base_url = settings.at("twilio_url", "twilio")

    @classmethod
    def connect(cls) -> Self:
        return cls(TwilioSettings.load())

    def _read_clock(self, answer: Answer) -> None:
        """Note by how much Twilio's clock is ahead of ours, as each answer tells."""
        self._ahead = time_there(answer.headers) - clock.now()

    def deliver(self, content: Sms, *, delivery_id: str) -> Receipt:
        fields = {"to": content.to, "body": content.body, **self._settings.sender()}
        if self._settings.twilio_status_callback:
            callback = self._settings.twilio_status_callback
            mark = "&" if "?" in callback else "?"
            fields["status_callback"] = f"{callback}{mark}delivery_id={delivery_id}"
        try:
            message = self._sdk.messages.create(**fields)
        except (TwilioException, ValueError) as error:
            # it was taken, and the answer makes no sense
            raise UnknownOutcomeError(
                "Twilio: the answer cannot be read; the message may have been sent"
            ) from error
        return _receipt(message)

    @classmethod
    def read_events(
        cls, headers: Mapping[str, str], body: bytes, *, url: str | None
    ) -> list[DeliveryEvent]:
        if url is None:
            raise InvalidRequestError("Twilio signs the address, too: give its url")
        text = body.decode(errors="replace")
        _verify(headers, text, url)
        return [_event(told) for told in _told(text, url)]

    def find(
        self, content: Sms, *, delivery_id: str, since: datetime
    ) -> Receipt | None:
        del delivery_id  # Twilio does not show the address of the callback
        found = self._sdk.messages.list(to=content.to, limit=LOOKED_AT)
        begun = since + self._ahead - COARSE
        for message in found:
            if message.date_created is None or message.date_created < begun:
                continue
            # a trial account writes a line before the text; pictures may have none
            if (message.body or "").endswith(content.body):
                return _receipt(message)
        return None


def _receipt(message: Any) -> Receipt:
    details = {"status": str(message.status), "segments": str(message.num_segments)}
    return Receipt(provider_id=str(message.sid), details=details)


def _code(answer: Answer) -> int:
    try:
        return int(json.loads(answer.body)["code"])
    except (ValueError, LookupError, TypeError):
        return answer.status


class _Form(dict[str, list[str]]):
    """A form as the SDK reads those whose fields may stand there several times."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def _verify(headers: Mapping[str, str], body: str, url: str) -> None:
    """Hold the signature against the address and the form.

    Of a body that is no form, the address has the digest: ``bodySHA256``.
    """
    settings = TwilioSettings.load()
    found = {name.lower(): value for name, value in headers.items()}
    algorithm = get_signature_algorithm(found.get(SIGNATURE_SETTINGS_HEADER.lower()))
    by_token = algorithm.upper() == HMAC_SHA1
    name = "TWILIO_AUTH_TOKEN" if by_token else "NEXUS_TWILIO_WEBHOOK_KEY"
    key = settings.twilio_auth_token if by_token else settings.twilio_webhook_key
    if key is None:
        raise ConfigurationError(
            f"{name} is not set: what Twilio calls back is not believed"
        )
    signed = body if _has_digest(url) else _Form(parse_qs(body, keep_blank_values=True))
    signature = found.get("x-twilio-signature", "")
    validator = RequestValidator(key.get_secret_value())
    if not signature or not validator.validate(url, signed, signature, algorithm):
        raise SignatureError("Twilio: the signature of the callback is not right")


def _has_digest(url: str) -> bool:
    return "bodySHA256" in parse_qs(urlsplit(url).query)


def _told(body: str, url: str) -> list[dict[str, Any]]:
    """Return what is told: one status as a form, or as JSON what Event Streams has."""
    if not _has_digest(url):
        form = dict(parse_qsl(body or urlsplit(url).query, keep_blank_values=True))
        return [{"url": url, **form}]
    try:
        events = json.loads(body)
    except ValueError:
        raise SignatureError("Twilio: the events cannot be read") from None
    events = events if isinstance(events, list) else [events]
    return [
        _of_stream(event)
        for event in events
        if isinstance(event, dict) and str(event.get("type")).startswith(STREAM)
    ]


def _of_stream(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of Event Streams with the names of a status callback."""
    data = event.get("data")
    told: Mapping[str, Any] = data if isinstance(data, dict) else {}
    return {
        "id": event.get("id"),
        "MessageSid": told.get("messageSid"),
        "MessageStatus": str(event["type"]).removeprefix(STREAM),
        "To": told.get("to"),
        "ErrorCode": told.get("errorCode"),
        "at": told.get("timestamp"),
        "url": told.get("statusCallBackUrl"),
    }


def _event(told: Mapping[str, Any]) -> DeliveryEvent:
    sid, word = told.get("MessageSid") or "", str(told.get("MessageStatus") or "")
    code = str(told["ErrorCode"]) if told.get("ErrorCode") else None
    query = dict(parse_qsl(urlsplit(str(told.get("url") or "")).query))
    return DeliveryEvent(
        id=str(told.get("id") or f"{sid}:{word}"),
        provider="twilio",
        channel=Channel.SMS,
        kind=EVENTS.get(word, "other"),
        word=word,
        at=_time(told.get("at")),
        delivery_id=query.get("delivery_id"),
        provider_id=sid or None,
        address=told.get("To"),
        code=code,
        suppress=DEAD.get(code or ""),
    )


def _time(told: Any) -> datetime:
    """Return when it was; a status callback does not say."""
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        return clock.now()
    return found if found.tzinfo else found.replace(tzinfo=UTC)
