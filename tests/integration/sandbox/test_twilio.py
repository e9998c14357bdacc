from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client

from nexus_actors.testing.sandbox import SandboxClient
from web import Web, reply, web


ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "0" * 31 + "2"
KEY = "SK" + "0" * 31 + "3"
SERVICE = "MG" + "0" * 31 + "4"
FROM = "+15005550006"
TO = "+14155550123"


@pytest.fixture
def client(nexus_sandbox: SandboxClient) -> Iterator[Any]:
    client = Client(ACCOUNT, TOKEN)
    client.api.base_url = f"{nexus_sandbox.url}/twilio"
    yield client
    client.http_client.session.close()


@pytest.fixture
def host() -> Iterator[Web]:
    """The host's own server, which is told of statuses."""
    with web() as site:
        yield site


def send(client: Any, to: str = TO, body: str = "Hello", **fields: Any) -> Any:
    if "messaging_service_sid" not in fields:
        fields = {"from_": FROM} | fields
    return client.messages.create(to=to, body=body, **fields)


def refused(client: Any, **fields: Any) -> tuple[int, int]:
    """Return the status and the code with which a message is refused."""
    with pytest.raises(TwilioRestException) as caught:
        send(client, **fields)
    assert caught.value.msg
    return caught.value.status, caught.value.code


def call(
    sandbox: SandboxClient, method: str, path: str = "/Messages.json", **options: Any
) -> requests.Response:
    url = f"{sandbox.url}/twilio/2010-04-01/Accounts/{ACCOUNT}{path}"
    given: dict[str, Any] = {"auth": (ACCOUNT, TOKEN), "timeout": 10} | options
    return requests.request(method, url, **given)


def effects(sandbox: SandboxClient) -> list[dict[str, Any]]:
    return sandbox.truth()["twilio"]


# what is sent


def test_the_sdk_sends_a_message_whose_status_changes_with_time(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    nexus_sandbox.settings(twilio={"step_s": 600})
    message = send(client)
    statuses = [message.status]
    for seconds in (900, 1500):
        nexus_sandbox.set_clock(seconds)
        statuses.append(message.fetch().status)

    assert statuses == ["queued", "sent", "delivered"]
    assert (message.num_segments, message.error_code) == ("1", None)
    assert message.date_sent is None
    sent = message.fetch().date_sent
    assert abs(sent - datetime.now(UTC)) < timedelta(seconds=700)
    (effect,) = effects(nexus_sandbox)
    assert (effect["kind"], effect["id"]) == ("message", message.sid)
    details = effect["details"]
    assert (details["to"], details["text"]) == (TO, "Hello")
    assert details["form"] == {"To": TO, "From": FROM, "Body": "Hello"}


def test_an_api_key_is_as_good_as_the_token(
    nexus_sandbox: SandboxClient,
) -> None:
    client = Client(KEY, "sandbox", ACCOUNT)
    client.api.base_url = f"{nexus_sandbox.url}/twilio"

    assert send(client).status == "queued"
    client.http_client.session.close()


def test_a_messaging_service_chooses_the_number_later(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    message = send(client, messaging_service_sid=SERVICE)
    nexus_sandbox.set_clock(3.5)
    later = message.fetch()

    assert (message.status, message.num_segments, message.from_) == (
        "accepted",
        "0",
        None,
    )
    assert (later.status, later.num_segments) == ("delivered", "1")
    assert later.messaging_service_sid == SERVICE


def test_media_makes_it_an_mms(client: Any) -> None:
    message = send(client, media_url=["https://cdn.example/a.png"])

    assert message.sid.startswith("MM")
    assert message.num_media == "1"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 158 + "€", 1),
        ("x" * 159 + "€", 2),
        ("x" * 152 + "€" * 2 + "x" * 100, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("é" * 160, 1),
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        ("“" + "x" * 69, 1),
        ("“" + "x" * 70, 2),
        ("x" * 66 + "🎬" * 3, 2),
        ("🎬" * 35, 1),
        ("🎬" * 36, 2),
        ("🎬" * 67, 3),
    ],
)
def test_a_long_text_takes_several_segments(client: Any, text: str, count: int) -> None:
    assert send(client, body=text).num_segments == str(count)


def test_what_is_sent_again_is_a_second_message(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "after"})

    with pytest.raises(requests.ConnectionError):
        send(client)
    unknown = len(effects(nexus_sandbox))
    send(client)

    assert (unknown, len(effects(nexus_sandbox))) == (1, 2)


