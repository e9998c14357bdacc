"""What a host may ask for, and what is refused before it is in the queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from databases import make_key
from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.notifications.adapters.webhook import written
from nexus_actors.notifications.content import WebhookMessage
from nexus_actors.notifications.models import (
    SendBulkRequest,
    SendNotificationRequest,
)


HOOK = {"url": "https://a.example/hook", "event": "a.b"}


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"template_data": {"at": datetime(2026, 1, 1, tzinfo=UTC)}}, "template_data:"),
        ({"webhook": {**HOOK, "data": {"share": float("nan")}}}, "webhook.data: must"),
        ({"webhook": {**HOOK, "data": {"a": "b" * 300_000}}}, "larger than 256 kB"),
        ({"webhook": {**HOOK, "event": "a b"}}, "webhook.event:"),
        ({"webhook": {**HOOK, "url": "https://u:p@a.example/"}}, "webhook.url:"),
        ({"email": {"to": "ann@example.com\r\nBcc: x@example.com"}}, "email.to:"),
        ({"email": {"to": "a@b.io", "subject": "x\r\nBcc: y@b.io"}}, "email.subject:"),
        ({"email": {"to": "a@b.io", "name": "x\ny"}}, "email.name:"),
        ({"sms": {"to": "004915112345678"}}, "sms.to:"),
        ({"push": {"token": "a", "topic": "b"}}, "give one of"),
        ({"slack": {"channel": "C1 <!channel>"}}, "slack.channel:"),
        ({"idempotency_key": "a#b"}, "idempotency_key:"),
        ({"locale": "../de"}, "locale:"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(
    more: dict[str, Any], complaint: str
) -> None:
    body = {"type": "webhook", "webhook": HOOK} | more

    with pytest.raises(InvalidRequestError) as caught:
        SendNotificationRequest.parse(body, what="send_notification")

    assert complaint in caught.value.message
    assert "\n" not in caught.value.message


def test_a_bulk_message_names_a_thousand_people_and_no_more() -> None:
    body = {"type": "email", "template": "email-welcome"}
    people = [{"email": {"to": f"p{number}@example.com"}} for number in range(1001)]

    request = SendBulkRequest.parse({**body, "recipients": people[1:]}, what="bulk")
    assert len(request.recipients) == 1000
    with pytest.raises(InvalidRequestError, match=r"recipients: .*1000"):
        SendBulkRequest.parse({**body, "recipients": people}, what="bulk")


def test_half_a_character_keeps_nothing_from_being_sent() -> None:
    body = {"type": "sms", "sms": {"to": "+14155550123", "body": "cut \ud83d"}}
    email = {"to": "a@b.io", "name": "A \ud83d", "text": "x \ud83d", "html": "\udd00"}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    data = {"title": "cut \ud83d", "whole": "\U0001f600"}
    message = WebhookMessage(
        url="https://a.example", keys=(), type="a.b", at=at, data=data
    )

    request = SendNotificationRequest.parse(body | {"email": email}, what="x")
    sent = json.loads(written(message).decode())

    assert request.sms
    assert request.sms.body == "cut ?"
    assert request.email
    assert (request.email.name, request.email.text, request.email.html) == (
        *("A ?", "x ?"),
        "?",
    )
    assert sent["data"] == {"title": "cut ?", "whole": "\U0001f600"}


@pytest.mark.parametrize("name", ["NEXUS_SECRET_KEY", "NEXUS_SECRET_KEY_FILE"])
def test_what_only_the_person_may_read_is_sealed_where_there_is_a_key(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(make_key() + "\n", "utf-8")
    monkeypatch.setenv(name, str(tmp_path / "key") if "FILE" in name else make_key())
    body = {"type": "email", "template": "email-welcome", "email": {"to": "a@b.io"}}
    data = {"template_data": {"code": "hunter2"}}

    request = SendNotificationRequest.parse(body | data, what="send_notification")
    written = request.to_json()

    assert "hunter2" not in json.dumps(written)
    read = SendNotificationRequest.parse(written, what="send_notification")
    assert read == request
