from __future__ import annotations

import base64
import gc
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from python_http_client import exceptions
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.mail import (
    Attachment,
    Category,
    Content,
    CustomArg,
    Email,
    Mail,
    Personalization,
    To,
)

from nexus_actors.testing.sandbox import SandboxClient
from published import OpenApi
from web import Web, reply, web


KEY = "SG.sandbox.sandbox"

#: Of the sandbox's only event webhook.
SIGNED = "/v3/user/webhooks/event/settings/signed"


@pytest.fixture
def host() -> Iterator[Web]:
    """The host's own server, which is told of events."""
    with web() as site:
        yield site


def mail(**fields: Any) -> dict[str, Any]:
    """The smallest mail, with *fields* put in or, if they are None, left out."""
    body = {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "us@example.com", "name": "Us"},
        "subject": "Welcome",
        "content": [
            {"type": "text/plain", "value": "Hello"},
            {"type": "text/html", "value": "<p>Hello</p>"},
        ],
    } | fields
    return {name: value for name, value in body.items() if value is not None}


def call(
    sandbox: SandboxClient,
    method: str = "POST",
    path: str = "/v3/mail/send",
    body: Any = None,
    **headers: str,
) -> requests.Response:
    given = {"Authorization": f"Bearer {KEY}"} | headers
    url = f"{sandbox.url}/sendgrid{path}"
    return requests.request(method, url, json=body, headers=given, timeout=10)


def send(sandbox: SandboxClient, *to: str, **fields: Any) -> str:
    """Send a mail that is accepted, one personalization each; return its id."""
    if to:
        fields["personalizations"] = [{"to": [{"email": email}]} for email in to]
    answer = call(sandbox, body=mail(**fields))
    assert answer.status_code == 202, answer.text
    assert answer.content == b""
    return answer.headers["X-Message-Id"]


def refused(sandbox: SandboxClient, **fields: Any) -> list[str]:
    """Return the fields that are wrong with a mail."""
    answer = call(sandbox, body=mail(**fields))
    assert answer.status_code == 400, answer.text
    return [error["field"] for error in answer.json()["errors"]]


def effects(sandbox: SandboxClient) -> list[dict[str, Any]]:
    return sandbox.truth()["sendgrid"]


def told(sandbox: SandboxClient, host: Web, *, after_s: float = 60) -> list[Any]:
    """Let time pass; return what the host was told since it was last asked."""
    sandbox.settings(sendgrid={"webhook_url": host.url("/events")})
    sandbox.set_clock(after_s)
    host.requests.clear()
    sandbox.send_callbacks()
    return [event for request in host.requests for event in json.loads(request.body)]


def names(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["email"], event["event"]) for event in events]


# the SDK


