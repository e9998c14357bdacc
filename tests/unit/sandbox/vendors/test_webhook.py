"""Signatures: published values, and all vectors where they lie beside the checkout."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from nexus_actors.sandbox.base import Clock, Refusal
from nexus_actors.sandbox.vendors.webhook import WebhookReceiver


BODY = b'{"test": 2432232314}'
SENT = 1614265330
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC_KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZ"
    "dpXwVLPo3mNl8EM+m7TBAg=="
)
PLAIN = "sha256=6701ed89139e482094fa1b2106d8bc869a90bdc6d56cb4e20f50e6155d3cdaf5"
VECTORS = Path(__file__).parents[5] / "shared/contracts/standard-webhooks/vectors.json"

needs_ed25519 = pytest.mark.skipif(
    find_spec("cryptography") is None, reason="v1a needs the package cryptography"
)


class StandingClock(Clock):
    """A clock that stands."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self._at = at

    def now(self) -> float:
        return self._at


def schemes(
    headers: dict[str, str],
    *secrets: str,
    body: bytes = BODY,
    now: float = SENT,
    **settings: Any,
) -> list[str]:
    """Return the schemes that were right; empty if the message is refused."""
    receiver = WebhookReceiver(StandingClock(now))
    receiver.configure({"secrets": secrets, **settings})
    try:
        return receiver.verify(Headers(headers), body)
    except Refusal:
        return []


def standard(*signatures: str) -> dict[str, str]:
    return {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": str(SENT),
        "webhook-signature": " ".join(signatures),
    }


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_signed_message_is_taken_within_the_tolerance(age: int) -> None:
    assert schemes(standard(V1), SECRET, now=SENT + age) == ["v1"]


@pytest.mark.parametrize("age", [-301, 301])
def test_a_signed_message_is_refused_beyond_the_tolerance(age: int) -> None:
    assert schemes(standard(V1), SECRET, now=SENT + age) == []


def test_one_right_signature_among_others_is_enough() -> None:
    headers = standard("v1,AAAA", "v2,AAAA", "garbage", V1)

    assert schemes(headers, SECRET) == ["v1"]


def test_any_of_the_secrets_may_fit_while_they_are_rotated() -> None:
    assert schemes(standard(V1), "whsec_b3RoZXIgc2VjcmV0", SECRET) == ["v1"]


def test_a_secret_may_lack_its_prefix_and_its_padding() -> None:
    short = "v1,LVOXivKoo4FWasi/IaHvzhE/u+7/cu2AME+zS/nXqzk="

    assert schemes(standard(V1), SECRET.removeprefix("whsec_")) == ["v1"]
    assert schemes(standard(short), SECRET[:-1]) == ["v1"]


@pytest.mark.parametrize("secret", ["", "whsec_", "not base64!", PUBLIC_KEY])
def test_what_is_no_secret_fits_nothing(secret: str) -> None:
    assert schemes(standard(V1), secret) == []


def test_a_changed_body_is_refused() -> None:
    assert schemes(standard(V1), SECRET, body=BODY + b" ") == []


@needs_ed25519
def test_a_message_signed_with_a_key_pair_is_taken() -> None:
    assert schemes(standard(V1A), PUBLIC_KEY) == ["v1a"]
    assert schemes(standard(V1A), PUBLIC_KEY, body=BODY + b" ") == []


def test_the_plain_form_is_taken_and_its_header_can_be_named() -> None:
    assert schemes({"X-Signature": PLAIN}, "topsecret") == ["plain"]
    assert schemes({"X-Signature": PLAIN}, "othersecret") == []
    assert schemes(
        {"X-Hub-Signature-256": PLAIN}, "topsecret", plain_header="X-Hub-Signature-256"
    ) == ["plain"]


def test_where_both_forms_are_there_both_must_be_right() -> None:
    both = standard(V1) | {"x-signature": PLAIN}

    assert schemes(both, SECRET, "topsecret") == ["v1", "plain"]
    assert schemes(both, SECRET) == []


def test_an_unsigned_message_is_refused() -> None:
    assert schemes({}, SECRET) == []


def test_every_vector_of_standard_webhooks_is_judged_rightly() -> None:
    if not VECTORS.is_file():
        pytest.skip("no contracts beside the checkout")
    vectors = json.loads(VECTORS.read_text())["verify"]
    usable = [v for v in vectors if "secret" in v or find_spec("cryptography")]

    wrong = [
        vector["name"]
        for vector in usable
        if vector["ok"]
        != bool(
            schemes(
                vector["headers"],
                vector.get("secret") or vector["public_key"],
                body=vector["body"].encode(),
                now=vector["now"],
            )
        )
    ]

    assert len(usable) >= 14
    assert wrong == []
