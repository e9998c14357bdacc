"""A receiver of webhooks, as a host's own server would be.

``POST /webhook/<endpoint>`` takes a message under any endpoint name.  It is signed
after Standard Webhooks 1.0.0 (``v1`` with a shared secret, ``v1a`` with a public key),
or in the plain form ``X-Signature: sha256=<hex>``; where both are there, both must be
right.

A message that was accepted takes effect once: the receiver knows it by its
``webhook-id``, and counts the further deliveries.  The plain form has no id, so that
each delivery of it takes effect.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Effect, Refusal, Settings, Vendor
from nexus_actors.sandbox.shapes import parse_json


#: The secret of a sandbox that was told no other.  It guards nothing.
DEFAULT_SECRET: Final = (
    "whsec_" + base64.b64encode(b"the-secret-of-the-sandbox").decode()
)

#: What a header of the plain form starts with.
PLAIN: Final = "sha256="


class WebhookSettings(Settings):
    """How the receiver checks.

    Attributes:
        secrets: Each is tried: ``whsec_…`` or its bare base64 for ``v1``, ``whpk_…``
            for ``v1a`` (needs the package cryptography), any text for the plain form.
        tolerance_s: How far ``webhook-timestamp`` may be from the sandbox's clock.
        plain_header: The header of the plain form.
    """

    secrets: tuple[str, ...] = (DEFAULT_SECRET,)
    tolerance_s: float = 300
    plain_header: str = "X-Signature"


class WebhookReceiver(Vendor[WebhookSettings]):
    """Verifies, deduplicates and records what arrives."""

    name = "webhook"
    defaults = WebhookSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._accepted: dict[tuple[str, str], Effect] = {}

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/{endpoint}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Take one delivery."""
        body, endpoint = await request.body(), request.path_params["endpoint"]
        schemes = self.verify(request.headers, body)
        id_ = request.headers.get("webhook-id", "")
        known = self._accepted.get((endpoint, id_)) if id_ else None
        if known:
            known.details["deliveries"] += 1
            return JSONResponse({"status": "duplicate"})
        effect = self.took_effect(
            "message",
            id_,
            request,
            endpoint=endpoint,
            signed=schemes,
            deliveries=1,
            body=_parsed(body),
        )
        if id_:
            self._accepted[endpoint, id_] = effect
        return JSONResponse({"status": "accepted"})

    def verify(self, headers: Headers, body: bytes) -> list[str]:
        """Return the schemes under which the message is signed.

        Raises:
            Refusal: There is none, or one of them is not right.
        """
        schemes = []
        if "webhook-signature" in headers:
            self._check_timestamp(headers)
            schemes += self._check_standard(headers, body)
        if self.settings.plain_header in headers:
            schemes += self._check_plain(headers[self.settings.plain_header], body)
        if not schemes:
            raise Refusal(401, {"error": "the message is not signed"})
        return schemes

    def _check_timestamp(self, headers: Headers) -> None:
        try:
            sent = int(headers.get("webhook-timestamp", ""))
        except ValueError:
            raise Refusal(401, {"error": "webhook-timestamp is no number"}) from None
        # in whole seconds, as it was sent
        if abs(int(self.clock.now()) - sent) > self.settings.tolerance_s:
            raise Refusal(401, {"error": "webhook-timestamp is too far from now"})

    def _check_standard(self, headers: Headers, body: bytes) -> list[str]:
        id_ = headers.get("webhook-id", "")
        if not id_:
            raise Refusal(401, {"error": "webhook-id is missing"})
        content = f"{id_}.{headers['webhook-timestamp']}.".encode() + body
        for entry in headers["webhook-signature"].split():
            version, _, value = entry.partition(",")
            verify = VERSIONS.get(version)
            signature = _decoded(value)
            if (
                verify
                and signature
                and any(
                    verify(secret, content, signature)
                    for secret in self.settings.secrets
                )
            ):
                return [version]
        raise Refusal(401, {"error": "no signature in webhook-signature is right"})

    def _check_plain(self, given: str, body: bytes) -> list[str]:
        for secret in self.settings.secrets:
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            if hmac.compare_digest(f"{PLAIN}{digest}".encode(), given.encode()):
                return ["plain"]
        raise Refusal(401, {"error": f"{self.settings.plain_header} is not right"})


def verify_v1(secret: str, content: bytes, signature: bytes) -> bool:
    """Check an HMAC-SHA256; the key is what the secret's base64 stands for."""
    key = _decoded(secret.removeprefix("whsec_"))  # whpk_ is no base64
    if not key:
        return False
    return hmac.compare_digest(hmac.digest(key, content, "sha256"), signature)


def verify_v1a(secret: str, content: bytes, signature: bytes) -> bool:
    """Check an Ed25519 signature; False where cryptography is not installed."""
    key = _decoded(secret.removeprefix("whpk_")) if secret.startswith("whpk_") else None
    if not key:
        return False
    try:
        ed25519 = import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
        invalid = import_module("cryptography.exceptions").InvalidSignature
    except ModuleNotFoundError:
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (invalid, ValueError):
        return False
    return True


VERSIONS: Final = {"v1": verify_v1, "v1a": verify_v1a}


def _decoded(text: str) -> bytes | None:
    """Decode base64 that may lack its padding; None if it is none."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _parsed(body: bytes) -> Any:
    """Return the JSON, or the text of what is none."""
    try:
        return parse_json(body)
    except ValueError:
        return body.decode(errors="replace")
