"""What vendors tell later, as the sandbox tells it, by a host's own server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    ConfigurationError,
    UnknownOutcomeError,
    UnsupportedFeatureError,
)
from nexus_actors.core.ledger import State
from nexus_actors.notifications import connect, receive_events, suppressions
from nexus_actors.notifications.content import Channel
from nexus_actors.notifications.errors import SignatureError
from nexus_actors.notifications.events import DeliveryEvent
from nexus_actors.testing.sandbox import SandboxClient
from notices import PHONE
from web import Request, Web, web


@pytest.fixture
def host() -> Iterator[Web]:
    with web() as host:
        yield host


@pytest.fixture(autouse=True)
def store(
    vendors: dict[str, str],  # noqa: ARG001 - first
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nexus.db'}")
    yield
    connect.database().close()


def taken(provider: str, request: Request, url: str) -> list[DeliveryEvent]:
    return receive_events(provider, headers=request.headers, body=request.body, url=url)


def public_key(sandbox: SandboxClient) -> str:
    """Return what SendGrid signs events with, as its settings page shows it."""
    found: str = requests.get(
        f"{sandbox.url}/sendgrid/v3/user/webhooks/event/settings/signed",
        headers={"Authorization": "Bearer SG.sandbox.sandbox"},
        timeout=30,
    ).json()["public_key"]
    return found


def mail(to: str, **more: Any) -> Any:
    email = {"to": to, "subject": "Ready", "text": "It is ready"}
    return connect.send_notification({"type": "email", "email": email, **more})


def found(channel: Channel, address: str) -> str | None:
    entry = suppressions().find(channel, address, category="", required=False)
    return entry.reason.value if entry else None


def test_what_sendgrid_tells_settles_the_unknown_and_lists_the_dead(
    nexus_sandbox: SandboxClient, host: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = {"dead@example.com": ["bounce"], "full@example.com": ["blocked"]}
    outcomes |= {"angry@example.com": ["delivered", "spamreport"]}
    nexus_sandbox.settings(
        sendgrid={"webhook_url": host.url("/events"), "outcomes": outcomes}
    )
    monkeypatch.setenv("NEXUS_SENDGRID_WEBHOOK_KEY", public_key(nexus_sandbox))
    for to in outcomes:
        mail(to)
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    with pytest.raises(UnknownOutcomeError):
        mail("ann@example.com", idempotency_key="k")

    nexus_sandbox.set_clock(30)
    nexus_sandbox.send_callbacks()
    nexus_sandbox.send_callbacks(again=True)
    events = [e for r in host.requests for e in taken("sendgrid", r, "")]

    assert len(events) == 2 * len({event.id for event in events}) >= 16
    kinds = {(e.address, e.kind) for e in events if e.kind != "sent"}
    assert kinds == {
        ("dead@example.com", "bounced"),
        ("full@example.com", "blocked"),
        ("angry@example.com", "delivered"),
        ("angry@example.com", "complained"),
        ("ann@example.com", "delivered"),
    }
    listed = [found(Channel.EMAIL, to) for to in (*outcomes, "ann@example.com")]
    assert listed == ["hard_bounce", None, "complaint", None]
    # it had arrived, and is not sent again
    [entry] = connect.connect()._entries("k")  # noqa: SLF001
    assert entry.state is State.SETTLED
    assert entry.evidence["resolved_by"] == "event"
    again = mail("ann@example.com", idempotency_key="k")
    assert again["status"] == "accepted"
    assert len(nexus_sandbox.truth()["sendgrid"]) == 4


def test_what_twilio_tells_is_ranked_and_lists_the_dead(
    nexus_sandbox: SandboxClient, host: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = "https://us.example.com/sms?from=twilio"
    monkeypatch.setenv("NEXUS_TWILIO_STATUS_CALLBACK", host.url("/sms?a=1"))
    landline = "+14155550199"
    nexus_sandbox.settings(twilio={"outcomes": {landline: ["undelivered:30006"]}})
    ids = []
    for to in (PHONE, landline):
        sms = {"to": to, "body": "It is ready"}
        result = connect.send_notification({"type": "sms", "sms": sms})
        ids.append(result["deliveries"][0]["delivery_id"])

    nexus_sandbox.set_clock(60)
    nexus_sandbox.send_callbacks(again=True)  # the latest first
    events = []
    for request in host.requests:
        url = host.url(request.path)
        with pytest.raises(SignatureError):
            taken("twilio", request, callback)
        events += taken("twilio", request, url)

    best = {e.delivery_id: e for e in sorted(events, key=lambda e: e.rank)}
    assert [best[each].kind for each in ids] == ["delivered", "bounced"]
    assert best[ids[1]].code == "30006"
    assert found(Channel.SMS, landline) == "invalid"
    assert found(Channel.SMS, PHONE) is None


def signed(url: str, body: str, key: str, algorithm: str = "sha1") -> str:
    """Return what Twilio signs, as its page "Webhooks security" says it."""
    text = url
    if "bodySHA256" not in url:
        fields = parse_qsl(body, keep_blank_values=True)
        text += "".join(f"{name}{value}" for name, value in sorted(set(fields)))
    digest = hmac.digest(key.encode(), text.encode(), algorithm)
    return base64.b64encode(digest).decode()


STATUS = (
    "MessageStatus=delivered&MessageSid=SM1&To=%2B14155550123&Tag=b&Tag=a&Tag=b&Empty="
)
STREAM = json.dumps(
    [
        {
            "specversion": "1.0",
            "type": f"com.twilio.messaging.{kind}",
            "id": f"EZ{kind}",
            "data": {
                "messageSid": "SM1",
                "messageStatus": "UNDELIVERED",
                "errorCode": 30006,
                "to": PHONE,
                "timestamp": "2026-11-26T09:00:00.000Z",
                "statusCallBackUrl": "https://tube.example/sms?delivery_id=dlv_1",
            },
        }
        for kind in ("message.undelivered", "inbound-message.received")
    ]
)


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_twilio_is_believed_in_each_form_in_which_it_signs(
    port: str,
    algorithm: str,
    vendors: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEXUS_TWILIO_WEBHOOK_KEY", "shared")
    key = {"sha1": vendors["TWILIO_AUTH_TOKEN"], "sha256": "shared"}[algorithm]
    headers = {}
    if algorithm == "sha256":
        name = "X-Twilio-Webhooks-Signature-Settings"
        headers[name] = "key=K1,algorithm=HMAC_SHA256"

    def take(
        url: str, body: str, *, signed_as: str | None = None
    ) -> list[DeliveryEvent]:
        given = headers | {
            "x-twilio-signature": signed(signed_as or url, body, key, algorithm)
        }
        return receive_events("twilio", headers=given, body=body.encode(), url=url)

    base = f"https://tube.example{port}/sms?delivery_id=dlv_1"
    digest = hashlib.sha256(STREAM.encode()).hexdigest()
    [status] = take(base, STATUS)
    [event] = take(f"{base}&bodySHA256={digest}", STREAM)

    assert (status.kind, status.delivery_id) == ("delivered", "dlv_1")
    assert (event.kind, event.delivery_id, event.code) == ("bounced", "dlv_1", "30006")
    assert (event.id, event.at.isoformat()) == (
        "EZmessage.undelivered",
        "2026-11-26T09:00:00+00:00",
    )
    if port != ":8443":  # Twilio signs with the usual port or without
        other = (
            base.replace(port, "") if port else base.replace(".example", ".example:443")
        )
        assert take(base, STATUS, signed_as=other)
    with pytest.raises(SignatureError):
        take(base, STATUS, signed_as=base.replace("https", "http"))
    with pytest.raises(SignatureError):
        take(f"{base}&bodySHA256={digest}", STREAM.replace("SM1", "SM2"))
    with pytest.raises(SignatureError):
        take(base, STREAM, signed_as=base + "x")


def test_an_event_of_a_new_kind_does_not_keep_the_others_from_being_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    monkeypatch.setenv("NEXUS_SENDGRID_WEBHOOK_KEY", base64.b64encode(public).decode())
    now = str(int(clock.now().timestamp()))
    mail = {"event": "dropped", "timestamp": int(now), "sg_event_id": "e"}
    told = [
        {"event": "account_status_change", "type": "compliance_suspend"},
        {**mail, "email": "a@example.com", "reason": "Invalid SMTPAPI header"},
        {**mail, "email": "b@example.com", "reason": "Invalid"},
        {**mail, "email": "c@example.com", "reason": "Bounced Address"},
        {
            **mail,
            "email": "d@example.com",
            "reason": "Recipient List over Package Quota",
        },
        "what is this",
    ]
    body = json.dumps(told, ensure_ascii=False).encode()
    signature = key.sign(now.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": now,
    }

    events = receive_events("sendgrid", headers=headers, body=body)
    again = receive_events("sendgrid", headers=headers, body=body)

    assert [event.id for event in events] == [event.id for event in again]
    assert [event.kind for event in events] == ["other", *["dropped"] * 4]
    listed = [found(Channel.EMAIL, f"{name}@example.com") for name in "abcd"]
    assert listed == [None, "invalid", "hard_bounce", None]


def test_what_is_not_the_vendors_or_is_old_changes_nothing(
    nexus_sandbox: SandboxClient,
    host: Web,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    outcomes = {"dead@example.com": ["bounce"]}
    nexus_sandbox.settings(
        sendgrid={"webhook_url": host.url("/events"), "outcomes": outcomes}
    )
    monkeypatch.setenv("NEXUS_SENDGRID_WEBHOOK_KEY", public_key(nexus_sandbox))
    mail("dead@example.com")
    nexus_sandbox.set_clock(30)
    nexus_sandbox.send_callbacks()
    [request] = host.requests
    headers, body = dict(request.headers), request.body

    for changed, content in (
        (headers, body + b" "),
        (headers, b"\xff" + body),
        ({}, body),
        (dict.fromkeys(headers, "x"), body),
    ):
        with pytest.raises(SignatureError, match="not right"):
            receive_events("sendgrid", headers=changed, body=content)
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    clock.move(700)
    with pytest.raises(SignatureError, match="too long ago"):
        receive_events("sendgrid", headers=headers, body=body)
    assert found(Channel.EMAIL, "dead@example.com") is None
    clock.move(0)
    receive_events("sendgrid", headers=headers, body=body)
    assert found(Channel.EMAIL, "dead@example.com") == "hard_bounce"


def test_a_key_that_cannot_verify_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_SENDGRID_WEBHOOK_KEY", "SG.no-public-key")

    with pytest.raises(ConfigurationError, match="NEXUS_SENDGRID_WEBHOOK_KEY is no"):
        receive_events("sendgrid", headers={}, body=b"[]")


def test_a_provider_that_tells_nothing_says_so() -> None:
    with pytest.raises(UnsupportedFeatureError, match="firebase"):
        receive_events("firebase", headers={}, body=b"")
