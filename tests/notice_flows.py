"""Flows for the kill matrix: each sends one notification, as the queue would."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed, TransientError, UnknownOutcomeError
from nexus_actors.core.ledger import State
from nexus_actors.notifications.connect import connect, send_notification
from nexus_actors.testing.sandbox import SandboxClient
from notices import CHANNEL, DEVICE, PHONE, vendors_at


KEY = "video-1:ready"

#: What is sent, and the vendor that gets it.
BODIES: dict[str, dict[str, Any]] = {
    "email": {
        "email": {"to": "ann@example.com", "subject": "Ready", "text": "It is ready"},
        "when_unknown": "never",
    },
    "sms": {"sms": {"to": PHONE, "body": "It is ready"}},
    "push": {"push": {"fid": DEVICE, "title": "Ready", "body": "It is ready"}},
    "slack": {"slack": {"channel": CHANNEL, "text": "It is ready"}},
    "webhook": {"webhook": {"event": "video.processed"}},
}


def send(kind: str, **more: Any) -> None:
    """Send until it has ended well; whoever starts it anew is the queue."""
    sandbox = SandboxClient(os.environ["NEXUS_SANDBOX_URL"])
    os.environ |= vendors_at(sandbox) | {
        "DATABASE_URL": "sqlite:///nexus.db",
        clock.VARIABLE: str(Path("clock").absolute()),
    }
    body = {"type": kind, "idempotency_key": KEY, **BODIES[kind], **more}
    if kind == "webhook":
        body["webhook"] |= {"url": f"{sandbox.url}/webhook/orders"}
    told = run(body)
    check(
        told,
        sandbox,
        {"email": "sendgrid", "sms": "twilio", "push": "fcm"}.get(kind, kind),
    )


def run(body: dict[str, Any]) -> str:
    while True:
        try:
            return str(send_notification(body)["status"])
        except Postponed as error:
            # the queue would wake it then
            clock.move((error.until - datetime.now(UTC)).total_seconds() + 0.01)
        except UnknownOutcomeError:
            return "unknown"
        except TransientError:
            sys.exit(1)


def check(told: str, sandbox: SandboxClient, vendor: str) -> None:
    """Fail if the ledger says what is not true."""
    entries = connect()._entries(KEY)  # noqa: SLF001 - no public name
    states = [entry.state for entry in entries]
    effects = len(sandbox.truth()[vendor])
    assert len(entries) == 1, entries
    if told == "accepted":
        assert states == [State.SETTLED], states
        assert effects >= 1
        assert entries[0].evidence["provider_id"]
    else:
        assert states == [State.UNKNOWN], states


def email() -> None:
    send("email")


def email_again() -> None:
    send("email", when_unknown="again")


def sms() -> None:
    send("sms")


def push() -> None:
    send("push")


def slack() -> None:
    send("slack")


def webhook() -> None:
    send("webhook")
