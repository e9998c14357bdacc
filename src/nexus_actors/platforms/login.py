"""What a login is: how a creator connects an account, by the requests of OAuth.

Three models of keeping a token alive: a *rotating* pair (TikTok), a *stable* refresh
token (YouTube), and the *extension* of the access token itself (Instagram, Facebook).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlencode

from typing_extensions import override

from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.core.keyring import Secret
from nexus_actors.core.transport import Limits

from .settings import PlatformSettings
from .verdicts import body_of, told


#: What a login's call may take; the lock of a refresh is held for longer.
LIMITS: Final = Limits(connect_s=5, read_s=15, total_s=20)

#: The length of a verifier; 43 to 128 are allowed (RFC 7636).
VERIFIER_BYTES: Final = 48

#: What a platform says when only the account's owner can help.
GONE: Final = {"access_denied", "invalid_grant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """An account that a creator has connected.

    Attributes:
        account: The platform's id of it.
        name: What a person calls it.
    """

    account: str
    name: str
    credential: Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where to send the creator, and what to keep until they come back."""

    url: str
    state: str
    verifier: str | None


class _LoginClient(ApiClient):
    """Reads OAuth's errors, which may come with any status."""

    @override
    def judge(self, answer: Answer) -> NexusError | None:
        body = body_of(answer)
        error, text = body.get("error"), body.get("error_message")
        if isinstance(error, str):
            return _standard(error, str(body.get("error_description") or error))
        if isinstance(error, Mapping):
            return _graph(error.get("code"), str(error.get("message")))
        return RejectedError(str(text)) if text else super().judge(answer)


def _standard(error: str, words: str) -> NexusError:
    """Return what an error of RFC 6749 means."""
    if error in GONE:
        return AuthorizationError(f"{words} ({error})", code="needs_reauthorization")
    if error in {"server_error", "temporarily_unavailable"}:
        return RemoteUnavailableError(f"{words} ({error})")
    return ConfigurationError(f"{words} ({error})", code=error)


def _graph(code: Any, words: str) -> NexusError:
    """Return what an error of the Graph API means to a login."""
    if code in {102, 190}:
        return AuthorizationError(words, code="needs_reauthorization")
    if code in {2, 4, 17}:
        return RemoteUnavailableError(words)
    return RejectedError(f"{words} ({code})")


