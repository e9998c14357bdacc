"""Our providers keep the promises; the contract finds out who does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nexus_actors.core.errors import RemoteUnavailableError
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.notifications.adapters.file import FileProvider
from nexus_actors.notifications.adapters.firebase import FirebaseProvider
from nexus_actors.notifications.adapters.sendgrid import SendGridProvider
from nexus_actors.notifications.adapters.slack import SlackProvider
from nexus_actors.notifications.adapters.twilio import TwilioProvider
from nexus_actors.notifications.adapters.webhook import WebhookProvider
from nexus_actors.notifications.base import Provider
from nexus_actors.notifications.content import (
    ChatMessage,
    Mail,
    Push,
    Sms,
    WebhookMessage,
)
from nexus_actors.notifications.settings import (
    FirebaseSettings,
    SendGridSettings,
    SlackSettings,
    TwilioSettings,
    WebhookSettings,
)
from nexus_actors.testing.contracts import HttpProviderContract, ProviderContract, Says


KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@cache
def service_account(token_uri: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "videos",
            "private_key": pem.decode(),
            "client_email": "us@videos.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
    )


class TestSendGridProvider(HttpProviderContract, ProviderContract):
    adapter = SendGridProvider
    content = Mail(
        to="ann@example.com", sender="Us <us@example.com>", subject="Hi", text="Hello"
    )
    accepts = Says(status=202, headers={"X-Message-Id": "abc"})
    private = ("ann@example.com", "SG.k3y-of-sendgrid")

    def connect(self, url: str) -> Provider[Any]:
        values = {"sendgrid_url": url, "sendgrid_api_key": "SG.k3y-of-sendgrid"}
        return SendGridProvider(SendGridSettings.load(values))


class TestTwilioProvider(HttpProviderContract, ProviderContract):
    adapter = TwilioProvider
    content = Sms(to="+14155550123", body="Hello")
    accepts = Says(status=201, body={"sid": "SM1", "status": "queued"})
    private = ("4155550123", "t0ken-of-twilio")

    def connect(self, url: str) -> Provider[Any]:
        return TwilioProvider(
            TwilioSettings.load(
                {
                    "twilio_url": url,
                    "twilio_account_sid": "AC1",
                    "twilio_auth_token": "t0ken-of-twilio",
                    "twilio_phone_number": "+15005550006",
                    "twilio_status_callback": "https://us.example.com/sms?a=1",
                }
            )
        )


class TestFirebaseProvider(HttpProviderContract, ProviderContract):
    adapter = FirebaseProvider
    content = Push(target="t0ken-of-device", title="Hi", body="Hello")
    accepts = Says(status=200, body={"name": "projects/videos/messages/1"})
    prelude = {
        "/token": Says(
            status=200,
            body={"access_token": "ya29.acce55-token", "expires_in": 3599},
            headers={"Content-Type": "application/json"},
        )
    }
    private = ("t0ken-of-device", "ya29.acce55-token")
    # the first: its token is new, and Google has only just given it out

    def connect(self, url: str) -> Provider[Any]:
        account = service_account(f"{url}/token")
        return FirebaseProvider(
            FirebaseSettings.load({"fcm_url": url, "firebase_service_account": account})
        )


class TestSlackProvider(HttpProviderContract, ProviderContract):
    adapter = SlackProvider
    content = ChatMessage(to="C0SANDBOX02", text="Hello")
    accepts = Says(
        status=200, body={"ok": True, "channel": "C0SANDBOX02", "ts": "1.000001"}
    )
    private = ("xoxb-t0ken-of-slack",)

    def connect(self, url: str) -> Provider[Any]:
        values = {"slack_url": f"{url}/api", "slack_bot_token": "xoxb-t0ken-of-slack"}
        return SlackProvider(SlackSettings.load(values))


class TestWebhookProvider(HttpProviderContract, ProviderContract):
    adapter = WebhookProvider
    accepts = Says(status=204)
    private = (KEY, "s3cret-in-path")
    # a receiver is no vendor: its owner may put things right
    unauthorized = RemoteUnavailableError

    def connect(self, url: str) -> Provider[Any]:
        type(self).content = WebhookMessage(
            url=f"{url}/hooks/s3cret-in-path",
            keys=(KEY,),
            type="video.processed",
            at=datetime(2026, 1, 2, tzinfo=UTC),
            data={"video_id": "v1"},
        )
        guard = Guard(GuardSettings.load({"guard_allow": "127.0.0.1"}))
        return WebhookProvider(WebhookSettings.load(), guard)


class TestFileProvider(ProviderContract):
    adapter = FileProvider
    content = Mail(
        to="ann@example.com", sender="us@example.com", subject="Hi", text="."
    )

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider[Any]:
        return FileProvider(tmp_path / "sent")
