"""What vendors answer, and what it means: on the sandbox, which answers as they do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    ForbiddenUrlError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.notifications.adapters.firebase import FirebaseProvider
from nexus_actors.notifications.adapters.sendgrid import SendGridProvider
from nexus_actors.notifications.adapters.slack import SlackProvider
from nexus_actors.notifications.adapters.twilio import TwilioProvider
from nexus_actors.notifications.adapters.webhook import WebhookProvider
from nexus_actors.notifications.base import Provider
from nexus_actors.notifications.content import (
    ChatMessage,
    Mail,
    Push,
    Sms,
    WebhookMessage,
)
from nexus_actors.notifications.errors import TargetGoneError
from nexus_actors.notifications.settings import TwilioSettings
from nexus_actors.notifications.signature import verify
from nexus_actors.sandbox.vendors.webhook import DEFAULT_SECRET
from nexus_actors.testing.sandbox import SandboxClient
from notices import CHANNEL, DEVICE, EMAIL_FROM, PHONE
from published import OpenApi, discovery


ID = "dlv_0123456789abcdef0123456789abcdef"

pytestmark = pytest.mark.usefixtures("vendors")


def mail(**more: Any) -> Mail:
    values = {"sender": EMAIL_FROM, "subject": "Ready", "text": "Your video is ready"}
    return Mail(**{"to": "ann@example.com", **values, **more})


def push(**more: Any) -> Push:
    return Push(**{"target": DEVICE, "title": "Ready", "body": "Your video", **more})


def webhook(sandbox: SandboxClient, **more: Any) -> WebhookMessage:
    values = {"keys": (DEFAULT_SECRET,), "type": "video.processed"}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    url = f"{sandbox.url}/webhook/orders"
    return WebhookMessage(**{"url": url, "at": at, "data": {}, **values, **more})


def fails(provider: Provider[Any], content: Any, error: type[NexusError]) -> NexusError:
    with pytest.raises(error) as caught:
        provider.deliver(content, delivery_id=ID)
    return caught.value


def bodies(sandbox: SandboxClient, vendor: str) -> list[Any]:
    """Return what was sent to a vendor."""
    [effect] = sandbox.truth()[vendor]
    found = sandbox.requests()[effect["request"] - 1]
    return [json.loads(found["body"])]


# mail


def test_a_mail_arrives_as_the_document_says_with_its_id(
    nexus_sandbox: SandboxClient, shared_contracts: Path
) -> None:
    def mended(document: Any) -> None:
        schema = document["components"]["requestBodies"]["PostMailSend"]["content"]
        properties = schema["application/json"]["schema"]["properties"]
        properties["custom_args"] = {"type": "object"}

    receipt = SendGridProvider.connect().deliver(
        mail(
            to_name="Smith, Ann; MD",
            html="<p>Your video</p>",
            category="activity",
            reply_to="Help <help@tube.example>",
            headers={"List-Unsubscribe": "<https://tube.example/u>"},
        ),
        delivery_id=ID,
    )

    [effect] = nexus_sandbox.truth()["sendgrid"]
    assert receipt.provider_id == effect["id"]
    assert effect["details"]["recipients"] == ["ann@example.com"]
    message = effect["details"]["message"]
    [envelope] = message["personalizations"]
    assert envelope["custom_args"] == {"delivery_id": ID}
    # of a name SendGrid takes neither commas nor semicolons
    assert envelope["to"] == [{"email": "ann@example.com", "name": "Smith Ann MD"}]
    text, html = (effect["details"][name] for name in ("text", "html"))
    content = [("text/plain", text), ("text/html", html)]
    whole = message | {"content": [{"type": t, "value": v} for t, v in content]}
    document = OpenApi(shared_contracts / "sendgrid" / "tsg_mail_v3.json", mended)
    document.request("POST", "/v3/mail/send")(whole)


def test_what_sendgrid_refuses_and_why(nexus_sandbox: SandboxClient) -> None:
    provider = SendGridProvider.connect()

    refused = fails(provider, mail(headers={"Reply-To": "x"}), RejectedError)
    nexus_sandbox.settings(sendgrid={"senders": ["other.example"]})
    unverified = fails(provider, mail(), AuthorizationError)
    nexus_sandbox.settings(sendgrid={"senders": None, "rate_limit": 1})
    limited = fails(provider, mail(), Postponed)

    assert "headers" in refused.message
    assert "EMAIL_FROM" in unverified.message
    assert isinstance(limited, Postponed)
    assert timedelta() < limited.until - clock.now() <= timedelta(seconds=61)
    assert nexus_sandbox.truth()["sendgrid"] == []


# text messages


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("+15005550001", TargetGoneError),  # no number
        ("+15005550004", TargetGoneError),  # has answered STOP
        ("+15005550009", TargetGoneError),  # no mobile phone
        ("+15005550002", RejectedError),  # no route
        ("+15005550003", RejectedError),  # no permission for the region
    ],
)
def test_what_twilio_refuses_of_a_number(to: str, error: type[NexusError]) -> None:
    found = fails(TwilioProvider.connect(), Sms(to=to, body="Hi"), error)

    assert type(found) is error
    assert to[-7:] not in str(found)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("+15005550001", AuthorizationError),
        ("+15005550007", AuthorizationError),
        ("+15005550008", Postponed),  # its queue is full
    ],
)
def test_what_twilio_refuses_of_ours(number: str, error: type[NexusError]) -> None:
    settings = TwilioSettings.load({"twilio_phone_number": number})

    fails(TwilioProvider(settings), Sms(to=PHONE, body="Hi"), error)


def test_a_text_message_whose_answer_is_lost_is_found(
    nexus_sandbox: SandboxClient,
) -> None:
    provider, sms = TwilioProvider.connect(), Sms(to=PHONE, body="Your video is ready")
    before = clock.now()
    nexus_sandbox.set_clock(-60)  # its clock is behind ours
    nothing = provider.find(sms, delivery_id=ID, since=before)
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    fails(provider, sms, UnknownOutcomeError)

    found = provider.find(sms, delivery_id=ID, since=before)

    [effect] = nexus_sandbox.truth()["twilio"]
    assert nothing is None
    assert found
    assert found.provider_id == effect["id"]
    # neither another text, nor one of another day
    assert not provider.find(Sms(to=PHONE, body="Else"), delivery_id=ID, since=before)
    later = clock.now() + timedelta(minutes=1)
    assert not provider.find(sms, delivery_id=ID, since=later)


# push


def test_a_push_arrives_as_the_document_says(
    nexus_sandbox: SandboxClient, shared_contracts: Path
) -> None:
    sent = push(
        kind="fid",
        image="https://tube.example/i.jpg",
        link="https://tube.example/v/1",
        data={"video_id": "1"},
        urgent=True,
    )
    receipt = FirebaseProvider.connect().deliver(sent, delivery_id=ID)

    [effect] = nexus_sandbox.truth()["fcm"]
    assert receipt.provider_id == effect["id"]
    [body] = bodies(nexus_sandbox, "fcm")
    assert body["message"]["android"]["notification"]["tag"] == ID
    assert body["message"]["apns"]["headers"]["apns-collapse-id"] == ID
    validate = discovery(shared_contracts / "fcm" / "fcm.v1.json", "SendMessageRequest")
    validate(camel(body))


def camel(value: Any) -> Any:
    """Write names and enumerations as the document does: FCM takes the SDK's, too."""
    if isinstance(value, list):
        return [camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {"data", "headers", "payload"}  # maps, whose names are the sender's
    found = {}
    for name, inner in value.items():
        first, *rest = name.split("_")
        key = first + "".join(word.title() for word in rest)
        found[key] = inner if name in kept else camel(inner)
    if found.get("priority") in {"high", "normal"}:
        found["priority"] = found["priority"].upper()
    return found


def test_what_fcm_refuses_and_why(nexus_sandbox: SandboxClient) -> None:
    nexus_sandbox.settings(
        fcm={
            "unregistered": ["gone"],
            "mismatched": ["others"],
            "invalid": ["no-token"],
            "unauthorized": ["iphone"],
        }
    )
    provider = FirebaseProvider.connect()

    for target in ("gone", "others", "no-token"):
        assert type(fails(provider, push(target=target), RejectedError)) is (
            TargetGoneError
        )
    platform = fails(provider, push(target="iphone"), AuthorizationError)
    # our fault, and no reason to drop a device
    large = fails(provider, push(data={"a": "b" * 4096}), RejectedError)
    reserved = fails(provider, push(data={"google.a": "b"}), RejectedError)
    nexus_sandbox.settings(fcm={"quota_per_minute": 1})
    asked = len(nexus_sandbox.requests())
    limited = fails(provider, push(), Postponed)

    assert "APNs" in platform.message
    assert {type(large), type(reserved)} == {RejectedError}
    assert isinstance(limited, Postponed)
    assert limited.until > clock.now()
    # asked once: the queue waits as long as FCM says, and no thread does
    assert len(nexus_sandbox.requests()) == asked + 1


def test_an_access_token_that_is_taken_back_is_replaced(
    nexus_sandbox: SandboxClient,
) -> None:
    provider = FirebaseProvider.connect()
    provider.deliver(push(), delivery_id=ID)
    nexus_sandbox.faults({"action": "answer", "status": 401, "route": "POST *:send"})

    again = fails(provider, push(), RemoteUnavailableError)
    receipt = provider.deliver(push(), delivery_id=ID)

    assert "taken back" in again.message
    assert receipt.provider_id
    paths = [request["path"] for request in nexus_sandbox.requests()]
    assert paths.count("/fcm/token") == 2


# chat


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ("is_archived", TargetGoneError),
        ("restricted_action", RejectedError),
        ("missing_scope", AuthorizationError),
        ("ratelimited", Postponed),
        ("service_unavailable", RemoteUnavailableError),
        ("fatal_error", UnknownOutcomeError),
        ("a_word_of_next_year", RejectedError),
    ],
)
def test_what_slack_says_with_a_status_of_200(
    nexus_sandbox: SandboxClient, error: str, meaning: type[NexusError]
) -> None:
    channels = {CHANNEL: {"name": "videos", "error": error}}
    nexus_sandbox.settings(slack={"channels": channels})

    found = fails(SlackProvider.connect(), ChatMessage(to=CHANNEL, text="Hi"), meaning)

    assert type(found) is meaning