def test_the_sdk_sends_a_mail_and_its_id_is_that_of_the_effect(
    nexus_sandbox: SandboxClient,
) -> None:
    client = SendGridAPIClient(KEY, host=f"{nexus_sandbox.url}/sendgrid")
    message = Mail(
        from_email="us@example.com",
        subject="Your video is ready",
        plain_text_content="Watch it",
        html_content="<p>Watch it</p>",
    )
    for number in range(2):
        envelope = Personalization()
        envelope.add_to(To(f"user{number}@example.com"))
        envelope.add_custom_arg(CustomArg("delivery_id", f"d{number}"))
        message.add_personalization(envelope)
    message.add_category(Category("video"))
    message.add_attachment(
        Attachment(base64.b64encode(b"BEGIN").decode(), "a.ics", "text/calendar")
    )

    answer = client.send(message)

    assert answer.status_code == 202
    (effect,) = effects(nexus_sandbox)
    assert effect["kind"] == "mail"
    assert effect["id"] == answer.headers["X-Message-Id"]
    details = effect["details"]
    assert sorted(details["recipients"]) == ["user0@example.com", "user1@example.com"]
    assert details["title"] == "Your video is ready"
    assert details["text"] == "Watch it"
    assert details["html"] == "<p>Watch it</p>"
    sent = details["message"]
    args = [envelope["custom_args"] for envelope in sent["personalizations"]]
    assert {"delivery_id": "d0"} in args
    assert [a["size"] for a in sent["attachments"]] == [6]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"api_keys": ["SG.other"]}, exceptions.UnauthorizedError),
        ({"restricted_api_keys": [KEY]}, exceptions.ForbiddenError),
        ({"senders": ["example.org"]}, exceptions.ForbiddenError),
        ({"credits": 0}, exceptions.UnauthorizedError),
    ],
)
def test_the_sdk_raises_what_the_account_may_not_do(
    nexus_sandbox: SandboxClient, settings: dict[str, Any], error: Any
) -> None:
    nexus_sandbox.settings(sendgrid=settings)
    client = SendGridAPIClient(KEY, host=f"{nexus_sandbox.url}/sendgrid")
    message = Mail("us@example.com", "ann@example.com", "Hi", "text")

    with pytest.raises(error) as caught:
        client.send(message)

    assert caught.value.to_dict["errors"][0]["message"]
    assert effects(nexus_sandbox) == []
    del caught
    gc.collect()  # the SDK leaves its answer open, which would warn in a later test


def test_a_sender_is_verified_by_address_or_domain(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(sendgrid={"senders": ["US@example.com", "example.org"]})

    for sender in ("us@example.com", "any@example.org"):
        send(nexus_sandbox, **{"from": {"email": sender}})
    answer = call(nexus_sandbox, body=mail(**{"from": {"email": "me@example.com"}}))

    assert answer.status_code == 403
    assert answer.json()["errors"][0]["field"] == "from"


# what is refused


def test_without_a_key_nothing_is_taken(nexus_sandbox: SandboxClient) -> None:
    answer = call(nexus_sandbox, body=mail(), Authorization="Basic x")

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["message"] == "authorization required"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v3/mail/sent", 404, "not found"),
        ("GET", "/v3/mail/send", 405, "method not allowed"),
        ("GET", "/v3/suppression/bouncers", 404, "not found"),
    ],
)
def test_a_path_that_there_is_not_is_refused_as_sendgrid_does(
    nexus_sandbox: SandboxClient, method: str, path: str, status: int, message: str
) -> None:
    answer = call(nexus_sandbox, method, path)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"] == message


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"subject": "\\ud800"}', "application/json", 400),
        (b"NaN", "application/json", 400),
        (b"subject=Hi", "application/x-www-form-urlencoded", 415),
        (b" " * (30 * 1024 * 1024 + 1), "application/json", 413),
    ],
    ids=["half", "deep", "surrogate", "nan", "form", "large"],
)
def test_what_is_no_mail_at_all_is_refused(
    nexus_sandbox: SandboxClient, body: bytes, kind: str, status: int
) -> None:
    answer = requests.post(
        f"{nexus_sandbox.url}/sendgrid/v3/mail/send",
        data=body,
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": kind},
        timeout=30,
    )

    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]
    assert effects(nexus_sandbox) == []


TO = {"to": [{"email": "ann@example.com"}]}


