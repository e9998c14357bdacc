from __future__ import annotations

import base64
import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.notifications.errors import SignatureError
from nexus_actors.notifications.signature import (
    check_keys,
    sign,
    sign_plain,
    verify,
    verify_plain,
)


def new_key() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


@pytest.fixture(scope="session")
def vectors(shared_contracts: Path) -> dict[str, Any]:
    path = shared_contracts / "standard-webhooks" / "vectors.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def keys_of(vector: dict[str, Any], single: str) -> list[str]:
    return vector.get("secrets") or [vector.get("secret") or vector[single]]


def test_what_is_published_is_signed_alike(vectors: dict[str, Any]) -> None:
    for vector in vectors["sign"]:
        signed = sign(
            keys_of(vector, "private_key"),
            id=vector["id"],
            timestamp=vector["timestamp"],
            body=vector["body"].encode(),
        )
        assert signed == vector["signature"], vector["name"]


def test_what_is_published_is_verified_alike(vectors: dict[str, Any]) -> None:
    judged = []
    for vector in vectors["verify"]:
        try:
            verify(
                keys_of(vector, "public_key"),
                vector["headers"],
                vector["body"].encode(),
                now=vector["now"],
            )
        except SignatureError:
            judged.append(False)
        else:
            judged.append(True)

    assert judged == [vector["ok"] for vector in vectors["verify"]]
    assert set(judged) == {True, False}


def test_secrets_that_the_suite_refuses_are_refused(vectors: dict[str, Any]) -> None:
    for vector in vectors["refused_secrets"]:
        with pytest.raises(ConfigurationError):
            sign([vector["secret"]], id="m", timestamp=1, body=b"{}")


def test_the_plain_form_is_as_published(vectors: dict[str, Any]) -> None:
    vector = vectors["plain_hmac_for_older_receivers"]
    body = vector["body"].encode()

    signed = sign_plain(vector["secret_utf8"], body)

    assert signed == vector["value"]
    assert verify_plain(["old", vector["secret_utf8"]], signed, body) == json.loads(
        body
    )
    with pytest.raises(SignatureError):
        verify_plain(vector["secret_utf8"], signed, body + b" ")
    with pytest.raises(SignatureError, match="no signature"):
        verify_plain(vector["secret_utf8"], None, body)


@given(st.dictionaries(st.text(max_size=5), st.text()), st.integers(1, 3))
def test_the_reference_library_verifies_ours_and_we_verify_its(
    event: dict[str, str], count: int
) -> None:
    keys = [new_key() for _ in range(count)]
    body, now = json.dumps(event, ensure_ascii=False).encode(), int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}

    ours = sign(keys, id="msg_1", timestamp=now, body=body)
    for key in keys:  # each of a rotation's, old and new
        theirs = Webhook(key)
        signed = headers | {"webhook-signature": ours}
        assert theirs.verify(body.decode(), signed) == event
        given = theirs.sign("msg_1", datetime.fromtimestamp(now, UTC), body.decode())
        assert verify(keys, headers | {"webhook-signature": given}, body) == event
        with pytest.raises(WebhookVerificationError):
            theirs.verify(body.decode() + " ", signed)


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"webhook-id": ""}, "no header webhook-id"),
        ({"webhook-timestamp": " 1614265330"}, "is no number"),
        ({"webhook-timestamp": "1_614265330"}, "is no number"),
        ({"webhook-timestamp": "+1614265330"}, "is no number"),
        ({"webhook-timestamp": "9" * 5000}, "is no number"),
        ({"webhook-signature": "v1,"}, "no signature"),
        ({"webhook-signature": "v1a," + "A" * 86 + "=="}, "no signature"),
    ],
)
def test_what_is_malformed_is_refused_in_words(
    headers: dict[str, str], complaint: str
) -> None:
    key, body = new_key(), b"{}"
    good = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": sign([key], id="msg_1", timestamp=1614265330, body=body),
    }

    assert verify(key, good, body, now=1614265330) == {}
    with pytest.raises(SignatureError, match=complaint):
        verify(key, good | headers, body, now=1614265330)


def test_an_id_may_not_shift_what_is_signed() -> None:
    with pytest.raises(ConfigurationError, match="full stop"):
        sign([new_key()], id="a.1", timestamp=1, body=b"{}")


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_ä", "whsk_AAAA", "whpk_AAAA"])
def test_a_key_that_cannot_sign_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="malformed") as caught:
        check_keys([new_key(), key])

    assert not key or key not in str(caught.value).replace("whsec_ and", "")