# what is refused


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": ""}, 21604),
        ({"to": "0151 23456"}, 21211),
        ({"to": "+0123"}, 21211),
        ({"from_": ""}, 21603),
        ({"from_": "+1 415"}, 21212),
        ({"from_": "+14155550199"}, 21606),
        ({"to": FROM}, 21266),
        ({"to": "whatsapp:+14155550123"}, 21910),
        ({"messaging_service_sid": "MG" + "9" * 32}, 21701),
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"media_url": ["https://cdn.example/a.png"] * 11}, 21623),
        ({"media_url": ["file:///etc/passwd"]}, 21620),
        ({"status_callback": "https://my_host.example/x"}, 21609),
        ({"status_callback": "ftp://host.example/x"}, 21609),
        ({"status_callback": "https://host.example:x/"}, 21609),
        ({"validity_period": 36_001}, 20001),
        ({"validity_period": -1}, 20001),
        ({"schedule_type": "fixed", "send_at": "2030-01-01T00:00:00Z"}, 35118),
        ({"schedule_type": "fixed", "messaging_service_sid": SERVICE}, 35111),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_with_its_code(
    nexus_sandbox: SandboxClient, client: Any, fields: dict[str, Any], code: int
) -> None:
    assert refused(client, **fields) == (400, code)
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize("seconds", [299, 35 * 86400 + 60])
def test_a_message_is_scheduled_neither_too_soon_nor_too_late(
    client: Any, seconds: int
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    schedule = {"schedule_type": "fixed", "messaging_service_sid": SERVICE}

    assert refused(client, send_at=at, **schedule) == (400, 35114)


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("+15005550001", 21211),
        ("+15005550002", 21612),
        ("+15005550003", 21408),
        ("+15005550004", 21610),
        ("+15005550009", 21614),
    ],
)
def test_a_magic_number_is_refused_with_its_code(
    client: Any, to: str, code: int
) -> None:
    assert refused(client, to=to) == (400, code)


@pytest.mark.parametrize(
    ("sender", "code"),
    [("+15005550001", 21212), ("+15005550007", 21606), ("+15005550008", 21611)],
)
def test_nothing_comes_from_a_magic_number(client: Any, sender: str, code: int) -> None:
    assert refused(client, from_=sender) == (400, code)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"opted_out": [TO]}, 21610),
        ({"refused": {TO: 21635}}, 21635),
        ({"refused": {TO: 30034}}, 30034),
        ({"regions": ["+49"]}, 21408),
        ({"verified_numbers": []}, 21608),
        ({"numbers": []}, 21606),
    ],
)
def test_the_account_decides_who_is_reached(
    nexus_sandbox: SandboxClient, client: Any, settings: dict[str, Any], code: int
) -> None:
    nexus_sandbox.settings(twilio=settings)

    assert refused(client) == (400, code)
    assert effects(nexus_sandbox) == []


