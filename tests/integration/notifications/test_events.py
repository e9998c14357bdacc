"""What vendors tell later, as the sandbox tells it, by a host's own server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from nexus_actors.core import clock
from nexus_actors.core.errors import UnknownOutcomeError, UnsupportedFeatureError
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


def test_a_provider_that_tells_nothing_says_so() -> None:
    with pytest.raises(UnsupportedFeatureError, match="firebase"):
        receive_events("firebase", headers={}, body=b"")