def envelopes(**fields: Any) -> dict[str, Any]:
    """The fields of a mail with one personalization."""
    return {"personalizations": [TO | fields]}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"personalizations": None}, "personalizations"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": {}}, "personalizations"),
        ({"personalizations": [TO] * 1001}, "personalizations"),
        (envelopes(to=[]), "personalizations.0.to"),
        (envelopes(to=[{"email": "ann"}]), "personalizations.0.to.0.email"),
        (envelopes(to=[{"name": "Ann"}]), "personalizations.0.to.0.email"),
        (envelopes(cc=[{"email": "ANN@example.com"}]), "personalizations.0"),
        (envelopes(colour="red"), "personalizations.0.colour"),
        (envelopes(custom_args={"a": 1}), "personalizations.0.custom_args.a"),
        (envelopes(headers={"To": "x"}), "personalizations.0.headers.To"),
        (
            envelopes(custom_args={"a": "x" * 10_000}),
            "personalizations.0.custom_args",
        ),
        (
            envelopes(dynamic_template_data={"a": 1}),
            "personalizations.0.dynamic_template_data",
        ),
        ({"from": None}, "from.email"),
        ({"from": {"email": "us"}}, "from.email"),
        ({"from": "us@example.com"}, "from"),
        ({"subject": None}, "subject"),
        ({"subject": ""}, "subject"),
        ({"subject": 7}, "subject"),
        ({"content": None}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"value": "x"}]}, "content.0.type"),
        ({"content": mail()["content"][::-1]}, "content"),
        ({"content": mail()["content"][:1] * 2}, "content"),
        ({"reply_to": {"email": "x"}}, "reply_to.email"),
        (
            {
                "reply_to": {"email": "a@example.com"},
                "reply_to_list": [{"email": "b@example.com"}],
            },
            "reply_to_list",
        ),
        ({"reply_to_list": [{"email": "b@example.com"}] * 2}, "reply_to_list"),
        ({"template_id": "welcome"}, "template_id"),
        ({"categories": [str(n) for n in range(11)]}, "categories"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"categories": ["x" * 256]}, "categories"),
        ({"custom_args": {"a": "é" * 5000}}, "custom_args"),
        ({"headers": {"x-sg-eid": "1"}}, "headers.x-sg-eid"),
        ({"send_at": int(time.time()) + 73 * 3600}, "send_at"),
        ({"send_at": "soon"}, "send_at"),
        ({"batch_id": "unknown"}, "batch_id"),
        ({"asm": {"groups_to_display": [1]}}, "asm.group_id"),
        (
            {"asm": {"group_id": 1, "groups_to_display": [*range(26)]}},
            "asm.groups_to_display",
        ),
        ({"ip_pool_name": "x"}, "ip_pool_name"),
        (
            {"attachments": [{"content": "%", "filename": "a"}]},
            "attachments.0.content",
        ),
        ({"attachments": [{"content": "YQ=="}]}, "attachments.0.filename"),
        (
            {"attachments": [{"content": "YQ==", "filename": "a", "disposition": "x"}]},
            "attachments.0.disposition",
        ),
        (
            {
                "mail_settings": {
                    "bypass_list_management": {"enable": True},
                    "bypass_spam_management": {"enable": True},
                }
            },
            "mail_settings.bypass_list_management",
        ),
    ],
)
def test_a_mail_that_breaks_a_rule_is_refused_and_the_field_named(
    nexus_sandbox: SandboxClient, fields: dict[str, Any], field: str
) -> None:
    wrong = refused(nexus_sandbox, **fields)

    assert field in wrong
    assert effects(nexus_sandbox) == []


def test_a_dynamic_template_needs_no_content_and_takes_no_substitutions(
    nexus_sandbox: SandboxClient,
) -> None:
    template = {"template_id": "d-" + "0" * 32, "subject": None, "content": None}

    send(nexus_sandbox, **template, **envelopes(dynamic_template_data={"n": 1}))
    wrong = refused(nexus_sandbox, **template, **envelopes(substitutions={"n": "1"}))

    assert wrong == ["personalizations.0.substitutions"]


def test_recipients_of_all_kinds_count_towards_the_thousand(
    nexus_sandbox: SandboxClient,
) -> None:
    def people(kind: str, count: int) -> list[dict[str, str]]:
        return [{"email": f"{kind}{n}@example.com"} for n in range(count)]

    full = {"to": people("to", 400), "cc": people("cc", 400), "bcc": people("b", 200)}
    too_many = full | {"bcc": people("b", 201)}

    send(nexus_sandbox, personalizations=[full])
    wrong = refused(nexus_sandbox, personalizations=[too_many])

    assert wrong == ["personalizations"]
    assert len(effects(nexus_sandbox)[0]["details"]["recipients"]) == 1000
    assert effects(nexus_sandbox)[0]["details"]["to"].endswith(" and 997 more")


