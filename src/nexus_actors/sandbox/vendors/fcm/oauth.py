"""Google's token endpoint, for service accounts: RFC 7523."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from nexus_actors.sandbox.base import Refusal
from nexus_actors.sandbox.optional import needs_cryptography
from nexus_actors.sandbox.shapes import parse_json


GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: What assertions name as their audience, wherever they are sent.
AUDIENCE: Final = "https://oauth2.googleapis.com/token"

SCOPES: Final = frozenset(
    f"https://www.googleapis.com/auth/{name}"
    for name in ("firebase.messaging", "cloud-platform")
)

#: For how long an assertion is valid, and how far clocks may be apart.
MAX_LIFE_S: Final = 3600
MAX_SKEW_S: Final = 300

ACCOUNT: Final = "sandbox@{project}.iam.gserviceaccount.com"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that was given out; it may be used for *scopes* until it expires."""

    expires_at: float
    scopes: frozenset[str]


def refuse(error: str, description: str) -> Refusal:
    """Return the answer of the endpoint that says what is wrong."""
    return Refusal(400, {"error": error, "error_description": description})


@lru_cache
def signing_key() -> Any:
    """Return the private key of the sandbox's own account; new in each process."""
    rsa = needs_cryptography("hazmat.primitives.asymmetric.rsa")
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account(project: str, token_uri: str) -> dict[str, str]:
    """Return the file that a host's SDK reads."""
    serialization = needs_cryptography("hazmat.primitives.serialization")
    pem = signing_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "sandbox",
        "private_key": pem.decode(),
        "client_email": ACCOUNT.format(project=project),
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


def new_token() -> str:
    """Return an access token."""
    return f"ya29.sandbox.{secrets.token_urlsafe(32)}"


def granted_scopes(
    assertion: str, *, audience: str, project: str, keys: dict[str, str]
) -> frozenset[str]:
    """Return what an assertion asks for.

    Its times are held against the machine's clock, by which it was signed, and not
    against the sandbox's: a test that moves that one wants tokens to expire, and not
    that there are no new ones.

    Args:
        assertion: A signed JWT.
        audience: The address of the token endpoint.
        project: The one to which the sandbox's own account belongs.
        keys: By the address of further accounts, their public keys.

    Raises:
        Refusal: It is not valid.
    """
    header, claims, signed, signature = _parts(assertion)
    issuer = str(claims.get("iss"))
    if issuer == ACCOUNT.format(project=project):
        key = signing_key().public_key()
    elif issuer in keys:
        key = _public_key(keys[issuer])
    else:
        raise refuse("invalid_grant", "Invalid grant: account not found")
    if header.get("alg") != "RS256" or not _is_signed(key, signed, signature):
        raise refuse("invalid_grant", "Invalid JWT Signature.")
    _check_times(claims.get("iat"), claims.get("exp"))
    if claims.get("aud") not in (AUDIENCE, audience):
        raise refuse("invalid_grant", "Invalid JWT: Failed audience check.")
    scopes = frozenset(str(claims.get("scope", "")).split())
    if not scopes:
        raise refuse("invalid_scope", "Empty or missing scope not allowed.")
    return scopes


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Return header, claims, what is signed, and the signature."""
    signed, _, last = assertion.rpartition(".")
    try:
        header, claims = (parse_json(_decoded(part)) for part in signed.split("."))
        signature = _decoded(last)
    except ValueError:
        header = claims = signature = None
    if not isinstance(header, dict) or not isinstance(claims, dict) or not signature:
        text = "Bad Request: the assertion is no JSON Web Token."
        raise refuse("invalid_grant", text)
    return header, claims, signed.encode(), signature


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _public_key(pem: str) -> Any:
    serialization = needs_cryptography("hazmat.primitives.serialization")
    try:
        return serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise refuse("invalid_grant", f"The setting is no key: {error}") from error


def _is_signed(key: Any, content: bytes, signature: bytes) -> bool:
    padding = needs_cryptography("hazmat.primitives.asymmetric.padding")
    hashes = needs_cryptography("hazmat.primitives.hashes")
    invalid = needs_cryptography("exceptions").InvalidSignature
    try:
        key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    except invalid:
        return False
    return True


def _check_times(issued: Any, expires: Any) -> None:
    now = time.time()
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool)
        for value in (issued, expires)
    )
    if (
        not numbers
        or issued > now + MAX_SKEW_S
        or expires < now - MAX_SKEW_S
        or not 0 < expires - issued <= MAX_LIFE_S
    ):
        text = (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
            "reasonable timeframe. Check your iat and exp values in the JWT claim."
        )
        raise refuse("invalid_grant", text)
