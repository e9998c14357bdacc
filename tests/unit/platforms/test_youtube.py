"""What reasons of the Data API mean that stand with several statuses."""

from __future__ import annotations

import json

import pytest

from nexus_actors.core.http import Answer, Call
from nexus_actors.platforms import youtube
from nexus_actors.platforms.settings import PlatformSettings


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        (401, "authError", "token_expired"),
        (401, "required", "token_expired"),
        (400, "required", "invalid_content"),  # and no account is disconnected for it
        (400, "invalidTitle", "invalid_content"),
        (403, "insufficientPermissions", "needs_reauthorization"),
    ],
)
def test_what_a_reason_means(status: int, reason: str, meaning: str) -> None:
    client = youtube.client(PlatformSettings.load({}), "ya29.token")
    body = json.dumps({"error": {"errors": [{"reason": reason}]}}).encode()

    found = client.judge(Answer("YouTube", Call("POST", "/"), status, {}, body))

    assert found
    assert found.code == meaning