@pytest.mark.parametrize(
    ("to", "is_reply"), [(CHANNEL, False), (CHANNEL, True), ("U0SANDBOX01", False)]
)
def test_a_chat_message_whose_answer_is_lost_is_found(
    nexus_sandbox: SandboxClient, to: str, *, is_reply: bool
) -> None:
    provider, message = SlackProvider.connect(), ChatMessage(to=to, text="Ready")
    if is_reply:
        head = provider.deliver(message, delivery_id="dlv_head")
        message = replace(message, thread=head.details["ts"])
    before = clock.now()
    nexus_sandbox.set_clock(-60)
    nexus_sandbox.faults(
        {"action": "drop", "moment": "after", "route": "*chat.postMessage"}
    )
    fails(provider, message, UnknownOutcomeError)

    found = provider.find(message, delivery_id=ID, since=before)

    *_, effect = nexus_sandbox.truth()["slack"]
    assert found
    assert found.provider_id.endswith(effect["id"])
    assert provider.find(message, delivery_id="dlv_other", since=before) is None


def test_a_channel_that_cannot_be_read_is_no_proof(
    nexus_sandbox: SandboxClient,
) -> None:
    provider = SlackProvider.connect()
    named = ChatMessage(to="#videos", text="Ready")
    with pytest.raises(UnknownOutcomeError, match="by its id"):
        provider.find(named, delivery_id=ID, since=clock.now())
    nexus_sandbox.settings(slack={"scopes": ["chat:write"]})

    with pytest.raises(UnknownOutcomeError, match="channels:history"):
        provider.find(
            ChatMessage(to=CHANNEL, text="x"), delivery_id=ID, since=clock.now()
        )


