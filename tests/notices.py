"""What the tests of notifications stand on: providers whose vendors are the sandbox."""

from __future__ import annotations

import os
from typing import Any

import pytest
import requests

from nexus_actors.testing.sandbox import SandboxClient


#: What the sandbox accepts; its own constant would bring all of it into each flow.
DEFAULT_SECRET = "whsec_dGhlLXNlY3JldC1vZi10aGUtc2FuZGJveA=="
EMAIL_FROM = "Tube <hello@tube.example>"
PHONE = "+14155550123"
DEVICE = "fPx1k2m3n4o5p6q7r8s9t0"
CHANNEL = "C0SANDBOX02"


def vendors_at(sandbox: SandboxClient) -> dict[str, str]:
    """Return the environment in which every vendor is the sandbox."""
    account = f"{sandbox.url}/_sandbox/fcm/service-account.json"
    return {
        "NEXUS_SENDGRID_URL": f"{sandbox.url}/sendgrid",
        "SENDGRID_API_KEY": "SG.sandbox.sandbox",
        "EMAIL_FROM": EMAIL_FROM,
        "NEXUS_TWILIO_URL": f"{sandbox.url}/twilio",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 31 + "1",
        "TWILIO_AUTH_TOKEN": "0" * 31 + "2",
        "TWILIO_PHONE_NUMBER": "+15005550006",
        "NEXUS_FCM_URL": f"{sandbox.url}/fcm",
        "FIREBASE_SERVICE_ACCOUNT": requests.get(account, timeout=30).text,
        "NEXUS_SLACK_URL": f"{sandbox.url}/slack/api",
        "SLACK_BOT_TOKEN": "xoxb-sandbox",
        "NEXUS_WEBHOOK_KEYS": DEFAULT_SECRET,
        "NEXUS_GUARD_ALLOW": "127.0.0.1",
    }


@pytest.fixture
def vendors(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Every vendor is the sandbox, in this process and for its children."""
    environ = vendors_at(nexus_sandbox)
    for name in [n for n in os.environ if n.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


SETTINGS = ("SENDGRID_", "EMAIL_", "TWILIO_", "FIREBASE_", "SLACK_")


def resolve(user_id: str) -> dict[str, Any] | None:
    """What a host's function knows of its users."""
    ann = {"email": {"to": "ann@example.com"}, "locale": "de"}
    return {"u1": ann}.get(user_id)