def test_the_wrong_token_and_another_account_are_refused(
    nexus_sandbox: SandboxClient,
) -> None:
    wrong = call(nexus_sandbox, "GET", auth=(ACCOUNT, "x"))
    nobody = call(nexus_sandbox, "GET", auth=("", ""))
    token = call(nexus_sandbox, "GET", auth=None, headers={"Authorization": "Bearer x"})
    nexus_sandbox.settings(twilio={"account_sid": "AC" + "5" * 32})
    other = call(nexus_sandbox, "GET", auth=("AC" + "5" * 32, TOKEN))

    for answer in (wrong, nobody, token, other):
        assert answer.status_code == 401
        assert answer.json()["code"] == 20003
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_what_is_not_there_is_not_found_and_the_path_named(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    nowhere = call(nexus_sandbox, "GET", "/Calls.json")
    with pytest.raises(TwilioRestException) as caught:
        client.messages("SM" + "0" * 32).fetch()
    wrong_method = call(nexus_sandbox, "PUT")

    assert nowhere.json() == {
        "code": 20404,
        "message": f"The requested resource /2010-04-01/Accounts/{ACCOUNT}/Calls.json "
        "was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }
    assert (caught.value.status, caught.value.code) == (404, 20404)
    assert wrong_method.status_code == 405


def test_too_many_requests_are_refused_until_the_second_is_over(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    nexus_sandbox.settings(twilio={"requests_per_s": 1})

    def send_many() -> None:
        for _ in range(20):  # of which two are made within one second
            send(client)

    with pytest.raises(TwilioRestException) as caught:
        send_many()
    before = len(effects(nexus_sandbox))
    nexus_sandbox.set_clock(1.5)
    send(client)

    assert (caught.value.status, caught.value.code) == (429, 20429)
    assert len(effects(nexus_sandbox)) == before + 1


def test_a_number_sends_one_after_the_other_until_its_queue_is_full(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    nexus_sandbox.settings(twilio={"segments_per_s": 0.1, "queue_s": 25})

    messages = [send(client) for _ in range(2)]
    send(client, body="x" * 161)
    full = refused(client)
    nexus_sandbox.set_clock(5)

    assert full == (400, 21611)
    assert [m.fetch().status for m in messages] == ["delivered", "queued"]
    assert send(client, messaging_service_sid=SERVICE).status == "accepted"


# scheduled messages, lists


def test_a_scheduled_message_is_cancelled_before_it_leaves_and_not_after(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    schedule: dict[str, Any] = {
        "schedule_type": "fixed",
        "send_at": at,
        "messaging_service_sid": SERVICE,
    }
    early, late = send(client, **schedule), send(client, **schedule)

    cancelled = early.update(status="canceled")
    nexus_sandbox.set_clock(3700)
    with pytest.raises(TwilioRestException) as caught:
        late.update(status="canceled")

    assert (early.status, cancelled.status) == ("scheduled", "canceled")
    assert early.fetch().status == "canceled"
    assert late.fetch().status == "delivered"
    assert caught.value.code == 30409


def test_a_message_is_found_by_recipient_and_day(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    wanted = [send(client, body=str(number)) for number in range(5)]
    send(client, to="+14155550999")
    now = datetime.now(UTC)
    hour = timedelta(hours=1)

    def found(**filters: Any) -> list[str]:
        return [m.sid for m in client.messages.list(**filters)]

    expected = [message.sid for message in reversed(wanted)]
    assert found(to=TO, page_size=2) == expected
    assert found(to=TO, limit=3) == expected[:3]
    assert found(to=TO, from_=FROM, date_sent=now.date()) == expected
    assert found(to=TO, date_sent_after=now - hour, date_sent_before=now + hour)
    assert found(to=TO, date_sent_after=now + hour) == []
    assert found(to=TO, date_sent_before=now - hour) == []
    assert found(to=TO, date_sent=(now - timedelta(days=2)).date()) == []
    assert call(nexus_sandbox, "GET", params={"Page": "x"}).status_code == 400


def test_a_message_is_emptied_and_forgotten_once_it_is_over(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    message = send(client)
    with pytest.raises(TwilioRestException) as caught:
        message.delete()
    nexus_sandbox.set_clock(60)

    assert message.update(body="").body == ""
    assert message.delete()
    assert caught.value.code == 20009
    assert client.messages.list() == []
    assert len(effects(nexus_sandbox)) == 1


# callbacks


def told(sandbox: SandboxClient, host: Web, *, after_s: float = 60) -> list[Any]:
    """Let time pass; return what the host was told since it was last asked."""
    sandbox.set_clock(after_s)
    host.requests.clear()
    sandbox.send_callbacks()
    return [dict(parse_qsl(request.body.decode())) for request in host.requests]


@pytest.mark.parametrize("shared_key", [None, ["webhooks_key_1", "a shared secret"]])
def test_each_status_is_told_signed_to_the_address_that_the_message_named(
    nexus_sandbox: SandboxClient, client: Any, host: Web, shared_key: Any
) -> None:
    nexus_sandbox.settings(twilio={"shared_key": shared_key})
    url = host.url("/sms?delivery=d%201&x=é")
    message = send(client, status_callback=url)

    fields = told(nexus_sandbox, host)

    assert [f["MessageStatus"] for f in fields] == ["sent", "delivered"]
    assert {f["MessageSid"] for f in fields} == {message.sid}
    assert fields[1]["To"] == TO
    assert "ErrorCode" not in fields[1]
    validator = RequestValidator(shared_key[1] if shared_key else TOKEN)
    for request, given in zip(host.requests, fields, strict=True):
        headers = request.headers
        algorithm = get_signature_algorithm(
            headers.get("x-twilio-webhooks-signature-settings")
        )
        signature = headers["x-twilio-signature"]
        assert algorithm == ("HMAC_SHA256" if shared_key else "HMAC_SHA1")
        assert validator.validate(url, given, signature, algorithm)
        assert not validator.validate(url + "y", given, signature, algorithm)
        other = given | {"MessageStatus": "read"}
        assert not validator.validate(url, other, signature, algorithm)


def test_a_failure_is_told_with_its_code_and_once_only(
    nexus_sandbox: SandboxClient, client: Any, host: Web
) -> None:
    host.replies = [reply(500)]
    nexus_sandbox.settings(
        twilio={
            "outcomes": {TO: ["sent", "undelivered:30003"]},
            "status_callback": host.url("/sms"),
        }
    )
    message = send(client, messaging_service_sid=SERVICE)

    first, second = told(nexus_sandbox, host), told(nexus_sandbox, host)

    statuses = [fields["MessageStatus"] for fields in first]
    assert statuses == ["queued", "sent", "undelivered"]
    assert first[-1]["ErrorCode"] == "30003"
    assert first[-1]["MessagingServiceSid"] == SERVICE
    assert second == []
    assert message.fetch().error_code == 30003


def test_nothing_is_told_where_no_address_is_named(
    nexus_sandbox: SandboxClient, client: Any
) -> None:
    send(client)
    nexus_sandbox.set_clock(60)

    assert nexus_sandbox.send_callbacks() == []


@pytest.mark.parametrize(
    "outcome", ["lost", "undelivered", "failed:x", "delivered:30003"]
)
def test_an_outcome_that_there_is_not_is_refused(
    nexus_sandbox: SandboxClient, outcome: str
) -> None:
    with pytest.raises(ValueError, match="outcomes"):
        nexus_sandbox.settings(twilio={"outcomes": {TO: [outcome]}})


def test_a_body_that_is_no_form_is_a_message_without_anything(
    nexus_sandbox: SandboxClient,
) -> None:
    for body in (
        b"",
        b"\xff\xfe",
        b"To",
        b"&&==",
        b'{"To": 1}',
        b"To=%00&Body=%ff",
        b"To=+" * 9,
    ):
        answer = call(nexus_sandbox, "POST", data=body)
        assert answer.status_code == 400
        assert answer.json()["code"] in {21211, 21602, 21603, 21604}
