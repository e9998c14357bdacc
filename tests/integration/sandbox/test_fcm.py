from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import firebase_admin
import google.auth.crypt
import google.auth.jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import RefreshError
from requests.adapters import HTTPAdapter

from nexus_actors.sandbox.vendors.fcm.message import SHAPE, checked
from nexus_actors.testing.sandbox import SandboxClient
from published import discovery


PROJECT = "nexus-sandbox"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FID = "fPx1k2m3n4o5p6q7r8s9t0"

numbers = count()


@pytest.fixture
def account(nexus_sandbox: SandboxClient) -> dict[str, str]:
    """What a host reads from its service account file."""
    url = f"{nexus_sandbox.url}/_sandbox/fcm/service-account.json"
    account: dict[str, str] = requests.get(url, timeout=30).json()
    return account


@pytest.fixture
def app(nexus_sandbox: SandboxClient, account: dict[str, str]) -> Iterator[Any]:
    """The SDK, pointed to the sandbox; it would try again by itself otherwise."""
    certificate = credentials.Certificate(account)
    app = firebase_admin.initialize_app(
        certificate, {"httpTimeout": 10}, f"sandbox-{next(numbers)}"
    )
    service: Any = messaging._get_messaging_service(app)  # noqa: SLF001 - no other way
    url = f"{nexus_sandbox.url}/fcm/v1/projects/{PROJECT}/messages:send"
    service._fcm_url = url  # noqa: SLF001 - likewise
    session = service._client.session  # noqa: SLF001 - likewise
    session.mount("http://", HTTPAdapter(max_retries=0))
    yield app
    session.close()
    firebase_admin.delete_app(app)


