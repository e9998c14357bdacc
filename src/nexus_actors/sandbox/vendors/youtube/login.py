"""Google's login: consent, tokens, and what a token may do.

A refresh token stays the same, and comes only with offline access, at the first consent
or at ``prompt=consent``.  A revoked token ends all of that person's for the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.oauth import (
    Client,
    Grant,
    TokenBook,
    bearer,
    by_id,
    is_verifier,
    s256,
    send_back,
)

from . import errors
from .settings import SCOPES, Channel, YouTubeSettings


CODE_S: Final = 600


class GoogleLogin:
    """Plays accounts.google.com and oauth2.googleapis.com."""

    def __init__(self, vendor: Vendor[YouTubeSettings]) -> None:
        self._vendor = vendor
        self._book = TokenBook(vendor.clock)
        self._consented: set[tuple[str, str]] = set()

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the login."""
        return [
            Route("/o/oauth2/v2/auth", self.authorize),
            Route("/token", self.token, methods=["POST"]),
            Route("/revoke", self.revoke, methods=["POST"]),
        ]

    def seed(self) -> None:
        """Make the tokens of the settings good, from now on."""
        settings = self._settings
        if not settings.clients:
            return
        for channel in settings.channels:
            grant = Grant(channel.id, settings.clients[0].id, channel.scopes)
            access, refresh = settings.access_token_s, settings.refresh_token_s
            self._book.issue("access", grant, access, value=channel.access_token)
            self._book.issue("refresh", grant, refresh, value=channel.refresh_token)

    def authorized(self, request: Request, *scopes: str) -> Channel:
        """Return whose token it is.

        Raises:
            Refusal: There is none that can be used, it has none of *scopes*, or the
                account can do nothing.
        """
        header = request.headers.get("authorization")
        if header is None:
            raise errors.no_credentials()
        token = self._book.live(bearer(header), "access")
        channel = self._channel(token.grant.account) if token else None
        if not token or not channel:
            raise errors.bad_credentials()
        if not set(scopes) & set(token.grant.scopes):
            raise errors.missing_scope(scopes)
        if channel.state in {"suspended", "closed"}:
            reason = f"authenticatedUserAccount{channel.state.capitalize()}"
            text = f"The YouTube account of the authenticated user is {channel.state}."
            raise errors.refusal(403, reason, text, domain="youtube.common")
        return channel

    async def authorize(self, request: Request) -> Response:
        """Ask the person, who answers at once as the settings say."""
        query = request.query_params
        client = self._client(query.get("client_id", ""))
        uri, asked = query.get("redirect_uri", ""), query.get("scope", "").split()
        if not client:
            return _page(401, "invalid_client")
        if not client.allows(uri):
            return _page(400, "redirect_uri_mismatch")
        if query.get("response_type") != "code" or not asked:
            return _page(400, "invalid_request")
        if not set(asked) <= set(SCOPES):
            return _page(400, "invalid_scope")
        consent, state = self._settings.consent, query.get("state")
        if consent.denied:
            return send_back(uri, error="access_denied", state=state)
        channel = self._chosen(query.get("login_hint"))
        grant = Grant(channel.id, client.id, consent.allowed(asked), dict(query))
        code = self._book.issue("code", grant, CODE_S, prefix="4/0A")
        scope = " ".join(grant.scopes)
        return send_back(uri, state=state, code=code.value, scope=scope)

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        client = self._client(form.get("client_id", ""))
        if not client:
            raise _refused(401, "invalid_client", "The OAuth client was not found.")
        if not client.proves(form.get("client_secret", "")):
            raise _refused(401, "invalid_client", "Unauthorized")
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange(client, form)
            case "refresh_token":
                return self._refresh(client, form)
            case other:
                text = f"Invalid grant_type: {other or ''}"
                raise _refused(400, "unsupported_grant_type", text)

    async def revoke(self, request: Request) -> Response:
        """End all tokens of the person for the client."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        value = form.get("token") or request.query_params.get("token", "")
        token = self._book.live(value, "access", "refresh")
        if not token:
            raise _refused(400, "invalid_token", "Token expired or revoked")
        grant = token.grant
        self._book.end_all(grant.account, grant.client, "revoked")
        self._consented.discard((grant.account, grant.client))
        return JSONResponse({})

    def _exchange(self, client: Client, form: Mapping[str, str]) -> Response:
        if "code" not in form:
            raise _refused(400, "invalid_request", "Missing required parameter: code")
        code = self._book.live(form["code"], "code")
        if not code or code.grant.client != client.id:
            raise _refused(400, "invalid_grant", "Malformed auth code.")
        asked = code.grant.details
        if form.get("redirect_uri") != asked["redirect_uri"]:
            raise _refused(400, "redirect_uri_mismatch", "Bad Request")
        _check_verifier(asked, form.get("code_verifier"))
        code.ended = "used"
        pair = (code.grant.account, client.id)
        first = pair not in self._consented
        self._consented.add(pair)
        fresh = Grant(code.grant.account, client.id, code.grant.scopes)
        offline = asked.get("access_type") == "offline"
        again = "consent" in asked.get("prompt", "").split()
        return self._tokens(fresh, with_refresh=offline and (first or again))

    def _refresh(self, client: Client, form: Mapping[str, str]) -> Response:
        token = self._book.live(form.get("refresh_token", ""), "refresh")
        if not token or token.grant.client != client.id:
            text = "Token has been expired or revoked."
            raise _refused(400, "invalid_grant", text)
        return self._tokens(token.grant, with_refresh=False)

    def _tokens(self, grant: Grant, *, with_refresh: bool) -> Response:
        settings = self._settings
        access = self._book.issue(
            "access", grant, settings.access_token_s, prefix="ya29."
        )
        answer = {
            "access_token": access.value,
            "expires_in": int(settings.access_token_s),
            "scope": " ".join(grant.scopes),
            "token_type": "Bearer",
        }
        if with_refresh:
            life = settings.refresh_token_s
            refresh = self._book.issue("refresh", grant, life, prefix="1//0")
            answer["refresh_token"] = refresh.value
            if life is not None:
                answer["refresh_token_expires_in"] = int(life)
        return JSONResponse(answer)

    @property
    def _settings(self) -> YouTubeSettings:
        return self._vendor.settings

    def _client(self, id_: str) -> Client | None:
        return by_id(self._settings.clients, id_)

    def _channel(self, id_: str) -> Channel | None:
        return by_id(self._settings.channels, id_)

    def _chosen(self, hint: str | None) -> Channel:
        channels = self._settings.channels
        wanted = self._settings.consent.account
        if wanted:
            return self._channel(wanted) or channels[0]
        return next((c for c in channels if c.email == hint), channels[0])


def _check_verifier(asked: Mapping[str, str], verifier: str | None) -> None:
    challenge = asked.get("code_challenge")
    if not challenge:
        return
    if verifier is None:
        raise _refused(400, "invalid_grant", "Missing code verifier.")
    plain = asked.get("code_challenge_method", "plain") == "plain"
    if not is_verifier(verifier) or challenge != (
        verifier if plain else s256(verifier)
    ):
        raise _refused(400, "invalid_grant", "Invalid code verifier.")


def _refused(status: int, error: str, description: str) -> Refusal:
    return Refusal(status, {"error": error, "error_description": description})


def _page(status: int, error: str) -> Response:
    """Return what the person sees: the host is not told."""
    return PlainTextResponse(f"Access blocked. Error {status}: {error}", status)
