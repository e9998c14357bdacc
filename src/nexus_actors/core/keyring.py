"""Secrets: values that never show themselves, and the keys that seal them.

`Keyring.seal` turns any JSON value into a string that may be stored or sent, and
`Keyring.unseal` turns it back.  Of several keys the first seals and all unseal, so
that a new key is put in front and the old one stays until nothing is sealed with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from typing import Any, Final, NoReturn, Self, SupportsIndex

from pydantic import SecretStr

from .errors import ConfigurationError, MissingExtraError
from .settings import CoreSettings


#: How a sealed value begins; then come the key's id and the value, parted by colons.
PREFIX: Final = "nexus-sealed-1"

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

HOW_TO_MAKE_A_KEY: Final = (
    'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
)


class Secret(SecretStr):
    """A string that shows itself to nobody who does not ask for it by name."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled: that would show it."""
        raise TypeError("a secret cannot be pickled: seal it")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self


class Keyring:
    """The keys of ``NEXUS_SECRET_KEY``; AES-256-GCM."""

    def __init__(self, *keys: Secret) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtraError("encryption", "database") from error
        raw = [_decode(key, number) for number, key in enumerate(keys, 1)]
        if not raw:
            raise ConfigurationError(
                f"NEXUS_SECRET_KEY is not set; {HOW_TO_MAKE_A_KEY}"
            )
        self._ciphers = {_key_id(key): AESGCM(key) for key in raw}
        self.current = _key_id(raw[0])

    @classmethod
    def from_settings(cls, settings: CoreSettings) -> Self:
        """Return the keys that are set, one or several, parted by commas.

        Raises:
            ConfigurationError: There is none, or one is malformed.
            MissingExtraError: The cryptography package is not installed.
        """
        text = settings.secret_key.get_secret_value() if settings.secret_key else ""
        return cls(*(Secret(part) for part in text.replace(",", " ").split()))

    def seal(self, value: Any, *, context: str) -> str:
        """Encrypt a JSON value; only the same *context* opens it again.

        The context says where it belongs, so that nobody who can write where it is
        kept can move it elsewhere.
        """
        nonce = os.urandom(NONCE_BYTES)
        plain = json.dumps(value, separators=(",", ":")).encode()
        cipher = self._ciphers[self.current]
        sealed = nonce + cipher.encrypt(nonce, plain, context.encode())
        return f"{PREFIX}:{self.current}:{base64.urlsafe_b64encode(sealed).decode()}"

    def unseal(self, sealed: str, *, context: str) -> Any:
        """Decrypt what `seal` has returned.

        Raises:
            ConfigurationError: Its key is not on the ring, or it has been altered.
        """
        from cryptography.exceptions import InvalidTag

        prefix, _, rest = sealed.partition(":")
        key_id, _, text = rest.partition(":")
        if prefix != PREFIX or key_id not in self._ciphers:
            raise ConfigurationError(
                f"a secret of {context} was sealed with the key {key_id or 'unknown'}, "
                f"and NEXUS_SECRET_KEY has {', '.join(self._ciphers)}: "
                "add the key that it was sealed with"
            )
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
            nonce, body = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            plain = self._ciphers[key_id].decrypt(nonce, body, context.encode())
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                f"a secret of {context} has been altered, or belongs elsewhere"
            ) from None
        return json.loads(plain)

    def is_current(self, sealed: str) -> bool:
        """Tell whether the first key has sealed it."""
        return sealed.startswith(f"{PREFIX}:{self.current}:")

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._ciphers)})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled: that would show the keys."""
        raise TypeError("a keyring cannot be pickled: make it where it is needed")


def _decode(key: Secret, number: int) -> bytes:
    text = key.get_secret_value()
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ConfigurationError(
            f"NEXUS_SECRET_KEY: key {number} is not {KEY_BYTES} bytes in base64; "
            f"{HOW_TO_MAKE_A_KEY}"
        )
    return raw


def _key_id(key: bytes) -> str:
    """Return what names a key without telling anything of it."""
    return hmac.digest(key, b"nexus-actors key id", hashlib.sha256)[:4].hex()
