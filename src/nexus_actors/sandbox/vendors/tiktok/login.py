"""TikTok's login: refresh tokens that are good once, and a challenge in hex."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.oauth import (
    Grant,
    TokenBook,
    bearer,
    by_id,
    is_verifier,
    send_back,
)

from . import errors
from .settings import SCOPES, Creator, TikTokClient, TikTokSettings


CODE_S: Final = 300


class TikTokLogin:
    """Plays www.tiktok.com and the OAuth paths of open.tiktokapis.com."""

    def __init__(self, vendor: Vendor[TikTokSettings]) -> None:
        self._vendor = vendor
        self._book = TokenBook(vendor.clock)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the login."""
        return [
            Route("/v2/auth/authorize/", self.authorize),
            Route("/v2/oauth/token/", self.token, methods=["POST"]),
            Route("/v2/oauth/revoke/", self.revoke, methods=["POST"]),
        ]

    def seed(self) -> None:
        """Make the tokens of the settings good, from now on."""
        settings = self._settings
        if not settings.clients:
            return
        for creator in settings.creators:
            grant = Grant(creator.id, settings.clients[0].id, creator.scopes)
            access, refresh = settings.access_token_s, settings.refresh_token_s
            self._book.issue("access", grant, access, value=creator.access_token)
            self._book.issue("refresh", grant, refresh, value=creator.refresh_token)

    def authorized(self, request: Request, *scopes: str) -> Creator:
        """Return whose token it is.

        Raises:
            Refusal: There is none that can be used, or it has none of *scopes*.
        """
        header = request.headers.get("authorization")
        token = self._book.live(bearer(header), "access")
        creator = self._creator(token.grant.account) if token else None
        if not token or not creator:
            text = "The access token is invalid or not found in the request."
            raise errors.refusal("access_token_invalid", text)
        if not set(scopes) & set(token.grant.scopes):
            text = "The user did not authorize the scope required for completing this "
            raise errors.refusal("scope_not_authorized", text + "request.")
        return creator

    async def authorize(self, request: Request) -> Response:
        """Ask the person, who answers at once as the settings say."""
        query = request.query_params
        uri, state = query.get("redirect_uri", ""), query.get("state")
        client = self._client(query.get("client_key", ""))
        if not client:
            return _page("client_key")
        if wrong := _wrong(client, query):
            return _page(wrong)
        asked = [scope for scope in query.get("scope", "").split(",") if scope]
        consent, creators = self._settings.consent, self._settings.creators
        problem = None
        if query.get("response_type") != "code":
            problem = "unsupported_response_type"
        elif not asked or not set(asked) <= set(SCOPES):
            problem = "invalid_scope"
        elif consent.denied:
            problem = "access_denied"
        if problem:
            return send_back(uri, error=problem, error_description=problem, state=state)
        creator = self._creator(consent.account or "") or creators[0]
        grant = Grant(creator.id, client.id, consent.allowed(asked), dict(query))
        # codes have characters that are escaped in a query
        code = self._book.issue("code", grant, CODE_S, prefix="sg*0!va.")
        scopes = ",".join(grant.scopes)
        return send_back(uri, code=code.value, scopes=scopes, state=state)

    async def token(self, request: Request) -> Response:
        """Exchange a code or a refresh token."""
        form = await self._form(request)
        client = self._proven(form)
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange(client, form)
            case "refresh_token":
                return self._refresh(client, form)
            case _:
                text = "Grant type is not supported."
                raise self._refused("unsupported_grant_type", text)

    async def revoke(self, request: Request) -> Response:
        """Disconnect the app from the account of an access token."""
        form = await self._form(request)
        client = self._proven(form)
        token = self._book.live(form.get("token", ""), "access")
        if not token or token.grant.client != client.id:
            raise self._refused("invalid_request", "Access token is invalid.")
        self._book.end_all(token.grant.account, client.id, "revoked")
        return JSONResponse({})

    async def _form(self, request: Request) -> dict[str, str]:
        body, kind = await request.body(), request.headers.get("content-type", "")
        if not kind.startswith("application/x-www-form-urlencoded"):
            text = "Only `application/x-www-form-urlencoded` is supported."
            raise self._refused("invalid_request", text)
        return dict(parse_qsl(body.decode(errors="replace")))

    def _proven(self, form: Mapping[str, str]) -> TikTokClient:
        client = self._client(form.get("client_key", ""))
        if not client or not client.proves(form.get("client_secret", "")):
            raise self._refused("invalid_client", "Client key or secret is incorrect.")
        return client

    def _exchange(self, client: TikTokClient, form: Mapping[str, str]) -> Response:
        code = self._book.live(form.get("code", ""), "code")
        asked = code.grant.details if code else {}
        if not code or code.grant.client != client.id:
            raise self._refused("invalid_grant", "Authorization code is expired.")
        if form.get("redirect_uri") != asked["redirect_uri"]:
            text = "Redirect_uri is not matched with the uri when requesting code."
            raise self._refused("invalid_grant", text)
        challenge, verifier = asked.get("code_challenge"), form.get("code_verifier", "")
        if challenge and (not is_verifier(verifier) or hex_s256(verifier) != challenge):
            text = "Code verifier or code challenge is invalid."
            raise self._refused("invalid_request", text)
        code.ended = "used"
        return self._tokens(Grant(code.grant.account, client.id, code.grant.scopes))

    def _refresh(self, client: TikTokClient, form: Mapping[str, str]) -> Response:
        token = self._book.live(form.get("refresh_token", ""), "refresh")
        if not token or token.grant.client != client.id:
            raise self._refused("invalid_grant", "Refresh token is invalid or expired.")
        grace = self._settings.old_refresh_token_s
        token.expires_at = min(
            token.expires_at or grace, self._vendor.clock.now() + grace
        )
        return self._tokens(token.grant)

    def _tokens(self, grant: Grant) -> Response:
        settings = self._settings
        access_s, refresh_s = settings.access_token_s, settings.refresh_token_s
        access = self._book.issue("access", grant, access_s, prefix="act.")
        refresh = self._book.issue("refresh", grant, refresh_s, prefix="rft.")
        return JSONResponse(
            {
                "open_id": grant.account,
                "scope": ",".join(grant.scopes),
                "access_token": access.value,
                "expires_in": int(access_s),
                "refresh_token": refresh.value,
                "refresh_expires_in": int(refresh_s),
                "token_type": "Bearer",
            }
        )

    def _refused(self, error: str, description: str) -> Refusal:
        body = {"error": error, "error_description": description}
        status = self._settings.oauth_error_status
        return Refusal(status, body | {"log_id": errors.log_id()})

    @property
    def _settings(self) -> TikTokSettings:
        return self._vendor.settings

    def _client(self, key: str) -> TikTokClient | None:
        return by_id(self._settings.clients, key)

    def _creator(self, id_: str) -> Creator | None:
        return by_id(self._settings.creators, id_)


def hex_s256(verifier: str) -> str:
    """Return TikTok's challenge: hex, and not the base64url of RFC 7636."""
    return hashlib.sha256(verifier.encode()).hexdigest()


def _wrong(client: TikTokClient, query: Mapping[str, str]) -> str | None:
    """Return the parameter for which the person cannot be sent back."""
    if not client.allows(query.get("redirect_uri", "")):
        return "redirect_uri"
    if client.kind == "desktop" and not query.get("code_challenge"):
        return "code_challenge"
    if query.get("code_challenge_method", "S256") != "S256":
        return "code_challenge_method"
    return None


def _page(what: str) -> Response:
    """Return what the person sees: the host is not told."""
    return PlainTextResponse(f"Something went wrong: error_type={what}", 400)