@dataclass(frozen=True, slots=True)
class Login(ABC):
    """One platform's way; of its hosts, `settings` says where they are."""

    settings: PlatformSettings
    platform: ClassVar[str]
    model: ClassVar[Literal["rotating", "stable", "extension"]]
    #: What is asked for, and those without which nothing can be published.
    scopes: ClassVar[tuple[str, ...]]
    needed: ClassVar[frozenset[str]]
    #: What collecting figures needs beside.
    figures: ClassVar[tuple[str, ...]] = ()
    #: What parts them in a URL.
    separator: ClassVar[str] = ","
    page: ClassVar[tuple[str, str]]

    def start(
        self, *, redirect_uri: str | None = None, scopes: tuple[str, ...] = ()
    ) -> Start:
        """Return where to send the creator.

        Raises:
            ConfigurationError: The app's id, or where to send them back, is not set.
        """
        state, verifier = secrets.token_urlsafe(24), self._verifier()
        host, path = self.page
        query = {
            **self._app(),
            "response_type": "code",
            "redirect_uri": self.redirect(redirect_uri),
            "scope": self.separator.join(scopes or self.scopes),
            "state": state,
        }
        if verifier is not None:
            query["code_challenge"] = self.challenge(verifier)
            query["code_challenge_method"] = "S256"
        base = self.settings.at(self.platform, host)
        url = f"{base}{path}?{urlencode({**query, **self._more()})}"
        return Start(url=url, state=state, verifier=verifier)

    @abstractmethod
    def exchange(
        self, code: str, *, verifier: str | None, redirect_uri: str | None = None
    ) -> list[Connected]:
        """Return the accounts that a code stands for."""

    @abstractmethod
    def renew(self, credential: Credential, account: str) -> Credential:
        """Return the credential that replaces *credential*.

        Raises:
            AuthorizationError: With the code ``needs_reauthorization`` if the platform
                says that only the owner can help.
            NexusError: It may work another time.
        """

    @abstractmethod
    def revoke(self, credential: Credential) -> None:
        """End the tokens on the platform's side."""

    def is_due(self, credential: Credential, now: datetime) -> bool:
        """Tell whether it is time to renew; a rotating pair is never renewed early."""
        if credential.expires_at is None:
            return False
        early = timedelta(minutes=1 if self.model == "rotating" else 5)
        if self.model == "extension":
            early = (credential.expires_at - credential.obtained_at) / 2
        return now >= credential.expires_at - early

    def missing(self, credential: Credential) -> list[str]:
        """Return the needed scopes that the creator has not granted."""
        return sorted(self.needed - credential.scopes)

    def challenge(self, verifier: str) -> str:
        """Return what the platform is shown of *verifier* (RFC 7636)."""
        digest = hashlib.sha256(verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def redirect(self, given: str | None) -> str:
        """Return where the creator is sent back to."""
        if given:
            return given
        return str(self._setting("redirect_uri"))

    def _verifier(self) -> str | None:
        return secrets.token_urlsafe(VERIFIER_BYTES)

    def _app(self) -> dict[str, str]:
        return {"client_id": str(self._setting("client_id"))}

    def _secret(self) -> str:
        return str(self._setting("client_secret").get_secret_value())

    def _more(self) -> dict[str, str]:
        return {}

    def _setting(self, name: str) -> Any:
        value = getattr(self.settings, f"{self.platform}_{name}")
        if value is None:
            variable = f"{self.platform}_{name}".upper()
            raise ConfigurationError(f"{variable} is not set: {self.platform} needs it")
        return value

    def _call(self, host: str, call: Call) -> Any:
        return told(self._send(host, call))

    def _send(self, host: str, call: Call) -> Answer:
        client = _LoginClient(
            name=self.platform.capitalize(),
            base_url=self.settings.at(self.platform, host),
            limits=LIMITS,
        )
        return client.send(call)


def credential_of(
    answer: Mapping[str, Any],
    *,
    scopes: frozenset[str],
    refresh: str | None = None,
    kind: str = "bearer",
) -> Credential:
    """Return what a token's answer stands for; *refresh* is kept if it brings none.

    Raises:
        RemoteUnavailableError: As `token_in`.
    """
    now = clock.now()

    def ends(name: str) -> datetime | None:
        seconds = answer.get(name)
        return now + timedelta(seconds=int(seconds)) if seconds else None

    token = answer.get("refresh_token") or refresh  # never replaced by nothing
    return Credential(
        access_token=Secret(token_in(answer)),
        refresh_token=Secret(token) if token else None,
        kind=kind,
        scopes=scopes,
        obtained_at=now,
        expires_at=ends("expires_in"),
        refresh_expires_at=ends("refresh_expires_in")
        or ends("refresh_token_expires_in"),
    )


def token_in(answer: Mapping[str, Any]) -> str:
    """Return the access token that an answer brings.

    Raises:
        RemoteUnavailableError: It brings none, and nobody has said no.
    """
    return text_in(answer, "access_token")


def text_in(answer: Mapping[str, Any], name: str) -> str:
    """Return what an answer has under *name*, as text.

    Raises:
        RemoteUnavailableError: It has nothing.
    """
    value = answer.get(name)
    if not value:
        raise RemoteUnavailableError(f"the answer brings no {name.replace('_', ' ')}")
    return str(value)


def split_scopes(scope: Any) -> frozenset[str]:
    """Return the scopes of an answer: there may be commas or spaces between."""
    return frozenset(str(scope or "").replace(",", " ").split())


def refresh_token_of(credential: Credential) -> str:
    """Return what a credential is renewed with.

    Raises:
        AuthorizationError: It has nothing of that.
    """
    if credential.refresh_token is None:
        raise AuthorizationError(
            "there is no refresh token: connect the account again",
            code="needs_reauthorization",
        )
    return credential.refresh_token.get_secret_value()
