"""What refusals of the Graph API mean, also those that no table has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nexus_actors.core.http import Answer, Call
from nexus_actors.platforms import meta


POST, GET = Call("POST", "/1/feed"), Call("GET", "/1")


@pytest.mark.parametrize(
    ("call", "status", "error", "meaning"),
    [
        (POST, 400, {"code": 190, "error_subcode": 463}, "token_expired"),
        (POST, 400, {"code": "190"}, "token_expired"),
        (POST, 400, {"code": 99_999}, "invalid_content"),
        (GET, 400, {"code": 99_999, "is_transient": True}, "remote_unavailable"),
        (POST, 400, {"code": 99_999, "is_transient": True}, "unknown_outcome"),
        (POST, 500, {"code": 99_999}, "unknown_outcome"),
        (GET, 500, {"code": None, "message": None}, "remote_unavailable"),
        (GET, 400, {"code": 100, "error_subcode": 33}, "remote_unavailable"),
        (POST, 400, {"code": 100, "message": "no appsecret_proof"}, "app_not_allowed"),
    ],
)
def test_what_a_refusal_means(
    call: Call, status: int, error: dict[str, Any], meaning: str
) -> None:
    body = json.dumps({"error": error}).encode()

    found = meta.refusal(Answer("Facebook", call, status, {}, body))

    assert found
    assert found.code == meaning