def call(
    sandbox: SandboxClient,
    message: Any,
    *,
    project: str = PROJECT,
    token: str = "ya29.sandbox",
    **more: Any,
) -> requests.Response:
    """Send without the SDK."""
    return requests.post(
        f"{sandbox.url}/fcm/v1/projects/{project}/messages:send",
        json={"message": message, **more},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def refused(sandbox: SandboxClient, message: Any) -> dict[str, Any]:
    """Return the error with which a message is refused."""
    answer = call(sandbox, message)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    return error


def fields(error: dict[str, Any]) -> list[str]:
    """Return the fields that an error names."""
    details = error.get("details", [])
    return [v["field"] for d in details for v in d.get("fieldViolations", [])]


def codes(error: dict[str, Any]) -> list[str]:
    """Return FCM's own codes."""
    return [d["errorCode"] for d in error.get("details", []) if "errorCode" in d]


def effects(sandbox: SandboxClient) -> list[dict[str, Any]]:
    return sandbox.truth()["fcm"]


# the SDK


def test_the_sdk_signs_in_and_sends(nexus_sandbox: SandboxClient, app: Any) -> None:
    message = messaging.Message(
        fid=FID,
        notification=messaging.Notification("Ready", "Your video is ready"),
        data={"video": "v1"},
        android=messaging.AndroidConfig(
            collapse_key="d1",
            priority="high",
            ttl=3600,
            notification=messaging.AndroidNotification(tag="d1"),
        ),
        apns=messaging.APNSConfig(headers={"apns-collapse-id": "d1"}),
    )

    names = [messaging.send(message, app=app) for _ in range(2)]

    assert len(set(names)) == 2
    assert [effect["id"] for effect in effects(nexus_sandbox)] == names
    effect = effects(nexus_sandbox)[0]
    assert effect["kind"] == "push"
    assert names[0].startswith(f"projects/{PROJECT}/messages/")
    details = effect["details"]
    assert (details["to"], details["title"]) == (f"fid {FID}", "Ready")
    assert details["text"] == "Your video is ready"
    assert details["message"]["android"]["collapse_key"] == "d1"
    paths = [r["path"] for r in nexus_sandbox.requests()]
    assert paths.count("/fcm/token") == 1


def test_a_dry_run_checks_and_sends_nothing(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    name = messaging.send(messaging.Message(fid=FID), dry_run=True, app=app)

    assert name.endswith("/messages/fake_message_id")
    assert effects(nexus_sandbox) == []


def test_many_are_sent_in_one_call_and_each_has_its_own_outcome(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    nexus_sandbox.settings(fcm={"unregistered": ["gone"]})
    messages = [messaging.Message(fid=fid) for fid in ("a", "gone", "b")]

    batch = messaging.send_each(messages, app=app)

    assert [response.success for response in batch.responses] == [True, False, True]
    assert isinstance(batch.responses[1].exception, messaging.UnregisteredError)
    assert len(effects(nexus_sandbox)) == 2


@pytest.mark.parametrize(
    ("setting", "error", "code"),
    [
        ("invalid", exceptions.InvalidArgumentError, "INVALID_ARGUMENT"),
        ("unregistered", messaging.UnregisteredError, "NOT_FOUND"),
        ("mismatched", messaging.SenderIdMismatchError, "PERMISSION_DENIED"),
        ("unauthorized", messaging.ThirdPartyAuthError, "UNAUTHENTICATED"),
    ],
)
def test_a_device_that_cannot_be_reached_is_told_by_the_sdks_own_error(
    nexus_sandbox: SandboxClient, app: Any, setting: str, error: Any, code: str
) -> None:
    nexus_sandbox.settings(fcm={setting: [FID]})

    with pytest.raises(error) as caught:
        messaging.send(messaging.Message(fid=FID), app=app)

    assert caught.value.code == code
    assert effects(nexus_sandbox) == []


def test_a_registration_token_is_a_device_as_well(
    nexus_sandbox: SandboxClient,
) -> None:
    nexus_sandbox.settings(fcm={"invalid": ["none"]})

    sent = call(nexus_sandbox, {"token": "some"})
    error = refused(nexus_sandbox, {"token": "none"})

    assert sent.status_code == 200
    assert fields(error) == ["message.token"]
    assert codes(error) == ["INVALID_ARGUMENT"]


def test_the_quota_is_told_with_the_time_to_wait(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    nexus_sandbox.settings(fcm={"quota_per_minute": 1})
    message = messaging.Message(fid=FID)
    messaging.send(message, app=app)

    with pytest.raises(messaging.QuotaExceededError) as caught:
        messaging.send(message, app=app)
    wait = int(caught.value.http_response.headers["Retry-After"])
    nexus_sandbox.set_clock(wait + 1)
    messaging.send(message, app=app)

    assert 1 <= wait <= 60
    assert len(effects(nexus_sandbox)) == 2


def test_a_push_that_is_sent_again_is_a_second_push(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    message = messaging.Message(fid=FID)
    messaging.send(message, app=app)
    nexus_sandbox.faults(
        {"action": "drop", "moment": "after", "route": "POST /fcm/v1/*"}
    )

    with pytest.raises(exceptions.UnavailableError):
        messaging.send(message, app=app)
    unknown = len(effects(nexus_sandbox))
    messaging.send(message, app=app)

    assert (unknown, len(effects(nexus_sandbox))) == (2, 3)


# tokens


def test_a_token_that_has_expired_is_replaced_by_the_sdk(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    messaging.send(messaging.Message(fid=FID), app=app)
    nexus_sandbox.set_clock(3700)

    messaging.send(messaging.Message(fid=FID), app=app)

    paths = [request["path"].split("/")[2] for request in nexus_sandbox.requests()]
    statuses = [request["status"] for request in nexus_sandbox.requests()]
    assert paths == ["token", "v1", "v1", "token", "v1"]
    assert statuses == [200, 200, 401, 200, 200]
    (refusal,) = [r for r in nexus_sandbox.requests() if r["status"] == 401]
    assert "ACCESS_TOKEN_EXPIRED" in refusal["answer"]


def test_a_token_is_kept_no_longer_than_the_settings_say(
    nexus_sandbox: SandboxClient, account: dict[str, str]
) -> None:
    nexus_sandbox.settings(fcm={"token_lifetime_s": 60})

    answer = ask_for_token(nexus_sandbox, assertion(account)).json()

    assert (answer["expires_in"], answer["token_type"]) == (60, "Bearer")


def assertion(account: dict[str, str], key: str = "", **claims: Any) -> bytes:
    """What a service account signs to get a token."""
    now = int(time.time())
    payload = {
        "iss": account["client_email"],
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
        "scope": SCOPE,
    } | claims
    crypt, jwt = cast("tuple[Any, Any]", (google.auth.crypt, google.auth.jwt))
    signer = crypt.RSASigner.from_string(key or account["private_key"])
    signed: bytes = jwt.encode(signer, payload)
    return signed


def ask_for_token(
    sandbox: SandboxClient, assertion: bytes | str, grant_type: str = GRANT
) -> requests.Response:
    form = {"grant_type": grant_type, "assertion": assertion}
    return requests.post(f"{sandbox.url}/fcm/token", data=form, timeout=10)


def new_key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: Any) -> str:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "who@example.com"}, "invalid_grant", "account not found"),
        ({"iat": 0, "exp": 3600}, "invalid_grant", "short-lived token"),
        ({"exp": "soon"}, "invalid_grant", "short-lived token"),
        ({"exp": int(time.time()) + 9000}, "invalid_grant", "short-lived token"),
        ({"aud": "https://example.com/token"}, "invalid_grant", "audience"),
        ({"aud": ["x"]}, "invalid_grant", "audience"),
        ({"scope": ""}, "invalid_scope", "scope"),
    ],
)
def test_an_assertion_that_is_not_right_gets_no_token(
    nexus_sandbox: SandboxClient,
    account: dict[str, str],
    claims: dict[str, Any],
    error: str,
    description: str,
) -> None:
    answer = ask_for_token(nexus_sandbox, assertion(account, **claims))

    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert description in answer.json()["error_description"]


def test_an_assertion_of_another_key_gets_no_token(
    nexus_sandbox: SandboxClient, account: dict[str, str]
) -> None:
    key = new_key()
    signed = assertion(account, private_pem(key))
    none = base64.urlsafe_b64encode(b'{"alg": "none"}').decode().rstrip("=")
    unsigned = f"{none}.{assertion(account).decode().split('.')[1]}."

    answers = [
        ask_for_token(nexus_sandbox, text)
        for text in (signed, unsigned, unsigned + "AAAA", "a.b", "a.b.c", ".." * 9)
    ]

    assert answers[0].json()["error_description"] == "Invalid JWT Signature."
    assert [a.status_code for a in answers] == [400] * 6
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    accounts = {"host@example.com": public.decode(), "bad@example.com": "no key"}
    nexus_sandbox.settings(fcm={"service_accounts": accounts})
    own = account | {"client_email": "host@example.com"}
    bad = account | {"client_email": "bad@example.com"}
    assert ask_for_token(nexus_sandbox, assertion(own, private_pem(key))).ok
    assert ask_for_token(nexus_sandbox, assertion(bad)).status_code == 400


def test_another_grant_is_not_supported(nexus_sandbox: SandboxClient) -> None:
    answer = ask_for_token(nexus_sandbox, "x", "password")

    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


def test_the_sdk_raises_what_the_token_endpoint_refuses(
    nexus_sandbox: SandboxClient, app: Any
) -> None:
    nexus_sandbox.settings(fcm={"project_id": "other"})

    with pytest.raises(RefreshError, match="account not found"):
        messaging.send(messaging.Message(fid=FID), app=app)


def test_who_may_not_send_is_told_why(
    nexus_sandbox: SandboxClient, account: dict[str, str]
) -> None:
    narrow = assertion(account, scope="https://www.googleapis.com/auth/drive")
    token = ask_for_token(nexus_sandbox, narrow).json()["access_token"]
    message = {"fid": FID}

    nobody = call(nexus_sandbox, message, token="")
    unknown = call(nexus_sandbox, message, token="ya29.other")
    scope = call(nexus_sandbox, message, token=token)
    project = call(nexus_sandbox, message, project="other")

    assert [a.status_code for a in (nobody, unknown, scope, project)] == [
        401,
        401,
        403,
        403,
    ]
    errors = [a.json()["error"] for a in (nobody, unknown, scope, project)]
    assert [e["status"] for e in errors] == [
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "PERMISSION_DENIED",
    ]
    reasons = [e["details"][0]["reason"] for e in errors if "details" in e]
    assert reasons == [
        "CREDENTIALS_MISSING",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "IAM_PERMISSION_DENIED",
    ]
    assert nobody.headers["WWW-Authenticate"].startswith("Bearer realm=")
    number = call(nexus_sandbox, message, project="100000000001")
    assert number.status_code == 200


def test_a_path_that_there_is_not_is_a_page_of_googles(
    nexus_sandbox: SandboxClient,
) -> None:
    answer = requests.post(f"{nexus_sandbox.url}/fcm/v2/x", timeout=10)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


# what is refused


@pytest.mark.parametrize(
    ("message", "text", "field"),
    [
        ({}, "Recipient of the message is not set.", "message"),
        ({"token": ""}, "Recipient of the message is not set.", "message"),
        ({"fid": FID, "topic": "news"}, "oneof field 'target'", "message"),
        ({"topic": "a b"}, "invalid characters", "message"),
        ({"topic": "/topics/news"}, "invalid characters", "message"),
        ({"fid": FID, "colour": 1}, 'Unknown name "colour" at', "message"),
        (
            {"fid": FID, "data": {"a": "x", "b": 2}},
            "Invalid value at 'message.data[1].value' (TYPE_STRING), 2",
            "message.data[1].value",
        ),
        (
            {"fid": FID, "notification": {"title": 7}},
            "Invalid value at 'message.notification.title' (TYPE_STRING), 7",
            "message.notification.title",
        ),
        ({"fid": FID, "notification": "x"}, "TYPE_MESSAGE", "message.notification"),
        ({"fid": FID, "data": {"from": "x"}}, "payload key: from", "message.data"),
        ({"fid": FID, "data": {"google.x": "y"}}, "google.x", "message.data"),
        (
            {"fid": FID, "android": {"data": {"gcm.notification.a": "y"}}},
            "gcm.notification.a",
            "message.android.data",
        ),
        ({"fid": FID, "android": {"ttl": 60}}, "TYPE_STRING", "message.android.ttl"),
        ({"fid": FID, "android": {"ttl": "60"}}, "Duration", "message.android.ttl"),
        (
            {"fid": FID, "android": {"ttl": "2419201s"}},
            "at most",
            "message.android.ttl",
        ),
        (
            {"fid": FID, "android": {"priority": "urgent"}},
            "priority",
            "message.android.priority",
        ),
        (
            {"fid": FID, "android": {"notification": {"lightSettings": {"x": 1}}}},
            'Unknown name "x"',
            "message.android.notification.light_settings",
        ),
        ({"fid": FID, "android": {}, "androidV2": {}}, "one of", "message.android_v2"),
        (
            {"fid": FID, "fcmOptions": {"analyticsLabel": "a b"}},
            "label",
            "message.fcm_options.analytics_label",
        ),
        (
            {"fid": FID, "webpush": {"headers": {"TTL": "-1"}}},
            "TTL must be a non-negative integer.",
            "message.webpush.headers.TTL",
        ),
        (
            {"fid": FID, "webpush": {"fcmOptions": {"link": "http://a.io"}}},
            "HTTPS",
            "message.webpush.fcm_options.link",
        ),
        (
            {"fid": FID, "data": {}, "apns": {"headers": {"apns-priority": "10"}}},
            "apns-priority",
            "message.apns.headers.apns-priority",
        ),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_and_the_field_named(
    nexus_sandbox: SandboxClient, message: dict[str, Any], text: str, field: str
) -> None:
    error = refused(nexus_sandbox, message)

    assert text in error["message"]
    assert fields(error) == [field]
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize(
    ("condition", "right"),
    [
        ("'a' in topics", True),
        ("'a' in topics && ('b' in topics || !'c' in topics)", True),
        ("'a' in topics &&", False),
        ("('a' in topics", False),
        (" || ".join(f"'{n}' in topics" for n in range(5)), True),
        (" || ".join(f"'{n}' in topics" for n in range(6)), False),
        (" " * 100_000, False),
    ],
)
def test_a_condition_has_its_form_and_five_topics_at_most(
    nexus_sandbox: SandboxClient, condition: str, right: bool
) -> None:
    answer = call(nexus_sandbox, {"condition": condition})

    assert answer.status_code == (200 if right else 400)
    if not right:
        assert "details" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ({"fid": FID, "data": {"a": "x"}}, 4096),
        ({"fid": FID, "data": {"a": "x"}, "notification": {"title": "x"}}, 4096),
        ({"topic": "news", "data": {"a": "x"}}, 2048),
    ],
)
def test_a_message_may_have_so_many_bytes_and_not_one_more(
    nexus_sandbox: SandboxClient, message: dict[str, Any], limit: int
) -> None:
    title = message.get("notification", {})
    rest = limit - len("a") - sum(map(len, [*title, *title.values()]))

    message["data"]["a"] = "é" * (rest // 2) + "x" * (rest % 2)
    fits = call(nexus_sandbox, message)
    message["data"]["a"] += "x"
    error = refused(nexus_sandbox, message)

    assert fits.status_code == 200
    assert f"{limit} bytes" in error["message"]
    assert codes(error) == ["INVALID_ARGUMENT"]


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"7", b"[" * 100_000])
def test_what_is_no_message_at_all_is_refused(
    nexus_sandbox: SandboxClient, body: bytes
) -> None:
    answer = requests.post(
        f"{nexus_sandbox.url}/fcm/v1/projects/{PROJECT}/messages:send",
        data=body,
        headers={"Authorization": "Bearer ya29.sandbox"},
        timeout=10,
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_names_may_be_written_either_way_and_null_is_nothing(
    nexus_sandbox: SandboxClient,
) -> None:
    snake = {"android": {"collapse_key": "a", "priority": "high", "ttl": None}}
    camel = {"android": {"collapseKey": "a", "priority": "high"}}

    for message in (snake, camel):
        assert call(nexus_sandbox, {"fid": FID} | message).status_code == 200

    first, second = effects(nexus_sandbox)
    assert first["details"] == second["details"]


def test_no_message_however_odd_breaks_the_server(
    nexus_sandbox: SandboxClient,
) -> None:
    chance = random.Random(7)
    odd: list[Any] = [None, True, 7, -1.5, "", "x", [], [[]], {}, [None], 10**400]
    whole: Any = {
        "fid": FID,
        "data": {"a": "b"},
        "notification": {"title": "t"},
        "android": {"ttl": "5s", "notification": {"lightSettings": {"color": {}}}},
        "webpush": {"notification": {"ttl": 5}, "fcmOptions": {"link": "https://a"}},
        "apns": {"payload": {"aps": {"alert": "x"}}, "headers": {"a": "b"}},
    }
    statuses = set()

    for _ in range(80):
        message = json.loads(json.dumps(whole))
        node, key = message, chance.choice(list(message))
        while isinstance(node[key], dict) and node[key] and chance.random() < 0.7:
            node = node[key]
            key = chance.choice(list(node))
        node[key] = chance.choice(odd)
        statuses.add(call(nexus_sandbox, message).status_code)

    assert statuses == {200, 400}
    nexus_sandbox.truth()


# the published document


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def as_published(value: Any) -> Any:
    """Return a message with names and values as the document writes them."""
    if not isinstance(value, dict):
        return value
    upper = {"priority", "visibility", "proxy", "notification_priority"}
    return {
        camel(k): v.upper() if k in upper else as_published(v) for k, v in value.items()
    }


def test_what_the_sdk_sends_is_as_the_document_says(shared_contracts: Path) -> None:
    validate = discovery(shared_contracts / "fcm" / "fcm.v1.json", "SendMessageRequest")
    message = messaging.Message(
        fid=FID,
        notification=messaging.Notification("t", "b", "https://a.io/i.png"),
        android=messaging.AndroidConfig(
            priority="high",
            ttl=60,
            notification=messaging.AndroidNotification(
                channel_id="c", vibrate_timings_millis=[5]
            ),
        ),
        fcm_options=messaging.FCMOptions("label"),
    )
    sent = json.loads(str(message))
    request = {"message": sent, "validate_only": True}

    validate(as_published(request))
    assert checked(request)["message"] == sent


def test_the_sandbox_knows_every_field_of_the_document_and_no_other(
    shared_contracts: Path,
) -> None:
    document = json.loads((shared_contracts / "fcm" / "fcm.v1.json").read_text())
    schemas = document["schemas"]

    def published(schema: Any) -> Any:
        if "$ref" in schema:
            schema = schemas[schema["$ref"]]
        if "properties" in schema:
            inner = schema["properties"]
            return {name: published(field) for name, field in inner.items()}
        return {} if schema.get("type") == "object" else None

    def ours(shape: Any) -> Any:
        if isinstance(shape, dict):
            return {camel(name): ours(inner) for name, inner in shape.items()}
        return {} if type(shape).__name__ == "Map" else None

    def without_maps(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return None
        return {name: without_maps(inner) for name, inner in tree.items()}

    expected = published(schemas["SendMessageRequest"])
    assert without_maps(ours(SHAPE)) == without_maps(expected)
