"""One notification, sent once: on the sandbox, with a real database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from databases import OpenDatabase, make_key, url_of
from metering import heard
from nexus_actors.core import clock
from nexus_actors.core.database import Database
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    InvalidRequestError,
    Postponed,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.ledger import State
from nexus_actors.notifications import (
    cancel,
    connect,
    preferences,
    suppressions,
    unsubscribe,
)
from nexus_actors.notifications.content import Channel
from nexus_actors.notifications.delivering import SCHEDULE_S
from nexus_actors.notifications.errors import (
    NotDeliveredError,
    SignatureError,
    TargetGoneError,
    TemplateError,
)
from nexus_actors.notifications.lists import Reason
from nexus_actors.testing.sandbox import SandboxClient
from notices import CHANNEL, DEVICE, PHONE


WELCOME = {"name": "Ann", "dashboard_url": "https://tube.example/d"}
EMAIL = {"to": "ann@example.com", "subject": "Ready", "text": "It is ready"}


@pytest.fixture(autouse=True)
def time_of_the_test(
    vendors: dict[str, str],  # noqa: ARG001 - first
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    monkeypatch.setenv("NEXUS_DOUBT_S", "60")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nexus.db'}")
    yield
    connect.database().close()


def send(type: str = "email", **more: Any) -> dict[str, Any]:
    if type == "email":
        more = {"email": EMAIL} | more
    return connect.send_notification({"type": type, **more})


def postponed(**body: Any) -> float:
    """Return for how long it is put off, in seconds."""
    with pytest.raises(Postponed) as caught:
        send(**body)
    return (caught.value.until - clock.now()).total_seconds()


def states(key: str) -> list[State]:
    return [entry.state for entry in connect.connect()._entries(key)]  # noqa: SLF001


def offset() -> float:
    return (clock.now() - datetime.now(UTC)).total_seconds()


def forward(seconds: float) -> None:
    clock.move(offset() + seconds)


def count(sandbox: SandboxClient, vendor: str) -> int:
    return len(sandbox.truth()[vendor])


# sent, and once


def test_the_call_of_the_original_system_sends_a_mail_from_a_template(
    nexus_sandbox: SandboxClient,
) -> None:
    result = send(
        template="email-welcome",
        templateData={"name": "Ann", "dashboardUrl": "https://tube.example/d"},
        email={"to": "ann@example.com", "subject": "Hello Ann"},
    )

    [effect] = nexus_sandbox.truth()["sendgrid"]
    assert result["status"] == "accepted"
    [delivery] = result["deliveries"]
    assert delivery["provider_id"] == effect["id"]
    arguments = effect["details"]["message"]["personalizations"][0]["custom_args"]
    assert arguments == {"delivery_id": delivery["delivery_id"]}
    assert effect["details"]["title"] == "Hello Ann"
    assert "https://tube.example/d" in effect["details"]["text"]
    assert "Open your dashboard" in effect["details"]["html"]


def test_every_channel_takes_the_same_notification(
    nexus_sandbox: SandboxClient,
) -> None:
    targets: dict[str, dict[str, Any]] = {
        "email": {"to": "ann@example.com"},
        "sms": {"to": PHONE},
        "push": {"fid": DEVICE},
        "slack": {"channel": CHANNEL},
    }
    for kind, target in targets.items():
        result = send(
            kind, template="email-welcome", template_data=WELCOME, **{kind: target}
        )
        assert result["status"] == "accepted"
    url = f"{nexus_sandbox.url}/webhook/x"
    send("webhook", webhook={"url": url, "event": "user.created", "data": {"id": 7}})

    told = nexus_sandbox.truth()
    assert {name: len(told[name]) for name in told if told[name]} == dict.fromkeys(
        ("sendgrid", "twilio", "fcm", "slack", "webhook"), 1
    )
    assert "Your account is ready" in told["twilio"][0]["details"]["text"]
    assert told["webhook"][0]["details"]["body"]["data"] == {"id": 7}


def test_the_same_thing_asked_for_twice_is_sent_once(
    nexus_sandbox: SandboxClient,
) -> None:
    with heard() as told:
        first = send(idempotency_key="video-1:ready")
        again = send(idempotency_key="video-1:ready")
        other = send(idempotency_key="video-2:ready")
        to_bob = send(
            idempotency_key="video-1:ready", email={**EMAIL, "to": "bob@example.com"}
        )

    assert first == again
    assert told == {
        ("nexus_notifications_total", "email", "sendgrid", "accepted"): 3,
        ("nexus_notifications_total", "email", "sendgrid", "deduplicated"): 1,
    }
    ids = {r["deliveries"][0]["delivery_id"] for r in (first, other, to_bob)}
    assert len(ids) == count(nexus_sandbox, "sendgrid") == 3


def test_no_address_stands_in_the_ledger(nexus_sandbox: SandboxClient) -> None:
    send(idempotency_key="k")

    [entry] = connect.connect()._entries("k")  # noqa: SLF001
    assert "ann" not in repr(entry)
    assert count(nexus_sandbox, "sendgrid") == 1


# what is wrong


def test_a_template_that_lacks_a_value_is_refused_before_anything_is_claimed(
    nexus_sandbox: SandboxClient,
) -> None:
    with pytest.raises(TemplateError, match="lacks dashboard_url"):
        send(template="email-welcome", template_data={"name": "A"}, idempotency_key="k")

    assert states("k") == []
    assert count(nexus_sandbox, "sendgrid") == 0


def test_what_the_vendor_refuses_is_not_delivered_and_may_be_sent_once_put_right(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(slack={"scopes": ["chat:write"]})
    channels = {CHANNEL: {"name": "x", "error": "restricted_action"}}
    nexus_sandbox.settings(slack={"channels": channels})
    body: dict[str, Any] = {
        "slack": {"channel": CHANNEL, "text": "Hi"},
        "idempotency_key": "k",
    }
    with pytest.raises(NotDeliveredError, match="restricted_action"):
        send("slack", **body)
    assert states("k") == [State.RELEASED]
    nexus_sandbox.settings(slack={"channels": {CHANNEL: {"name": "x"}}})

    assert send("slack", **body)["status"] == "accepted"


def test_a_limit_postpones_and_costs_nothing(nexus_sandbox: SandboxClient) -> None:
    nexus_sandbox.faults(
        {"action": "answer", "status": 429, "headers": {"Retry-After": "30"}}
    )

    assert 25 < postponed(type="slack", slack={"channel": CHANNEL, "text": "x"}) <= 30


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENDGRID_API_KEY")
    with pytest.raises(ConfigurationError, match="SENDGRID_API_KEY is not set"):
        send()
    monkeypatch.delenv("EMAIL_FROM")
    with pytest.raises(ConfigurationError, match="EMAIL_FROM is not set"):
        send()
    monkeypatch.setenv("EMAIL_FROM", "a@example.com")
    with pytest.raises(InvalidRequestError, match=r"give email\.subject and text"):
        send(email={"to": "ann@example.com"})


# outcomes that nobody knows


def test_a_mail_whose_answer_is_lost_waits_and_is_not_sent_again(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "after"})

    for _ in range(2):  # what has no template is not known to be waited for
        with pytest.raises(UnknownOutcomeError):
            send(idempotency_key="k")

    assert states("k") == [State.UNKNOWN]
    assert count(nexus_sandbox, "sendgrid") == 1


def test_a_mail_that_somebody_waits_for_is_sent_again_after_a_while(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    body: dict[str, Any] = {"template": "email-welcome", "template_data": WELCOME}
    body |= {"idempotency_key": "k"}

    # SendGrid cannot be asked: its events have some minutes to tell
    assert 290 < postponed(**body) <= 300
    assert 280 < postponed(**body) <= 300
    assert count(nexus_sandbox, "sendgrid") == 1
    forward(301)
    result = send(**body)

    assert result["status"] == "accepted"
    assert count(nexus_sandbox, "sendgrid") == 2  # at least once: so the policy


REPORT: dict[str, Any] = {
    "template": "analytics-report",
    "template_data": {"period": "May", "metrics": [], "report_url": "https://t.io"},
}


def headers_of(sandbox: SandboxClient) -> dict[str, str]:
    """Return the headers of the last mail, beside the usual."""
    effect = sandbox.truth()["sendgrid"][-1]
    headers: dict[str, str] = effect["details"]["message"].get("headers", {})
    return headers


def test_who_does_not_want_reports_leaves_them_from_within_the_mail_program(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SECRET_KEY", make_key())
    monkeypatch.setenv("NEXUS_UNSUBSCRIBE_URL", "https://tube.example/out?t={token}")
    monkeypatch.setenv("NEXUS_UNSUBSCRIBE_MAILTO", "Tube <out@tube.example>")
    token = ""
    for user_id in ("u7", None):
        report: dict[str, Any] = REPORT | {"user_id": user_id}
        send(**report, idempotency_key=f"May:{user_id}")
        headers = headers_of(nexus_sandbox)
        found = re.fullmatch(
            r"<https://tube\.example/out\?t=(\S+)>, "
            r"<mailto:out@tube\.example\?subject=unsubscribe>",
            headers["List-Unsubscribe"],
        )
        assert found
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        token = unquote(found[1])
        assert "ann" not in token

        assert unsubscribe(token) == "reports"
        unsubscribe(token)  # again

        sent = count(nexus_sandbox, "sendgrid")
        result = send(**report, idempotency_key=f"June:{user_id}")
        assert result["status"] == ("skipped" if user_id else "suppressed")
        assert count(nexus_sandbox, "sendgrid") == sent
    with pytest.raises(SignatureError):
        unsubscribe(token[:-4])
    # what is asked for has no such header, and comes all the same
    send(template="email-welcome", template_data=WELCOME)
    assert headers_of(nexus_sandbox) == {}
    send()
    assert headers_of(nexus_sandbox) == {}


def test_a_host_decides_what_follows(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "after", "times": 2})
    monkeypatch.setenv("NEXUS_UNKNOWN", '{"email": "never"}')
    with pytest.raises(UnknownOutcomeError):
        send(template="email-welcome", template_data=WELCOME)

    assert postponed(type="email", when_unknown="again") > 50


def test_an_unknown_outcome_never_goes_to_another_provider(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_EMAIL_PROVIDERS", "sendgrid,file")
    monkeypatch.setenv("NEXUS_NOTIFICATIONS_FOLDER", str(tmp_path / "sent"))
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    with pytest.raises(UnknownOutcomeError):
        send(idempotency_key="k")
    assert not (tmp_path / "sent").exists()

    # what certainly failed does
    nexus_sandbox.faults({"action": "answer", "status": 503})
    result = send(idempotency_key="other")

    assert result["deliveries"][0]["provider"] == "file"
    [mail] = (tmp_path / "sent").glob("*.eml")
    assert "Subject: Ready" in mail.read_text()


def test_of_several_failures_the_one_that_may_pass_is_told(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SMS_PROVIDERS", "twilio")
    nexus_sandbox.faults({"action": "answer", "status": 503})
    with pytest.raises(TransientError):
        send("sms", sms={"to": PHONE, "body": "x"})
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "wrong")
    with pytest.raises(AuthorizationError, match="TWILIO_AUTH_TOKEN"):
        send("sms", sms={"to": PHONE, "body": "x"})


# webhooks


def test_a_webhook_is_tried_by_the_schedule_with_one_id_and_one_body(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "answer", "status": 500, "times": None})
    url = f"{nexus_sandbox.url}/webhook/x"
    body: dict[str, Any] = {"type": "webhook", "webhook": {"url": url, "event": "a.b"}}
    body |= {"idempotency_key": "k"}
    waits = []
    for _ in SCHEDULE_S:
        waits.append(postponed(**body))
        forward(waits[-1])
    with pytest.raises(NotDeliveredError, match="in 10 attempts"):
        send(**body)

    assert all(
        wait * 0.99 <= found <= wait * 1.11
        for wait, found in zip(SCHEDULE_S, waits, strict=True)
    )
    requests = nexus_sandbox.requests()
    assert len(requests) == 10
    heads = [dict(request["headers"]) for request in requests]
    assert len({head["webhook-id"] for head in heads}) == 1
    assert len({head["webhook-timestamp"] for head in heads}) == 10
    assert len({request["body"] for request in requests}) == 1


def test_a_receiver_that_is_gone_is_not_asked_again(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "answer", "status": 410})
    url = f"{nexus_sandbox.url}/webhook/x"
    webhook = {"url": url, "event": "a.b"}
    with pytest.raises(TargetGoneError):
        send("webhook", webhook=webhook)

    result = send("webhook", webhook=webhook)

    assert result["status"] == "suppressed"
    assert count(nexus_sandbox, "webhook") == 0
    assert suppressions().remove(Channel.WEBHOOK, url)
    assert send("webhook", webhook=webhook)["status"] == "accepted"


# whom not to notify


def test_an_address_on_the_list_is_not_used(nexus_sandbox: SandboxClient) -> None:
    listed = suppressions()
    listed.add(Channel.EMAIL, "Ann@Example.com", Reason.HARD_BOUNCE, source="test")
    listed.add(Channel.EMAIL, "bob@example.com", Reason.UNSUBSCRIBE, source="test")
    listed.add(
        Channel.EMAIL, "eve@example.com", Reason.UNSUBSCRIBE, source="t", category="x"
    )

    def told(to: str, **more: Any) -> Any:
        result = send(email={**EMAIL, "to": to}, **more)
        return result["status"], result["deliveries"][0]["reason"]

    required: dict[str, Any] = {"template": "email-welcome", "template_data": WELCOME}
    assert told("ann@example.com") == ("suppressed", "hard_bounce")
    assert told("ANN@example.com", **required) == ("suppressed", "hard_bounce")
    assert told("bob@example.com") == ("suppressed", "unsubscribe")
    assert told("eve@example.com", category="x") == ("suppressed", "unsubscribe")
    assert count(nexus_sandbox, "sendgrid") == 0
    # what is required passes a person's no, and another category is not meant
    assert told("bob@example.com", **required) == ("accepted", None)
    assert told("eve@example.com") == ("accepted", None)


def test_the_narrowest_wish_counts(nexus_sandbox: SandboxClient) -> None:
    wishes = preferences()
    wishes.set("u1", category="videos", wanted=False)
    wishes.set("u1", category="videos", channel="push", wanted=True)

    def told(type: str, **more: Any) -> str:
        targets: dict[str, Any] = {
            "email": EMAIL,
            "push": {"fid": DEVICE, "title": "a", "body": "b"},
        }
        result = send(type, **{type: targets[type]}, user_id="u1", **more)
        return str(result["status"])

    assert told("email", category="videos") == "skipped"
    assert told("push", category="videos") == "accepted"
    assert told("email", category="other") == "accepted"
    assert told("email", template="email-welcome", template_data=WELCOME) == "accepted"
    wishes.set("u1", wanted=False)
    assert told("email", category="other") == "skipped"
    assert count(nexus_sandbox, "sendgrid") == 2


def test_quiet_hours_put_off_what_is_not_urgent(nexus_sandbox: SandboxClient) -> None:
    now = datetime.now(UTC)
    noon = now.replace(hour=11, minute=0, second=0, microsecond=0) + timedelta(days=1)
    clock.move((noon - now).total_seconds())
    body: dict[str, Any] = {"quiet_hours": ["20:00", "21:00"], "zone": "Asia/Tokyo"}

    assert 3500 < postponed(type="email", **body) <= 3600 + 900
    assert count(nexus_sandbox, "sendgrid") == 0
    assert send(**{**body, "zone": "UTC"})["status"] == "accepted"


# other ways


def test_who_cannot_be_reached_is_tried_by_the_next_channel(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(fcm={"unregistered": ["gone"]})
    ready = {"video_title": "Sunrise", "video_url": "https://tube.example/v"}
    body: dict[str, Any] = {
        "template": "video-processing-complete",
        "template_data": ready,
    }
    body |= {"push": {"token": "gone"}, "email": {"to": "ann@example.com"}}

    result = send("push", fallback=["sms", "email"], **body)

    assert [(d["channel"], d["status"]) for d in result["deliveries"]] == [
        ("push", "failed"),
        ("sms", "skipped"),
        ("email", "accepted"),
    ]
    # the token is dead, and not asked for again
    again = send("push", **body)
    assert again["deliveries"][0]["reason"] == "gone"
    assert count(nexus_sandbox, "sendgrid") == 1


def test_a_host_knows_who_a_user_is(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_RESOLVE_RECIPIENT", "notices:resolve")
    body: dict[str, Any] = {
        "template": "email-welcome",
        "template_data": WELCOME,
        "email": None,
    }

    result = send(user_id="u1", **body)
    nobody = send(user_id="u2", **body)

    assert result["status"] == "accepted"
    [effect] = nexus_sandbox.truth()["sendgrid"]
    assert effect["details"]["title"] == "Willkommen bei Nexus, Ann"
    assert nobody["deliveries"][0]["reason"] == "no_address"


# later, or never


def test_what_is_to_be_sent_later_waits_and_can_be_taken_back(
    nexus_sandbox: SandboxClient,
) -> None:
    at = clock.now() + timedelta(hours=30)
    body: dict[str, Any] = {"send_at": at.isoformat(), "idempotency_key": "k"}
    assert 29 * 3600 < postponed(type="email", **body) <= 30 * 3600
    forward(30 * 3600 + 1)
    assert cancel("k")

    result = send(**body)

    assert result["status"] == "cancelled"
    assert count(nexus_sandbox, "sendgrid") == 0
    assert cancel("k")
    assert send(idempotency_key="kk")["status"] == "accepted"  # not all that begin so
    assert not cancel("kk")  # too late


# many


def test_each_of_many_is_told_once_whatever_becomes_of_the_others(
    nexus_sandbox: SandboxClient,
) -> None:
    suppressions().add(
        Channel.EMAIL, "dead@example.com", Reason.HARD_BOUNCE, source="test"
    )
    people: list[dict[str, Any]] = [
        {"email": {"to": f"{name}@example.com"}, "template_data": {"name": name}}
        for name in ("ann", "bob", "dead", "ann")
    ]
    people.append({"email": {"to": "eve@example.com"}, "locale": "de"})
    body: dict[str, Any] = {
        "type": "email",
        "template": "email-welcome",
        "template_data": {"name": "you", "dashboard_url": "https://tube.example/d"},
        "recipients": people,
        "idempotency_key": "launch",
    }
    nexus_sandbox.faults({"action": "answer", "status": 503, "nth": 2})

    with pytest.raises(TransientError):
        connect.send_bulk(body)
    assert count(nexus_sandbox, "sendgrid") == 2  # the others are done
    result = connect.send_bulk(body)

    assert result["counts"] == {"accepted": 4, "suppressed": 1}
    told = nexus_sandbox.truth()["sendgrid"]
    titles = sorted(effect["details"]["title"] for effect in told)
    assert titles == [
        "Welcome to Nexus, ann",
        "Welcome to Nexus, bob",
        "Willkommen bei Nexus, you",
    ]
    assert [r["status"] for r in result["recipients"]] == [
        *("accepted", "accepted", "suppressed", "accepted", "accepted")
    ]


def test_a_vendor_that_does_not_know_us_is_not_asked_a_thousand_times(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "wrong")
    people = [{"email": {"to": f"p{number}@example.com"}} for number in range(9)]
    body = {"type": "email", "template": "email-welcome", "template_data": WELCOME}

    with pytest.raises(AuthorizationError, match="SENDGRID_API_KEY"):
        connect.send_bulk({**body, "recipients": people})

    assert len(nexus_sandbox.requests()) == 1


def test_the_lists_are_kept_by_both_kinds_of_database(
    database: Database, open_database: OpenDatabase
) -> None:
    from nexus_actors.notifications.lists import Preferences, Suppressions

    other = open_database(url_of(database))
    listed, wishes = Suppressions(database), Preferences(database)
    for reason in (Reason.COMPLAINT, Reason.MANUAL):  # the first stays
        listed.add(Channel.SMS, PHONE, reason, source="twilio")
    for wanted in (False, True):
        wishes.set("u1", category="a", wanted=wanted)

    find: Callable[..., Any] = Suppressions(other).find
    found = find(Channel.SMS, PHONE, category="a", required=True)
    assert found.reason is Reason.COMPLAINT
    assert find(Channel.EMAIL, PHONE, category="a", required=True) is None
    assert Preferences(other).wants("u1", category="a", channel=Channel.SMS)