# webhooks


def test_a_webhook_is_signed_in_every_way_that_was_asked_for(
    nexus_sandbox: SandboxClient,
) -> None:
    old = "whsec_" + "b2xk" * 8
    nexus_sandbox.settings(webhook={"secrets": [old]})  # has not heard of the new one
    provider = WebhookProvider.connect()

    provider.deliver(
        webhook(nexus_sandbox, keys=(DEFAULT_SECRET, old), data={"title": "Zoë ☃"}),
        delivery_id=ID,
    )
    nexus_sandbox.settings(webhook={"secrets": [DEFAULT_SECRET]})
    provider.deliver(webhook(nexus_sandbox, plain=True), delivery_id="dlv_2")

    first, second = nexus_sandbox.truth()["webhook"]
    assert first["details"]["signed"] == ["v1"]
    assert first["details"]["body"] == {
        "type": "video.processed",
        "timestamp": "2026-01-02T00:00:00+00:00",
        "data": {"title": "Zoë ☃"},
    }
    assert second["details"]["signed"] == ["v1", "plain"]
    request = nexus_sandbox.requests()[0]
    headers = dict(request["headers"])
    assert verify(old, headers, request["body"].encode())["type"] == "video.processed"


def test_a_webhook_repeated_is_one_for_its_receiver(
    nexus_sandbox: SandboxClient,
) -> None:
    provider = WebhookProvider.connect()
    for _ in range(2):
        provider.deliver(webhook(nexus_sandbox), delivery_id=ID)

    [effect] = nexus_sandbox.truth()["webhook"]
    assert effect["details"]["deliveries"] == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (410, TargetGoneError),
        (400, RemoteUnavailableError),
        (404, RemoteUnavailableError),
        (503, RemoteUnavailableError),
    ],
)
def test_what_a_receiver_answers(
    nexus_sandbox: SandboxClient, status: int, error: type[NexusError]
) -> None:
    nexus_sandbox.faults({"action": "answer", "status": status, "body": "s3cret"})

    found = fails(WebhookProvider.connect(), webhook(nexus_sandbox), error)

    assert (
        "s3cret" not in f"{found} {found.details}"
    )  # who typed the URL learns nothing


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "https://0x7f000001/x",
        "https://[::ffff:10.0.0.1]/x",
        "http://93.184.215.14/x",
        "file:///etc/passwd",
    ],
)
def test_a_webhook_reaches_nothing_that_is_not_public(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.delenv("NEXUS_GUARD_ALLOW")

    fails(WebhookProvider.connect(), webhook(nexus_sandbox, url=url), ForbiddenUrlError)
