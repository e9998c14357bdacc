"""One variable, and the keys of the page, put the sandbox in every vendor's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from conftest import ROOT
from nexus_actors.notifications import send_notification
from nexus_actors.social import begin_login
from nexus_actors.testing.sandbox import SandboxClient
from pages import blocks_of


CHANNELS: dict[str, tuple[str, dict[str, Any]]] = {
    "email": ("sendgrid", {"to": "a@example.com", "subject": "Hi", "text": "Hi"}),
    "sms": ("twilio", {"to": "+14155550123", "body": "Hi"}),
    "push": ("fcm", {"fid": "fPx1k2m3n4o5p6q7r8s9t0", "title": "Hi", "body": "Hi"}),
    "slack": ("slack", {"channel": "C0SANDBOX02", "text": "Hi"}),
}


def test_with_the_variables_of_the_page_no_vendor_is_real(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "how-to" / "sandbox.md"
    [block] = [each for each in blocks_of(page) if each.caption == "sandbox.env"]
    for line in block.text.split():
        name, _, value = line.partition("=")
        is_url = name == "NEXUS_SANDBOX_URL"
        monkeypatch.setenv(name, nexus_sandbox.url if is_url else value)
    account = f"{nexus_sandbox.url}/_sandbox/fcm/service-account.json"
    key = requests.get(account, timeout=30).text
    monkeypatch.setenv("FIREBASE_SERVICE_ACCOUNT", key)
    monkeypatch.setenv("NEXUS_DATABASE_URL", f"sqlite:///{tmp_path}/nexus.db")

    for channel, (_, target) in CHANNELS.items():
        body: dict[str, Any] = {"type": channel, channel: target}
        done = send_notification(**body)
        assert done["status"] == "accepted", done

    truth = nexus_sandbox.truth()
    assert [len(truth[vendor]) for vendor, _ in CHANNELS.values()] == [1, 1, 1, 1]
    for platform in ("facebook", "instagram", "tiktok", "youtube"):
        begun = begin_login(platform, redirect_uri="https://app.example/callback")
        assert begun.url.startswith(f"{nexus_sandbox.url}/{platform}/")
        page_ = requests.get(begun.url, allow_redirects=False, timeout=30)
        assert page_.headers["location"].startswith("https://app.example/callback?")
