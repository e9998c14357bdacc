"""Signatures of webhooks: Standard Webhooks 1.0.0, and the plain form before it.

A receiver in Python needs one call::

    from nexus_actors.notifications import verify_webhook

    event = verify_webhook(secret, request.headers, request.body)

What is signed is ``id.timestamp.body``, so that neither can be exchanged.  Several
signatures may stand in one header: that is how a secret is replaced without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import ConfigurationError

from .errors import SignatureError


#: How far a timestamp may be from now, in seconds, as the specification advises.
TOLERANCE_S: Final = 300

#: What keys begin with: the shared secret of ``v1``, the pair of ``v1a``.
SHARED: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"

ED25519_BYTES: Final = 32

#: What a value of the plain form begins with.
PLAIN: Final = "sha256="


def sign(keys: Sequence[str], *, id: str, timestamp: int, body: bytes) -> str:  # noqa: A002 - the specification's word
    """Return the value of ``webhook-signature``: one signature for each of *keys*.

    A key is ``whsec_…`` (or its bare base64) for ``v1``, or ``whsk_…`` for ``v1a``.

    Raises:
        ConfigurationError: A key is malformed, or there is none.
    """
    if not keys:
        raise ConfigurationError("a webhook needs at least one secret to sign with")
    if "." in id:
        raise ConfigurationError("the id of a webhook may hold no full stop")
    content = _content(id, str(timestamp), body)
    return " ".join(_signature(key, content) for key in keys)


def sign_plain(secret: str, body: bytes) -> str:
    """Return ``sha256=…`` of *body* alone: nothing keeps it from being sent again."""
    if not secret:
        raise ConfigurationError("the secret of a webhook is empty")
    return PLAIN + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify(
    keys: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> Any:
    """Return what a webhook says, if it comes from who has one of the *keys*.

    Args:
        keys: One or several: ``whsec_…`` for ``v1``, ``whpk_…`` for ``v1a``.
        headers: Of the request; their names in any case.
        body: The raw bytes, before anything has parsed them.
        tolerance_s: How far its timestamp may be from now.
        now: Seconds since the epoch; by default the time.

    Raises:
        SignatureError: It does not, or it is too old, or it is no JSON.
        ConfigurationError: A key is malformed.
    """
    found = {name.lower(): value for name, value in headers.items()}
    id_, timestamp, given = (
        _header(found, f"webhook-{name}") for name in ("id", "timestamp", "signature")
    )
    _check_time(timestamp, tolerance_s, clock.now_ms() / 1000 if now is None else now)
    content = _content(id_, timestamp, body)
    checks = [_check(key) for key in ([keys] if isinstance(keys, str) else keys)]
    if not any(
        version == wanted and is_right(signature, content)
        for version, signature in _entries(given)
        for wanted, is_right in checks
    ):
        raise SignatureError("no signature of the webhook is right")
    return _parsed(body)


def verify_plain(secrets: str | Sequence[str], given: str | None, body: bytes) -> Any:
    """Return what a webhook in the plain form says; *given* is ``X-Signature``.

    Raises:
        SignatureError: Its signature is not right, or it is no JSON.
    """
    if not given:
        raise SignatureError("the webhook has no signature")
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        if hmac.compare_digest(sign_plain(secret, body).encode(), given.encode()):
            return _parsed(body)
    raise SignatureError("the signature of the webhook is not right")


def check_keys(keys: Sequence[str]) -> None:
    """Refuse keys that cannot sign.

    Raises:
        ConfigurationError: One is malformed.
    """
    for key in keys:
        _signature(key, b"")


def _content(id_: str, timestamp: str, body: bytes) -> bytes:
    return f"{id_}.{timestamp}.".encode() + body


def _signature(key: str, content: bytes) -> str:
    if key.startswith(PRIVATE):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        # Svix keeps the public half behind the seed
        seed = _decoded(key.removeprefix(PRIVATE))[:ED25519_BYTES]
        if len(seed) != ED25519_BYTES:
            raise _malformed()
        signed = Ed25519PrivateKey.from_private_bytes(seed).sign(content)
        return "v1a," + base64.b64encode(signed).decode()
    digest = hmac.digest(_shared(key), content, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def _check(key: str) -> tuple[str, Any]:
    """Return the version that *key* is for, and what tells whether a value is right."""
    if key.startswith(PUBLIC):
        return "v1a", _public_check(_decoded(key.removeprefix(PUBLIC)))
    shared = _shared(key)
    return "v1", lambda given, content: hmac.compare_digest(
        hmac.digest(shared, content, "sha256"), given
    )


def _public_check(raw: bytes) -> Any:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise _malformed() from None

    def is_right(given: bytes, content: bytes) -> bool:
        try:
            public.verify(given, content)
        except InvalidSignature:
            return False
        return True

    return is_right


def _shared(key: str) -> bytes:
    if key.startswith((PRIVATE, PUBLIC)):
        raise _malformed()
    return _decoded(key.removeprefix(SHARED))


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _malformed() from None
    if not raw:
        raise _malformed()
    return raw


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        "a key of a webhook is malformed: give whsec_ and 24 to 64 bytes in base64, or "
        "whsk_ (to sign) or whpk_ (to verify) and an Ed25519 key in base64"
    )


def _entries(given: str) -> list[tuple[str, bytes]]:
    """Return versions and signatures; what is malformed is left out."""
    found = []
    for entry in given.split():
        version, _, value = entry.partition(",")
        try:
            found.append((version, base64.b64decode(value, validate=True)))
        except (binascii.Error, ValueError):
            continue
    return found


def _header(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise SignatureError(f"the webhook has no header {name}")
    return headers[name]


def _check_time(timestamp: str, tolerance_s: float, now: float) -> None:
    # int() would read more than a sender may write, and not what is very long
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        raise SignatureError("the webhook's timestamp is no number")
    if abs(int(now) - int(timestamp)) > tolerance_s:
        raise SignatureError("the webhook's timestamp is too far from now")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise SignatureError("the webhook is no JSON") from None