def test_no_mail_however_odd_breaks_the_server(nexus_sandbox: SandboxClient) -> None:
    chance = random.Random(7)
    odd: list[Any] = [
        None,
        True,
        7,
        -1.5,
        "",
        "x",
        [],
        [[]],
        {},
        {"email": None},
        [None],
        10**400,
    ]
    statuses = set()

    for _ in range(80):
        body: Any = mail(
            asm={"group_id": 1},
            attachments=[{"content": "YQ==", "filename": "a"}],
            custom_args={"a": "b"},
            mail_settings={"sandbox_mode": {"enable": False}},
        )
        places: list[tuple[Any, Any]] = []

        def walk(node: Any, found: list[tuple[Any, Any]]) -> None:
            for key in node if isinstance(node, dict) else range(len(node)):
                found.append((node, key))
                if isinstance(node[key], dict | list):
                    walk(node[key], found)

        walk(body, places)
        node, key = chance.choice(places)
        node[key] = chance.choice(odd)
        statuses.add(call(nexus_sandbox, body=body).status_code)

    assert statuses <= {202, 400}
    nexus_sandbox.truth()


# how often


def test_each_answer_tells_the_rate_and_too_many_are_refused_until_the_window_ends(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(sendgrid={"rate_limit": 2, "rate_window_s": 30})

    answers = [call(nexus_sandbox, body=mail()) for _ in range(3)]
    elsewhere = call(nexus_sandbox, "POST", "/v3/mail/batch")
    nexus_sandbox.set_clock(31)
    later = call(nexus_sandbox, body=mail())

    assert [a.status_code for a in answers] == [202, 202, 429]
    left = [a.headers["X-RateLimit-Remaining"] for a in answers]
    assert left == ["1", "0", "0"]
    reset = int(answers[2].headers["X-RateLimit-Reset"])
    assert 1 <= reset - time.time() <= 31
    assert answers[2].json()["errors"][0]["message"] == "too many requests"
    assert elsewhere.status_code == 201
    assert later.status_code == 202
    assert len(effects(nexus_sandbox)) == 3


def test_a_mail_that_is_sent_again_is_a_second_mail(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.faults({"action": "drop", "moment": "after"})

    with pytest.raises(requests.ConnectionError):
        send(nexus_sandbox)
    unknown = len(effects(nexus_sandbox))
    send(nexus_sandbox)

    assert (unknown, len(effects(nexus_sandbox))) == (1, 2)


def test_sandbox_mode_checks_a_mail_and_sends_none(
    nexus_sandbox: SandboxClient,
) -> None:
    mode = {"mail_settings": {"sandbox_mode": {"enable": True}}}

    answer = call(nexus_sandbox, body=mail(**mode))
    wrong = call(nexus_sandbox, body=mail(**mode, subject=None))

    assert (answer.status_code, wrong.status_code) == (200, 400)
    assert effects(nexus_sandbox) == []


# scheduled mails


def test_a_scheduled_mail_leaves_at_its_time(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    send(nexus_sandbox, send_at=int(time.time()) + 3600)

    early = told(nexus_sandbox, host)
    late = told(nexus_sandbox, host, after_s=3700)

    assert early == []
    assert [event["event"] for event in late] == ["processed", "delivered"]


def test_a_batch_that_was_cancelled_never_leaves_and_a_paused_one_when_let_go(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    batch = call(nexus_sandbox, "POST", "/v3/mail/batch").json()["batch_id"]
    path = "/v3/user/scheduled_sends"
    send(nexus_sandbox, batch_id=batch, send_at=int(time.time()) + 60)

    held = call(nexus_sandbox, "POST", path, {"batch_id": batch, "status": "cancel"})
    twice = call(nexus_sandbox, "POST", path, {"batch_id": batch, "status": "pause"})
    cancelled = told(nexus_sandbox, host, after_s=100)
    changed = call(nexus_sandbox, "PATCH", f"{path}/{batch}", {"status": "pause"})
    state = call(nexus_sandbox, "GET", f"{path}/{batch}").json()
    in_truth = effects(nexus_sandbox)[0]["details"]["held"]
    paused = told(nexus_sandbox, host, after_s=200)
    released = call(nexus_sandbox, "DELETE", f"{path}/{batch}")
    let_go = told(nexus_sandbox, host, after_s=300)

    assert (held.status_code, twice.status_code) == (201, 400)
    assert (cancelled, paused) == ([], [])
    assert changed.status_code == 204
    assert state == [{"batch_id": batch, "status": "pause"}]
    assert in_truth == "pause"
    assert released.status_code == 204
    assert [event["event"] for event in let_go] == ["processed", "delivered"]
    assert call(nexus_sandbox, "DELETE", f"{path}/{batch}").status_code == 404


# events


def test_events_are_told_when_they_have_happened_and_the_sdk_verifies_them(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    nexus_sandbox.settings(
        sendgrid={"webhook_url": host.url("/events"), "step_s": 3600}
    )
    id_ = send(
        nexus_sandbox,
        categories=["video"],
        custom_args={"delivery_id": "all", "tenant": "t1"},
        **envelopes(custom_args={"delivery_id": "d1"}),
    )

    nexus_sandbox.send_callbacks()
    nexus_sandbox.set_clock(3700)
    (sent,) = nexus_sandbox.send_callbacks()
    nothing = nexus_sandbox.send_callbacks()

    first, second = host.requests
    (processed,), (delivered,) = json.loads(first.body), json.loads(second.body)
    assert processed["event"] == "processed"
    assert processed["sg_message_id"].startswith(id_)
    assert (processed["delivery_id"], processed["tenant"]) == ("d1", "t1")
    assert processed["category"] == "video"
    assert delivered["response"] == "250 OK"
    assert delivered["sg_event_id"] != processed["sg_event_id"]
    assert (sent["vendor"], sent["status"], nothing) == ("sendgrid", 200, [])
    key = call(nexus_sandbox, "GET", SIGNED).json()["public_key"]
    verifier = EventWebhook(key)
    for request, right in ((first, True), (second, True)):
        signature = request.headers["x-twilio-email-event-webhook-signature"]
        timestamp = request.headers["x-twilio-email-event-webhook-timestamp"]
        body = request.body.decode()
        assert verifier.verify_signature(body, signature, timestamp) is right
        assert not verifier.verify_signature(body + " ", signature, timestamp)
        assert not verifier.verify_signature(body.rstrip(), signature, timestamp)


def test_what_was_not_accepted_is_told_again_and_anything_can_be(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    host.replies = [reply(500), reply(200)]
    nexus_sandbox.settings(sendgrid={"webhook_url": host.url("/events")})
    send(nexus_sandbox)
    nexus_sandbox.set_clock(10)

    nexus_sandbox.send_callbacks()
    nexus_sandbox.send_callbacks()
    nexus_sandbox.send_callbacks()
    nexus_sandbox.send_callbacks(again=True)

    bodies = [json.loads(request.body) for request in host.requests]
    order = [[event["event"] for event in body] for body in bodies]
    assert order == [
        ["processed", "delivered"],
        ["processed", "delivered"],
        ["delivered", "processed"],
    ]


def test_a_host_that_is_not_there_is_told_later(nexus_sandbox: SandboxClient) -> None:
    send(nexus_sandbox)
    with web() as gone:
        url = gone.url("/events")
    nexus_sandbox.settings(sendgrid={"webhook_url": url})

    sent = nexus_sandbox.send_callbacks() + nexus_sandbox.send_callbacks()

    assert [callback["status"] for callback in sent] == [None, None]


def test_an_address_has_the_fate_that_the_settings_give_it(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    fates = {
        "gone@example.com": ["bounce"],
        "full@example.com": ["deferred", "blocked"],
        "reader@example.com": ["delivered", "open", "click"],
        "leaver@example.com": ["delivered", "group_unsubscribe"],
    }
    nexus_sandbox.settings(sendgrid={"outcomes": fates})

    send(nexus_sandbox, *fates, asm={"group_id": 7})
    events = told(nexus_sandbox, host)

    by_address = {
        email: [e["event"] for e in events if e["email"] == email][1:]
        for email in fates
    }
    assert by_address == fates | {"full@example.com": ["deferred", "bounce"]}
    types = [e["type"] for e in events if e["event"] == "bounce"]
    assert sorted(types) == ["blocked", "bounce"]
    assert all(e["asm_group_id"] == 7 for e in events)


def test_who_has_bounced_complained_or_left_gets_no_further_mail(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    fates = {
        "gone@example.com": ["bounce"],
        "full@example.com": ["blocked"],
        "angry@example.com": ["delivered", "spamreport"],
        "leaver@example.com": ["delivered", "group_unsubscribe"],
    }
    listed = {"unsubscribes": ["left@example.com"], "invalid_emails": ["x@y.invalid"]}
    nexus_sandbox.settings(sendgrid={"outcomes": fates, **listed})
    everyone = [*fates, "left@example.com", "x@y.invalid"]
    send(nexus_sandbox, *fates, asm={"group_id": 7})
    told(nexus_sandbox, host, after_s=60)

    send(nexus_sandbox, *everyone, asm={"group_id": 7})
    send(nexus_sandbox, "leaver@example.com")
    dropped = [e for e in told(nexus_sandbox, host) if e["event"] == "dropped"]

    assert {e["email"]: e["reason"] for e in dropped} == {
        "gone@example.com": "Bounced Address",
        "angry@example.com": "Spam Reporting Address",
        "leaver@example.com": "Unsubscribed Address",
        "left@example.com": "Unsubscribed Address",
        "x@y.invalid": "Invalid",
    }


@pytest.mark.parametrize(
    ("bypass", "still_dropped"),
    [
        ("bypass_list_management", set()),
        ("bypass_unsubscribe_management", {"gone@example.com"}),
        ("bypass_bounce_management", {"left@example.com"}),
        ("bypass_spam_management", {"gone@example.com", "left@example.com"}),
    ],
)
def test_a_mail_may_pass_over_a_list(
    nexus_sandbox: SandboxClient, host: Web, bypass: str, still_dropped: set[str]
) -> None:
    lists = {"bounces": ["gone@example.com"], "unsubscribes": ["left@example.com"]}
    nexus_sandbox.settings(sendgrid=lists)

    send(
        nexus_sandbox,
        "gone@example.com",
        "left@example.com",
        mail_settings={bypass: {"enable": True}},
    )

    events = told(nexus_sandbox, host)
    assert {e["email"] for e in events if e["event"] == "dropped"} == still_dropped


def test_the_lists_are_read_and_changed(
    nexus_sandbox: SandboxClient, host: Web
) -> None:
    nexus_sandbox.settings(
        sendgrid={"bounces": ["Old@example.com"], "outcomes": {"n@a.io": ["bounce"]}}
    )
    send(nexus_sandbox, "n@a.io")
    told(nexus_sandbox, host)
    bounces, everyone = "/v3/suppression/bounces", "/v3/asm/suppressions/global"
    group = "/v3/asm/groups/7/suppressions"
    emails = {"recipient_emails": ["left@example.com"]}

    listed = call(nexus_sandbox, "GET", bounces).json()
    one = call(nexus_sandbox, "GET", f"{bounces}/old@example.com").json()
    call(nexus_sandbox, "DELETE", f"{bounces}/old@example.com")
    call(nexus_sandbox, "POST", everyone, emails)
    call(nexus_sandbox, "POST", group, emails)

    assert [entry["email"] for entry in listed] == ["Old@example.com", "n@a.io"]
    assert [entry["email"] for entry in one] == ["Old@example.com"]
    left = call(nexus_sandbox, "GET", bounces).json()
    assert [entry["email"] for entry in left] == ["n@a.io"]
    unsubscribed = call(nexus_sandbox, "GET", f"{everyone}/left@example.com").json()
    assert unsubscribed == {"recipient_email": "left@example.com"}
    assert call(nexus_sandbox, "GET", group).json() == ["left@example.com"]
    assert (
        call(nexus_sandbox, "POST", group, {"recipient_emails": 1}).status_code == 400
    )


# the published documents


def mended(document: Any) -> None:
    """Take out what the document has wrong, by its own prose and by real answers."""
    components = document["components"]
    schema = components["requestBodies"]["PostMailSend"]["content"]
    schema["application/json"]["schema"]["properties"]["custom_args"] = {
        "type": "object"
    }
    error = components["schemas"]["ErrorResponse"]["properties"]["errors"]
    # a link, where it is an answer of SendGrid's
    error["items"]["properties"]["help"] = {"type": ["string", "null"]}


def test_what_the_sdk_sends_and_what_is_answered_are_as_the_document_says(
    nexus_sandbox: SandboxClient, shared_contracts: Path
) -> None:
    document = OpenApi(shared_contracts / "sendgrid" / "tsg_mail_v3.json", mended)
    message = Mail(Email("us@example.com", "Us"), To("ann@example.com"), "Hi")
    message.add_content(Content("text/plain", "Hello"))
    message.add_custom_arg(CustomArg("delivery_id", "d1"))
    body = message.get()

    document.request("POST", "/v3/mail/send")(body)
    assert call(nexus_sandbox, body=body).status_code == 202
    wrong = call(nexus_sandbox, body=mail(subject=None))
    document.answer("POST", "/v3/mail/send", 400)(wrong.json())
    denied = call(nexus_sandbox, body=body, Authorization="Bearer x")
    document.answer("POST", "/v3/mail/send", 401)(denied.json())
    batch = call(nexus_sandbox, "POST", "/v3/mail/batch")
    document.answer("POST", "/v3/mail/batch", 201)(batch.json())


@pytest.mark.parametrize(
    ("file", "method", "path", "body", "status"),
    [
        ("suppressions", "GET", "/v3/suppression/bounces", None, 200),
        ("suppressions", "GET", "/v3/suppression/blocks", None, 200),
        ("suppressions", "GET", "/v3/suppression/spam_reports", None, 200),
        ("suppressions", "GET", "/v3/suppression/invalid_emails", None, 200),
        ("suppressions", "GET", "/v3/suppression/unsubscribes", None, 200),
        ("suppressions", "POST", "/v3/asm/suppressions/global", ["a@b.io"], 201),
        ("scheduled_sends", "GET", "/v3/user/scheduled_sends", None, 200),
        ("webhooks", "GET", f"{SIGNED}/{{id}}", None, 200),
    ],
)
def test_lists_and_keys_are_as_the_documents_say(
    nexus_sandbox: SandboxClient,
    shared_contracts: Path,
    file: str,
    method: str,
    path: str,
    body: Any,
    status: int,
) -> None:
    lists = ("bounces", "blocks", "spam_reports", "invalid_emails", "unsubscribes")
    nexus_sandbox.settings(sendgrid={name: ["a@example.com"] for name in lists})
    document = OpenApi(shared_contracts / "sendgrid" / f"tsg_{file}_v3.json")
    given = body and {"recipient_emails": body}
    id_ = call(nexus_sandbox, "GET", SIGNED).json()["id"]

    answer = call(nexus_sandbox, method, path.replace("{id}", id_), given)

    assert answer.status_code == status
    document.answer(method, path, status)(answer.json())
    assert answer.json() or file == "scheduled_sends"
