"""What the vendors' logins have in common: clients, consent, codes and tokens.

How a login is spelled, how long a token lives and what becomes of a used one differ
from vendor to vendor, and stand in their modules.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from starlette.responses import RedirectResponse, Response

from .base import Clock, Settings


class Client(Settings):
    """An app that is registered with the vendor.

    Attributes:
        redirect_uris: Where the vendor may send the person back to.  ``*`` in place of
            the port allows any.
    """

    id: str
    secret: str
    redirect_uris: tuple[str, ...]

    def allows(self, uri: str) -> bool:
        """Tell whether the person may be sent back to *uri*."""
        return any(_fits(uri, allowed) for allowed in self.redirect_uris)

    def proves(self, secret: str) -> bool:
        """Tell whether *secret* is this client's."""
        return hmac.compare_digest(secret.encode(), self.secret.encode())


class Consent(Settings):
    """What the person says whom a host sends to the vendor; there is no page to click.

    Attributes:
        account: The id of the account that is chosen; None is the first.
        denied: Whether access is refused.
        scopes: Those that are allowed, of those asked for; None is all of them.
    """

    account: str | None = None
    denied: bool = False
    scopes: tuple[str, ...] | None = None

    def allowed(self, asked: Iterable[str]) -> tuple[str, ...]:
        """Return the scopes that the person grants."""
        return tuple(s for s in asked if self.scopes is None or s in self.scopes)


@dataclass(slots=True)
class Grant:
    """What one person allowed one client."""

    account: str
    client: str
    scopes: tuple[str, ...]
    #: What else the vendor remembers of the request, such as the redirect URI.
    details: dict[str, Any] = field(default_factory=dict)


Kind = Literal["code", "access", "refresh"]


@dataclass(slots=True, eq=False)
class Token:
    """A code or a token; *expires_at* is None for one that stays."""

    value: str
    kind: Kind
    grant: Grant
    issued_at: float
    expires_at: float | None
    ended: str | None = None


class TokenBook:
    """All codes and tokens of a vendor, also those that have ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}

    def issue(
        self,
        kind: Kind,
        grant: Grant,
        lifetime_s: float | None,
        *,
        prefix: str = "",
        value: str | None = None,
    ) -> Token:
        """Make a token.

        One whose *value* is known already is what the settings name: it stays as old
        as it is, but gets these scopes and this lifetime.
        """
        value = value or prefix + secrets.token_urlsafe(30)
        now = self._clock.now()
        token = self._tokens.get(value) or Token(value, kind, grant, now, None)
        token.grant.scopes = grant.scopes
        if lifetime_s is not None:
            token.expires_at = token.issued_at + lifetime_s
        self._tokens[value] = token
        return token

    def find(self, value: str, *kinds: Kind) -> Token | None:
        """Return the token of that value, dead or alive."""
        token = self._tokens.get(value)
        return token if token and token.kind in kinds else None

    def live(self, value: str, *kinds: Kind) -> Token | None:
        """Return the token of that value if it can be used."""
        token = self.find(value, *kinds)
        return token if token and self.is_live(token) else None

    def is_live(self, token: Token) -> bool:
        """Tell whether it can be used: not expired, not used up, not revoked."""
        return token.ended is None and not self.is_expired(token)

    def is_expired(self, token: Token) -> bool:
        """Tell whether its time is over."""
        return token.expires_at is not None and self._clock.now() >= token.expires_at

    def left_s(self, token: Token) -> int:
        """Return for how many more whole seconds it lives."""
        return max(0, int((token.expires_at or 0) - self._clock.now()))

    def end(self, grant: Grant, why: str, *kinds: Kind) -> None:
        """End the tokens of a grant: those of *kinds*, or all."""
        for token in self._tokens.values():
            if token.grant is grant and (not kinds or token.kind in kinds):
                token.ended = token.ended or why

    def end_all(self, account: str, client: str, why: str) -> None:
        """End every token of one account with one client."""
        for token in self._tokens.values():
            if (token.grant.account, token.grant.client) == (account, client):
                token.ended = token.ended or why


class Named(Protocol):
    """What has an id."""

    @property
    def id(self) -> str: ...  # noqa: D102 - its name says it


N = TypeVar("N", bound=Named)


def by_id(things: Iterable[N], id_: str | None) -> N | None:
    """Return the one of that id; None if there is none."""
    return next((thing for thing in things if thing.id == id_), None)


def bearer(authorization: str | None) -> str:
    """Return the token of an ``Authorization: Bearer`` header; empty if it has none."""
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def send_back(uri: str, *, fragment: str = "", **answer: str | None) -> Response:
    """Redirect the person to the host with the vendor's *answer*."""
    query = urlencode({k: v for k, v in answer.items() if v is not None})
    url = f"{uri}{'&' if '?' in uri else '?'}{query}"
    return RedirectResponse(f"{url}#{fragment}" if fragment else url, 302)


def s256(verifier: str) -> str:
    """Return the challenge of RFC 7636: base64url without padding."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_verifier(text: str) -> bool:
    """Tell whether *text* may be a verifier of RFC 7636."""
    return re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", text) is not None


def _fits(uri: str, allowed: str) -> bool:
    if ":*" not in allowed:
        return uri == allowed
    return fnmatchcase(uri, allowed) and urlsplit(uri).path == urlsplit(allowed).path
