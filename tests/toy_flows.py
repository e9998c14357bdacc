"""Flows for the kill matrix: each tells one order, rightly or with a planted fault."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import os
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit


KEY = b"the-secret-of-the-sandbox"
NOTE = Path("id")
TOLD = Path("told")


def send(id_: str, endpoint: str = "orders") -> None:
    """Deliver one message; an answer that is not 2xx ends the program."""
    body, sent = b'{"type": "order.paid"}', int(time.time())
    digest = hmac.digest(KEY, f"{id_}.{sent}.".encode() + body, hashlib.sha256)
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": str(sent),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    host = urlsplit(os.environ["NEXUS_SANDBOX_URL"]).netloc
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", f"/webhook/{endpoint}", body, headers)
    if connection.getresponse().status != 200:
        raise SystemExit(1)


def right() -> None:
    """Decides on the id before the first attempt, and keeps to it."""
    if not NOTE.exists():
        draft = NOTE.with_suffix(".draft")
        draft.write_text(str(uuid.uuid4()))
        draft.rename(NOTE)
    send(NOTE.read_text())


def new_id_for_each_attempt() -> None:
    """Its second attempt is another message."""
    if not TOLD.exists():
        send(str(uuid.uuid4()))
        TOLD.touch()


def told_before_it_is_sent() -> None:
    """Notes that it is done, and then does it."""
    if not TOLD.exists():
        TOLD.touch()
        send("msg_1")


def second_step_retries_at_once() -> None:
    """Wrong in its second request only, and only if it lives on."""
    send("msg_1")
    try:
        send("msg_2")
    except OSError:
        send("msg_2 again")


def silent() -> None:
    """Makes no request."""


def always_twice() -> None:
    """Wrong even if left alone."""
    send("msg_1")
    send("msg_2")
