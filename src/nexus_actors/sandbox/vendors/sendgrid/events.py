"""What becomes of a mail after it was accepted, and how SendGrid tells it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from nexus_actors.sandbox.base import Callback, Effect, Event
from nexus_actors.sandbox.optional import needs_cryptography


#: What can happen to a mail; ``blocked`` is a bounce that need not come again.
Outcome = Literal[
    "deferred",
    "delivered",
    "bounce",
    "blocked",
    "open",
    "click",
    "spamreport",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
]

_CLIENT: Final = {"ip": "203.0.113.7", "useragent": "Mozilla/5.0 (sandbox)"}

#: What each event tells beside its name, its time and its recipient.
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "processed": {},
    "dropped": {"status": "5.0.0"},
    "deferred": {"response": "400 try again later", "attempt": "1"},
    "delivered": {"response": "250 OK"},
    "bounce": {
        "type": "bounce",
        "status": "5.1.1",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "bounce_classification": "Invalid Address",
    },
    "blocked": {
        "type": "blocked",
        "status": "4.7.1",
        "reason": "421 4.7.1 Message deferred: try again later",
        "bounce_classification": "Reputation",
    },
    "open": {**_CLIENT, "sg_machine_open": False},
    "click": {
        **_CLIENT,
        "url": "https://example.com/",
        "url_offset": {"index": 0, "type": "html"},
    },
    "spamreport": {},
    "unsubscribe": {},
    "group_unsubscribe": _CLIENT,
    "group_resubscribe": _CLIENT,
}

#: Events of the delivery, which know the mail as mail servers do.
DELIVERY: Final = frozenset(
    ("processed", "dropped", "deferred", "delivered", "bounce", "blocked")
)

#: How many events one request tells at most.
BATCH: Final = 1000


@dataclass(slots=True)
class Mail:
    """A mail that was accepted.

    Attributes:
        id: What ``X-Message-Id`` said.
        released_at: When its batch was let go, if it was held.
    """

    id: str
    body: Any
    accepted_at: float
    effect: Effect
    released_at: float = 0

    @property
    def batch(self) -> str:
        """Return its batch id, or nothing."""
        batch: str = self.body.get("batch_id", "")
        return batch

    def begins(self, number: int) -> float:
        """Return when the part for a personalization leaves."""
        envelope = self.body["personalizations"][number]
        send_at: float = envelope.get("send_at", self.body.get("send_at", 0))
        return max(self.accepted_at, send_at, self.released_at)

    @property
    def leaves_at(self) -> float:
        """Return when the first part leaves."""
        return min(map(self.begins, range(len(self.body["personalizations"]))))


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of one recipient's mail, with the time at which it happens."""

    at: float
    email: str
    name: str
    group: int | None
    content: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Return its ``sg_event_id``."""
        id_: str = self.content["sg_event_id"]
        return id_


def recipients(envelope: Any) -> Iterator[str]:
    """Yield every address that a personalization is sent to."""
    for list_ in ("to", "cc", "bcc"):
        yield from (mailbox["email"] for mailbox in envelope.get(list_, []))


def happening(
    mail: Mail,
    part: tuple[int, str],
    name: str,
    order: int,
    at: float,
    **more: Any,
) -> Happening:
    """Return the event *name* of a mail.

    Args:
        mail: What was sent.
        part: The number of the personalization, and the address.
        name: As in `FIELDS`.
        order: Its place among the events of that address.
        at: When it happens, in seconds since the epoch.
        more: What is told beside the usual.
    """
    number, email = part
    envelope = mail.body["personalizations"][number]
    seed = f"{mail.id} {number} {email} {order}".encode()
    event_id = base64.urlsafe_b64encode(hashlib.sha256(seed).digest()[:16]).decode()
    content: dict[str, Any] = {
        **mail.body.get("custom_args", {}),
        **envelope.get("custom_args", {}),
        "email": email,
        "timestamp": int(at),
        "event": "bounce" if name == "blocked" else name,
        "sg_event_id": event_id.rstrip("="),
        "sg_message_id": f"{mail.id}.recvd-sandbox-{number}.0",
        **FIELDS[name],
        **more,
    }
    if name in DELIVERY:
        content["smtp-id"] = f"<{mail.id}@geopod-ismtpd-sandbox>"
    categories = mail.body.get("categories", [])
    if categories:
        content["category"] = categories[0] if len(categories) == 1 else categories
    group = mail.body.get("asm", {}).get("group_id")
    if group is not None:
        content["asm_group_id"] = group
    return Happening(at, email.casefold(), name, group, content)


# the event webhook


def signing_key(secret: str) -> Any:
    """Return the private key, on P-256, that *secret* stands for."""
    ec = needs_cryptography("hazmat.primitives.asymmetric.ec")
    number = int.from_bytes(hashlib.sha256(secret.encode()).digest()[:31])
    return ec.derive_private_key(number + 1, ec.SECP256R1())


def public_key(secret: str) -> str:
    """Return the public half as SendGrid shows it: the base64 of its DER form."""
    serialization = needs_cryptography("hazmat.primitives.serialization")
    der = (
        signing_key(secret)
        .public_key()
        .public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    return base64.b64encode(der).decode()


def batches(events: Sequence[Event], now: float, secret: str) -> list[Callback]:
    """Return the requests that tell *events*; signed unless *secret* is empty."""
    return [
        _batch(events[start : start + BATCH], str(int(now)), secret)
        for start in range(0, len(events), BATCH)
    ]


def _batch(events: Sequence[Event], timestamp: str, secret: str) -> Callback:
    # with its line breaks: who parses and writes it anew cannot verify it
    lines = ",\r\n".join(json.dumps(e.content, ensure_ascii=False) for e in events)
    body = f"[{lines}]\r\n".encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "SendGrid Event API",
    }
    if secret:
        ec = needs_cryptography("hazmat.primitives.asymmetric.ec")
        hashes = needs_cryptography("hazmat.primitives.hashes")
        signature = signing_key(secret).sign(
            timestamp.encode() + body, ec.ECDSA(hashes.SHA256())
        )
        name = "X-Twilio-Email-Event-Webhook"
        headers[f"{name}-Signature"] = base64.b64encode(signature).decode()
        headers[f"{name}-Timestamp"] = timestamp
    return Callback(events[0].url, headers, body, tuple(e.id for e in events))
